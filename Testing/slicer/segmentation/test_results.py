"""What a run writes into the scene: exact geometry, and nothing of others lost."""

from __future__ import annotations

import numpy as np
import pytest

from leuda_core.errors import InputError
from leuda_core.types import Label
from segmentation_scene import (
    AFFINES,
    LABELS,
    MOVED,
    OBLIQUE,
    PLAIN,
    SHAPE,
    TERMS,
    add_linear_transform,
    add_volume,
    add_warp,
    assert_voxels,
    drain,
    hierarchy_parent,
    label_map,
    layer_of,
    paint,
    segment_names,
    segment_of,
    segment_voxels,
    write,
)

pytestmark = pytest.mark.usefixtures("scene")


# A new segmentation


@pytest.mark.slow
def test_segments_have_name_colour_and_terminology():
    import vtk

    node = write(add_volume()).node
    assert segment_names(node) == [label.name for label in LABELS]
    for label in LABELS:
        assert segment_of(node, label.name).GetColor() == pytest.approx(label.color, abs=1e-6)
    terms = vtk.reference("")
    assert segment_of(node, LABELS[0].name).GetTag("TerminologyEntry", terms) and str(terms) == TERMS


def test_node_is_named_after_volume_and_model_and_names_stay_apart():
    volume = add_volume("Zoë CT 1")
    names = [write(volume).node.GetName() for _run in range(2)]
    assert names[0] == "Zoë CT 1 Herz CT segmentation"
    assert names[1] != names[0] and names[1].startswith(names[0])


def test_segments_share_one_layer_with_the_models_values():
    node = write(add_volume()).node
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    assert [segment_of(node, label.name).GetLabelValue() for label in LABELS] == [1, 2, 5]


@pytest.mark.slow
@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("shape", [SHAPE, (1, 8, 10), (6, 8, 1)], ids=str)
def test_output_lies_on_the_input_grid(name, shape):
    from LEUDASegmentationLib.scene.geometry import image_to_world
    from LEUDASegmentationLib.scene.layers import BINARY

    volume, rng = add_volume(affine=AFFINES[name], shape=shape), np.random.default_rng(1)
    expected = rng.choice([0, 0, 1, 2, 5], shape).astype(np.uint8)
    node = write(volume, expected).node
    assert_voxels(node, volume, expected)
    layer = segment_of(node, LABELS[0].name).GetRepresentation(BINARY)
    np.testing.assert_allclose(image_to_world(layer), AFFINES[name], atol=1e-6)
    voxels = np.argwhere(expected == 1)[0]
    inside = layer.GetExtent()
    assert all(a <= n <= b for n, a, b in zip(voxels[::-1], inside[::2], inside[1::2], strict=True))


@pytest.mark.slow
def test_layer_holds_no_more_than_the_box_of_its_labels():
    expected = np.zeros(SHAPE, np.uint8)
    expected[2:4, 3:6, 1:3] = 2
    layer = layer_of(add_volume(), expected)
    assert layer.GetExtent() == (1, 2, 3, 5, 2, 3)


def test_model_that_finds_nothing_leaves_empty_segments():
    volume = add_volume()
    node = write(volume, np.zeros(SHAPE, np.uint8)).node
    assert segment_names(node) == [label.name for label in LABELS]
    assert_voxels(node, volume, np.zeros(SHAPE, np.uint8))


def test_reference_geometry_is_the_input():
    import slicer

    volume = add_volume(affine=OBLIQUE)
    node = write(volume).node
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert node.GetNodeReference(role) is volume
    image = slicer.vtkOrientedImageData()
    geometry = node.GetSegmentation().GetConversionParameter(
        slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    )
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(geometry, image)
    assert image.GetDimensions() == SHAPE[::-1]


@pytest.mark.parametrize("make", [lambda: add_linear_transform(MOVED), add_warp], ids=["linear", "warp"])
def test_same_parent_transform_as_the_input(make):
    volume = add_volume(affine=OBLIQUE)
    volume.SetAndObserveTransformNodeID(make().GetID())
    node = write(volume).node
    assert node.GetParentTransformNode() is volume.GetParentTransformNode()
    assert_voxels(node, volume, label_map())


def test_place_in_a_dicom_study(scene):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Zoë")
    study = hierarchy.CreateStudyItem(patient, "2026-03-04")
    volume = add_volume()
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    assert hierarchy_parent(scene, write(volume).node) == study


def test_slices_are_filled_with_outlines_and_nothing_is_shown_in_3d_unasked():
    from LEUDASegmentationLib.run.surfaces import SURFACE, make_surfaces

    node = write(add_volume()).node
    assert node.GetDisplayNode().GetVisibility2DFill() and node.GetDisplayNode().GetVisibility2DOutline()
    assert not node.GetSegmentation().ContainsRepresentation(SURFACE)
    drain(make_surfaces(node, 0.25))
    assert segment_of(node, LABELS[0].name).GetRepresentation(SURFACE).GetNumberOfPoints() > 0
    assert float(node.GetSegmentation().GetConversionParameter("Smoothing factor")) == 0.25


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_surfaces_are_those_that_slicer_makes(smoothing):
    from LEUDASegmentationLib.run.surfaces import SURFACE, make_surfaces

    node = write(add_volume(affine=OBLIQUE)).node
    drain(make_surfaces(node, smoothing))
    ours = {
        label.name: np.array(segment_of(node, label.name).GetRepresentation(SURFACE).GetBounds()) for label in LABELS
    }
    counts = {
        label.name: segment_of(node, label.name).GetRepresentation(SURFACE).GetNumberOfPoints() for label in LABELS
    }
    node.GetSegmentation().CreateRepresentation(SURFACE, True)
    for label in LABELS:
        theirs = segment_of(node, label.name).GetRepresentation(SURFACE)
        np.testing.assert_allclose(ours[label.name], theirs.GetBounds(), atol=1e-4)
        assert counts[label.name] == theirs.GetNumberOfPoints() > 0


def test_surface_of_an_empty_segment_is_empty():
    from LEUDASegmentationLib.run.surfaces import SURFACE, make_surfaces

    node = write(add_volume(), np.zeros(SHAPE, np.uint8)).node
    drain(make_surfaces(node))
    assert segment_of(node, "grey").GetRepresentation(SURFACE).GetNumberOfPoints() == 0


def test_scene_survives_saving_and_loading(slicer_app, tmp_path):
    import slicer

    volume = add_volume(affine=OBLIQUE)
    write(volume)
    assert slicer.util.saveScene(str(tmp_path / "Zoë scene.mrb"))
    slicer_app.scene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "Zoë scene.mrb"))
    volume = slicer.util.getNode("Zoë CT 1")
    node = slicer.util.getNode("Zoë CT 1 Herz CT segmentation")
    assert_voxels(node, volume, label_map())
    assert segment_of(node, "grey").GetColor() == pytest.approx((0.5, 0.5, 0.5), abs=1e-6)


def test_label_with_a_value_beyond_a_byte():
    volume, label = add_volume(), Label(700, "far", (0.1, 0.2, 0.3))
    expected = np.where(label_map() == 1, 700, label_map()).astype(np.uint16)
    node = write(volume, expected, [label]).node
    np.testing.assert_array_equal(segment_voxels(node, "far", volume), expected == 700)


# Again into the same segmentation


def test_only_chosen_segments_are_written_and_corrections_stay():
    volume = add_volume()
    node = write(volume).node
    corrected = np.zeros(SHAPE, bool)
    corrected[3, 1:7, 2:9] = True
    paint(node, "spleen", volume, corrected)
    again = np.zeros(SHAPE, np.uint8)
    again[3:5, 2:5, 3:6], again[0] = 2, 5
    write(volume, again, LABELS[1:2], node)
    np.testing.assert_array_equal(segment_voxels(node, "spleen", volume), corrected)
    np.testing.assert_array_equal(segment_voxels(node, "grey", volume), again == 2)
    np.testing.assert_array_equal(segment_voxels(node, LABELS[0].name, volume), label_map() == 1)


def test_segments_of_others_are_not_erased_where_both_lie():
    import slicer

    volume = add_volume()
    node = write(volume).node
    mine = slicer.vtkSegment()
    mine.SetName("mine")
    node.GetSegmentation().AddSegment(mine)
    everywhere = np.ones(SHAPE, bool)
    paint(node, "mine", volume, everywhere)
    write(volume, label_map(), LABELS, node)
    np.testing.assert_array_equal(segment_voxels(node, "mine", volume), everywhere)
    assert_voxels(node, volume, label_map())


def test_ids_colours_names_and_order_stay():
    from LEUDASegmentationLib.scene.layers import segment_ids

    volume = add_volume()
    node = write(volume).node
    ids = segment_ids(node.GetSegmentation())
    segment = segment_of(node, LABELS[0].name)
    segment.SetColor(0.1, 0.9, 0.4)
    segment.SetName("left kidney")
    write(volume, np.where(label_map() == 1, 0, 1).astype(np.uint8), LABELS, node)
    assert segment_ids(node.GetSegmentation()) == ids
    assert segment_names(node) == ["left kidney", "grey", "spleen"]
    assert segment.GetColor() == pytest.approx((0.1, 0.9, 0.4))
    np.testing.assert_array_equal(segment_voxels(node, "left kidney", volume), label_map() != 1)


def test_layers_do_not_pile_up():
    volume = add_volume()
    node = write(volume).node
    for _run in range(3):
        write(volume, label_map(), LABELS[:2], node)
        write(volume, label_map(), LABELS[1:], node)
    assert node.GetSegmentation().GetNumberOfLayers() <= 2
    write(volume, label_map(), LABELS, node)
    assert node.GetSegmentation().GetNumberOfLayers() == 1


def test_surfaces_follow_what_is_written():
    from LEUDASegmentationLib.run.surfaces import SURFACE, make_surfaces

    volume = add_volume()
    node = write(volume).node
    drain(make_surfaces(node))
    record = write(volume, np.where(label_map() == 2, 2, 0).astype(np.uint8), LABELS[:2], node)
    assert record.had_surfaces and not node.GetSegmentation().ContainsRepresentation(SURFACE)


def test_another_grid_keeps_both_grids():
    coarse, fine = add_volume("coarse"), add_volume("fine", PLAIN @ np.diag([0.5, 0.5, 0.5, 1]), (12, 16, 20))
    node = write(coarse).node
    expected = label_map((12, 16, 20))
    write(fine, expected, LABELS[:1], node)
    np.testing.assert_array_equal(segment_voxels(node, LABELS[0].name, fine), expected == 1)
    np.testing.assert_array_equal(segment_voxels(node, "grey", coarse), label_map() == 2)


@pytest.mark.slow
def test_empty_output_goes_under_the_inputs_transform(scene):
    output = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    volume = add_volume()
    volume.SetAndObserveTransformNodeID(add_linear_transform(MOVED).GetID())
    record = write(volume, output=output)
    assert record.node is output and output.GetParentTransformNode() is volume.GetParentTransformNode()
    drain(record.undo())
    assert output.GetParentTransformNode() is None and not segment_names(output)


@pytest.mark.slow
def test_output_elsewhere_with_other_segments_is_refused():
    from LEUDASegmentationLib.run.results import check_output

    volume = add_volume()
    node = write(volume).node
    volume.SetAndObserveTransformNodeID(add_linear_transform(MOVED).GetID())
    with pytest.raises(InputError, match="under another transform") as caught:
        check_output(node, volume, LABELS[:1])
    assert "same transform" in caught.value.remedy
    check_output(node, volume, LABELS)  # nothing of others is in it


@pytest.mark.slow
def test_output_that_stores_surfaces_is_refused():
    from LEUDASegmentationLib.run.results import check_output
    from LEUDASegmentationLib.run.surfaces import SURFACE, make_surfaces

    volume = add_volume()
    node = write(volume).node
    drain(make_surfaces(node))
    node.GetSegmentation().SetSourceRepresentationName(SURFACE)
    with pytest.raises(InputError, match="closed surface") as caught:
        check_output(node, volume, LABELS)
    assert "binary labelmap" in caught.value.remedy


def test_names_that_differ_in_case_are_two_segments():
    import slicer

    volume, labels = add_volume(), [Label(1, "RV"), Label(2, "rv")]
    node = write(volume, label_map(), labels[:1]).node
    write(volume, label_map(), labels[1:], node)
    assert segment_names(node) == ["RV", "rv"]
    for index, value in enumerate((1, 2)):
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(index), volume)
        np.testing.assert_array_equal(voxels > 0, label_map() == value)


def test_a_renamed_segment_is_not_taken_for_another_label():
    volume, labels = add_volume(), [Label(1, "RV"), Label(2, "rv")]
    node = write(volume, label_map(), labels[:1]).node
    segment_of(node, "RV").SetName("rv")
    write(volume, label_map(), labels, node)
    assert segment_names(node) == ["rv", "rv"]

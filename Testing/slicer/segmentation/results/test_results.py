"""What a run writes into the scene: exact geometry, and nothing of others lost."""

from __future__ import annotations

import numpy as np
import pytest

from leuda_core.types import Label
from segmentation_scene import (
    AFFINES,
    LABELS,
    MOVED,
    OBLIQUE,
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
    segment_names,
    segment_of,
    segment_voxels,
    write,
)

pytestmark = pytest.mark.usefixtures("scene")


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

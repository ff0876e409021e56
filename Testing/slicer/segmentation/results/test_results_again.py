"""What a run writes into a segmentation that exists: corrections, other segments and surfaces stay."""

from __future__ import annotations

import numpy as np
import pytest

from leuda_core.errors import InputError
from leuda_core.types import Label
from segmentation_scene import (
    LABELS,
    MOVED,
    PLAIN,
    SHAPE,
    add_linear_transform,
    add_volume,
    assert_voxels,
    drain,
    label_map,
    paint,
    segment_names,
    segment_of,
    segment_voxels,
    write,
)

pytestmark = pytest.mark.usefixtures("scene")


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

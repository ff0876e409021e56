"""Masking and overwriting in the effect "LE-UDA": editable area, editable intensities and other segments."""

from __future__ import annotations

import numpy as np
import pytest

from effect_editor import KIDNEY, SPLEEN
from segmentation_scene import LABELS, SHAPE, label_map


@pytest.mark.parametrize("highest", [None, 200])
def test_masking_keeps_what_is_outside_the_editable_area(open_editor, highest: int | None) -> None:
    editor = open_editor(segments=(KIDNEY, "organ"))
    area, drawn = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    area[:, :3], drawn[:, 2:5, 2:6] = True, True
    editor.draw(area, "organ")
    editor.draw(drawn)
    node_class = editor.slicer.vtkMRMLSegmentationNode
    editor.node.SetMaskMode(node_class.EditAllowedInsideSingleSegment)
    editor.node.SetMaskSegmentID(editor.segmentation.GetSegmentation().GetSegmentIdBySegmentName("organ"))
    if highest is not None:
        editor.node.SetSourceVolumeIntensityMask(True)
        editor.node.SetSourceVolumeIntensityMaskRange(0, highest)
        area &= editor.slicer.util.arrayFromVolume(editor.volume) <= highest
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    np.testing.assert_array_equal(editor.voxels(), np.where(area, label_map() == 1, drawn))


@pytest.mark.parametrize("mode", ["EditAllowedInsideAllSegments", "EditAllowedInsideSingleSegment"])
def test_a_segment_that_is_written_may_be_the_mask(open_editor, mode: str) -> None:
    editor = open_editor(segments=(SPLEEN,))
    area = np.zeros(SHAPE, bool)
    area[:, :6] = True
    editor.draw(area, SPLEEN)
    editor.node.SetMaskMode(getattr(editor.slicer.vtkMRMLSegmentationNode, mode))
    editor.node.SetMaskSegmentID(editor.segmentation.GetSegmentation().GetSegmentIdBySegmentName(SPLEEN))
    editor.choose("LEUDAEffectSegments", "all")
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    for label in LABELS:
        np.testing.assert_array_equal(editor.voxels(label.name), (label_map() == label.value) & area)
    assert editor.node.GetMaskMode() == getattr(editor.slicer.vtkMRMLSegmentationNode, mode)


def test_the_editor_does_not_see_what_is_selected_meanwhile(open_editor) -> None:
    import vtk

    editor = open_editor(segments=(SPLEEN, KIDNEY))
    chosen, seen = editor.node.GetSelectedSegmentID(), set()
    modified = vtk.vtkCommand.ModifiedEvent
    tag = editor.node.AddObserver(modified, lambda node, _event: seen.add(node.GetSelectedSegmentID()))
    editor.choose("LEUDAEffectSegments", "all")
    editor.apply()
    editor.node.RemoveObserver(tag)
    assert seen <= {chosen} and editor.node.GetSelectedSegmentID() == chosen


def test_outside_of_other_segments(open_editor) -> None:
    editor = open_editor(segments=(KIDNEY, "organ"))
    organ = np.zeros(SHAPE, bool)
    organ[:, 2:6, 1:7] = True
    editor.draw(organ, "organ")
    editor.node.SetMaskMode(editor.slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    np.testing.assert_array_equal(editor.voxels(), (label_map() == 1) & ~organ)
    np.testing.assert_array_equal(editor.voxels("organ"), organ)


def test_the_editable_intensities_are_those_of_the_editor(open_editor) -> None:
    editor = open_editor()
    voxels = editor.slicer.util.arrayFromVolume(editor.volume)
    editor.node.SetSourceVolumeIntensityMask(True)
    editor.node.SetSourceVolumeIntensityMaskRange(0, 200)
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    np.testing.assert_array_equal(editor.voxels(), (label_map() == 1) & (voxels <= 200))


@pytest.mark.parametrize("overwrites", [True, False])
def test_other_segments_are_overwritten_as_the_editor_says(open_editor, overwrites: bool) -> None:
    editor = open_editor(segments=(KIDNEY, "organ"))
    organ = np.zeros(SHAPE, bool)
    organ[:, 2:6, 1:7] = True
    editor.draw(organ, "organ")
    modes = editor.slicer.vtkMRMLSegmentEditorNode
    editor.node.SetOverwriteMode(modes.OverwriteAllSegments if overwrites else modes.OverwriteNone)
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    kidney = label_map() == 1
    np.testing.assert_array_equal(editor.voxels(), kidney)
    np.testing.assert_array_equal(editor.voxels("organ"), organ & ~kidney if overwrites else organ)

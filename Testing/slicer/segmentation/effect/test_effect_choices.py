"""What is chosen in the effect "LE-UDA": slices, ROI, segments and model, what is missing, and what the scene keeps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from effect_editor import only
from segmentation_scene import MODEL, OBLIQUE, SHAPE, add_volume, label_map


def test_from_here_to_there(open_editor) -> None:
    editor = open_editor()
    editor.choose("LEUDAEffectRegion", "range")
    editor.app.click(editor.find("LEUDAEffectApply"))
    assert "No slices are chosen" in editor.message
    editor.look_at(4)
    editor.app.click(editor.find("LEUDAEffectFrom"))
    editor.look_at(2)  # upwards as well as downwards
    editor.app.click(editor.find("LEUDAEffectTo"))
    assert editor.find("LEUDAEffectPlace").text == "Slices 3 to 5"
    assert editor.apply()["box"] == [[0, 10], [0, 8], [2, 5]]
    np.testing.assert_array_equal(editor.voxels(), only(slice(2, 5)) == 1)


def test_chosen_slices_are_forgotten_with_the_volume(open_editor) -> None:
    editor = open_editor()
    editor.choose("LEUDAEffectRegion", "range")
    editor.app.click(editor.find("LEUDAEffectFrom"))
    assert editor.tool.choices.range() is not None
    editor.widget.setSourceVolumeNode(add_volume("other"))
    assert editor.tool.choices.range() is None


def test_inside_a_roi_that_is_created_around_the_volume(open_editor) -> None:
    editor = open_editor()
    editor.choose("LEUDAEffectRegion", "roi")
    editor.app.click(editor.find("LEUDAEffectApply"))
    assert "No ROI is chosen" in editor.message
    roi = editor.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    editor.find("LEUDAEffectROI").setCurrentNode(roi)
    assert min(roi.GetSize()) > 0
    middle = (OBLIQUE @ [2.0, 3.0, 2.5, 1.0])[:3]
    roi.SetCenter(*middle)
    roi.SetSize(1.6, 1.6, 30.0)
    editor.draw(np.ones(SHAPE, bool))
    editor.apply()
    from LEUDASegmentationLib.scene.geometry import RoiMask

    inside = np.ones(SHAPE, np.uint8)
    RoiMask(editor.volume, roi).apply(inside, 0)
    assert 0 < inside.sum() < inside.size
    np.testing.assert_array_equal(editor.voxels(), np.where(inside > 0, label_map() == 1, True))


def test_without_a_selected_segment(open_editor) -> None:
    editor = open_editor(segments=())
    editor.app.click(editor.find("LEUDAEffectApply"))
    assert "No segment is selected" in editor.message


def test_a_hidden_segment_is_asked_about(open_editor) -> None:
    editor = open_editor()
    display = editor.segmentation.GetDisplayNode()
    display.SetSegmentVisibility(editor.widget.currentSegmentID(), False)
    editor.app.answers.add("Cancel")
    editor.app.click(editor.find("LEUDAEffectApply"))
    assert not editor.tool.running
    editor.app.answers.add("Yes")
    editor.apply()
    assert display.GetSegmentVisibility(editor.widget.currentSegmentID()) and editor.voxels().any()


def test_there_is_no_model(open_editor, monkeypatch) -> None:
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic

    editor = open_editor()
    monkeypatch.setattr(LEUDASegmentationLogic, "models", lambda _self: [])
    editor.app.click(editor.find("None"))
    editor.app.click(editor.find("LE-UDA"))
    assert not editor.find("LEUDAEffectApply").enabled
    assert editor.find("LEUDAEffectModel").currentText == "none: train or import one"


def test_a_volume_that_cannot_be_segmented_has_no_preview_and_is_told_once(open_editor) -> None:
    editor = open_editor()
    labels = editor.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    labels.SetAndObserveImageData(editor.volume.GetImageData())
    editor.node.SetAndObserveSourceVolumeNode(labels)
    editor.node.Modified()
    editor.app.processEvents()
    assert editor.message == ":  " and editor.tool.choices["Preview"] == "1"
    editor.app.click(editor.find("LEUDAEffectApply"))
    assert "is a label map" in editor.message


def test_choices_are_saved_with_the_scene(open_editor, tmp_path: Path) -> None:
    editor = open_editor()
    editor.choose("LEUDAEffectRegion", "range")
    editor.choose("LEUDAEffectSegments", "all")
    editor.app.click(editor.find("None"))
    path, name = tmp_path / "scene.mrb", editor.node.GetName()
    assert editor.slicer.util.saveScene(str(path))
    editor.widget.setMRMLSegmentEditorNode(None)
    editor.slicer.mrmlScene.Clear(0)
    editor.slicer.util.loadScene(str(path))
    nodes = editor.slicer.util.getNodesByClass("vtkMRMLSegmentEditorNode")
    (editor.node,) = [node for node in nodes if node.GetName() == name]
    editor.widget.setMRMLSegmentEditorNode(editor.node)
    editor.app.click(editor.find("LE-UDA"))
    assert editor.find("LEUDAEffectRegion").currentData == "range"
    assert editor.find("LEUDAEffectSegments").currentData == "all"


def test_a_scene_that_was_saved_without_the_effect_means_what_is_shown(open_editor) -> None:
    editor = open_editor()
    for name in list(editor.node.GetAttributeNames()):
        editor.node.RemoveAttribute(name)
    editor.node.Modified()
    editor.look_at(2)
    assert editor.find("LEUDAEffectRegion").currentData == "slice"
    assert editor.apply()["box"] == [[0, 10], [0, 8], [2, 3]]
    for name in list(editor.node.GetAttributeNames()):
        editor.node.RemoveAttribute(name)
    editor.choose("LEUDAEffectRegion", "range")
    assert "Scroll to the first slice" in editor.find("LEUDAEffectPlace").text


def test_lists_that_change_while_another_effect_is_chosen_change_nothing(open_editor) -> None:
    editor = open_editor()
    roi = editor.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    editor.choose("LEUDAEffectRegion", "roi")
    editor.find("LEUDAEffectROI").setCurrentNode(roi)
    editor.app.click(editor.find("None"))
    effect = editor.widget.effectByName("LE-UDA")
    effect.setParameter("Region", "slice")
    effect.setParameter("Segments", "all")
    editor.slicer.mrmlScene.RemoveNode(roi)
    editor.app.processEvents()
    assert (effect.parameter("Region"), effect.parameter("Segments")) == ("slice", "all")


def test_slices_as_the_model_cuts_them() -> None:
    """A volume with thick slices along i is cut along i, whatever the view."""
    pytest.importorskip("slicer_core")
    from LEUDASegmentationLib.effect.region import slice_axis, slices_between

    volume = SimpleNamespace()
    affine = np.diag([5.0, 1.0, 1.0, 1.0])
    with pytest.MonkeyPatch.context() as patch:
        from LEUDASegmentationLib.effect import region

        patch.setattr(region, "volume_shape", lambda _node: (10, 20, 30))
        patch.setattr(region, "ijk_to_ras", lambda _node: affine)
        assert slice_axis(volume, MODEL) == 0
        assert slices_between(volume, 0, 7, 3).box == ((3, 8), (0, 20), (0, 30))

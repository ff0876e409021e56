"""The effect "LE-UDA" from its start to its end: preview, cancellation, errors, and changes meanwhile."""

from __future__ import annotations

import numpy as np

from effect_editor import KIDNEY, SPLEEN
from leuda_core.errors import InputError
from segmentation_scene import LABELS, label_map, segment_names


def test_every_segment_editor_has_the_effect(open_editor) -> None:
    editor = open_editor()
    assert "LE-UDA" in editor.widget.availableEffectNames()
    assert editor.widget.activeEffect().name == "LE-UDA"
    other = editor.slicer.qMRMLSegmentEditorWidget()
    assert other.effectByName("LE-UDA") is not editor.widget.effectByName("LE-UDA")
    other.delete()


def test_the_preview_outlines_what_would_be_written(open_editor) -> None:
    editor = open_editor(segments=(KIDNEY, SPLEEN))
    assert editor.find("LEUDAEffectPreview").checked

    def outlined() -> list[str]:
        nodes = editor.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        return [name for node in nodes if node is not editor.segmentation for name in segment_names(node)]

    assert outlined() == [KIDNEY]
    editor.widget.setCurrentSegmentID(editor.segmentation.GetSegmentation().GetSegmentIdBySegmentName(SPLEEN))
    editor.answer_previews()
    assert outlined() == [SPLEEN]
    editor.choose("LEUDAEffectSegments", "all")
    editor.answer_previews()
    assert outlined() == [label.name for label in LABELS]
    editor.app.click(editor.find("LEUDAEffectPreview"))
    assert outlined() == [] and editor.tool.choices["Preview"] == "0"
    editor.app.click(editor.find("None"))
    editor.app.click(editor.find("LE-UDA"))
    assert not editor.find("LEUDAEffectPreview").checked
    assert not [name for name in editor.worker.files if "labels" in name]


def test_another_effect_ends_preview_and_work(open_editor) -> None:
    editor = open_editor()
    editor.app.click(editor.find("LEUDAEffectApply"))
    editor.app.wait_until(lambda: editor.worker.asked("segment"), 5, "no request")
    editor.app.click(editor.find("Paint"))
    editor.app.wait_until(lambda: not editor.tool.running, 5, "not cancelled")
    assert len(editor.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1  # no outlines
    assert not editor.voxels().any() and editor.find("LEUDAEffectPreview").checked
    assert not editor.tool.options.progress.running


def test_cancel_writes_nothing(open_editor) -> None:
    editor = open_editor()
    editor.app.click(editor.find("LEUDAEffectApply"))
    editor.app.wait_until(lambda: editor.worker.asked("segment"), 5, "no request")
    assert not editor.find("LEUDAEffectApply").enabled
    editor.app.click(editor.find("cancelButton"))
    editor.app.wait_until(lambda: not editor.tool.running, 5, "not cancelled")
    assert not editor.voxels().any() and editor.find("LEUDAEffectApply").enabled


def test_an_answer_that_was_on_its_way_when_it_was_cancelled_is_not_written(open_editor) -> None:
    editor = open_editor()
    editor.app.click(editor.find("LEUDAEffectApply"))
    editor.app.wait_until(lambda: editor.worker.asked("segment"), 5, "no request")
    (fields,) = editor.worker.asked("segment")
    np.save(fields["output"], label_map())
    number = next(n for n, request in editor.worker.open.items() if request.name == "segment")
    editor.app.click(editor.find("cancelButton"))
    editor.worker.finish({"device": "cpu", "notes": [], "labels": []}, number)
    editor.app.wait_until(lambda: not editor.tool.running, 5, "not cancelled")
    assert not editor.voxels().any()


def test_what_changes_meanwhile(open_editor) -> None:
    editor = open_editor()
    finish = editor.worker.finish

    def with_change(change):
        def finish_later(result, number=None):
            request = editor.worker.open[number] if number else None
            if request is not None and request.name == "segment":
                change()
            finish(result, number)

        return finish_later

    content = editor.segmentation.GetSegmentation()
    editor.worker.finish = with_change(lambda: content.RemoveSegment(content.GetNthSegmentID(0)))
    editor.apply()
    assert "was removed meanwhile" in editor.message
    content.AddEmptySegment("", KIDNEY)
    editor.widget.setCurrentSegmentID(content.GetNthSegmentID(0))
    editor.worker.finish = with_change(lambda: editor.slicer.util.arrayFromVolumeModified(editor.volume))
    editor.apply()
    assert "was changed while it was being segmented" in editor.message and not editor.voxels().any()
    other = editor.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    editor.worker.finish = with_change(lambda: editor.widget.setSegmentationNode(other))
    editor.apply()
    assert not editor.voxels().any() and other.GetSegmentation().GetNumberOfSegments() == 0
    assert "another segmentation was chosen" in editor.message.lower()


def test_an_error_of_the_worker_is_shown(open_editor) -> None:
    editor = open_editor()
    editor.app.click(editor.find("LEUDAEffectApply"))
    editor.app.wait_until(lambda: editor.worker.asked("segment"), 5, "no request")
    editor.worker.fail(InputError("the model is damaged", "delete it"))
    assert editor.message == "error: The model is damaged. Delete it."


def test_closing_the_scene_ends_everything(open_editor) -> None:
    editor = open_editor()
    editor.app.click(editor.find("LEUDAEffectApply"))
    editor.app.wait_until(lambda: editor.worker.asked("segment"), 5, "no request")
    editor.slicer.mrmlScene.Clear(0)
    editor.app.wait_until(lambda: not editor.tool.running, 5, "not cancelled")
    editor.app.processEvents()
    assert not editor.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert not [name for name in editor.worker.files if "labels" in name or "preview" in name]

"""The panel of LE-UDA Segmentation while scenes are saved, loaded and closed, and nodes come and go."""

from __future__ import annotations

import pytest

from host.driving import wait_until
from segmentation_panel import add_patient, apply, apply_to_end, choose_model, column_texts, segmentations, settle

pytestmark = pytest.mark.slow


def test_everything_chosen_survives_saving_and_loading(ready, slicer_app, tmp_path) -> None:
    import slicer

    choose_model(ready, 1)
    node = ready._parameterNode
    node.device, node.largestComponent, node.showIn3D, node.smoothing = "cuda:1", True, True, 0.25
    node.skippedSegments, node.volumes = ["ring"], [node.inputVolume]
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear()
    settle()
    assert ready._parameterNode.model == ""
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    settle()
    loaded = ready._parameterNode
    assert loaded.inputVolume.GetName() == "patient 1 Größe"
    assert list(loaded.volumes) == [loaded.inputVolume]
    assert (loaded.model, loaded.device, loaded.smoothing) == ("other discs", "cuda:1", 0.25)
    assert ready.panel.models.selected_name == "other discs"
    assert ready.ui.largestComponentCheckBox.checked and ready.ui.smoothingSlider.value == 0.25
    assert ready.panel.segments.skipped() == ["ring"]
    assert ready.panel.device.current == "cuda:1"


def test_closing_the_scene_while_running_says_so_and_the_next_apply_works(ready, worker) -> None:
    import slicer

    apply(ready, worker)
    slicer.mrmlScene.Clear()
    settle()
    assert not ready.panel.apply.running and worker.asked("segment") == []
    assert ready.panel.message_strip.kind in ("info", "error")
    assert not ready.ui.applyButton.enabled
    ready._parameterNode.inputVolume = add_patient("next")
    choose_model(ready)
    apply_to_end(ready, worker)
    assert segmentations()


def test_deleting_the_volume_while_running_says_so(ready, worker) -> None:
    import slicer

    apply(ready, worker)
    slicer.mrmlScene.RemoveNode(ready._parameterNode.inputVolume)
    settle()
    assert not ready.panel.apply.running
    assert "deleted" in ready.panel.message_strip.cause
    assert ready.ui.applyButton.toolTip == "Choose an input volume."


def test_numbers_are_counted_again_after_a_correction(ready, worker) -> None:
    import slicer

    apply_to_end(ready, worker)
    node = segmentations()[0]
    ready.exit()
    node.GetSegmentation().RemoveSegment(node.GetSegmentation().GetNthSegmentID(0))
    ready.enter()
    wait_until(lambda: column_texts(ready.panel.result.statistics.table) == ["ring"])
    assert slicer.mrmlScene.IsNodePresent(node)


def test_the_module_may_close_while_numbers_are_counted_and_a_run_is_undone(ready, worker) -> None:
    apply_to_end(ready, worker)
    ready.panel.result.undo()
    ready.panel.result.refresh()
    ready.cleanup()
    settle()
    assert segmentations(), "the run was not undone any more"


def test_deleting_the_result_empties_the_panel(ready, worker) -> None:
    import slicer

    apply_to_end(ready, worker)
    slicer.mrmlScene.RemoveNode(segmentations()[0])
    settle()
    assert not ready.panel.result.statistics.widget.visible
    apply_to_end(ready, worker)
    assert segmentations()


def test_work_goes_on_in_another_module(ready, worker, slicer_app) -> None:
    apply(ready, worker)
    ready.exit()
    worker.answer()
    wait_until(segmentations)
    ready.enter()
    settle()
    assert ready.ui.outputSelector.currentNode() is segmentations()[0]


def test_leaving_and_entering_keeps_what_was_chosen(ready) -> None:
    for _turn in range(3):
        ready.exit()
        ready.enter()
    settle()
    assert ready.panel.models.selected_name == "discs" and ready.ui.applyButton.enabled


def test_cleanup_ends_what_runs_and_may_be_followed_by_events(ready, worker) -> None:
    import slicer

    apply(ready, worker)
    ready.cleanup()
    slicer.mrmlScene.Clear()
    settle()
    assert worker.asked("segment") == []

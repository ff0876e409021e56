"""Apply in the panel of LE-UDA Segmentation, on one volume and on several: real nodes, widgets and mouse events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from host.driving import wait_until
from leuda_core.errors import LeudaError
from segmentation_panel import (
    add_patient,
    apply,
    apply_to_end,
    choose_model,
    click,
    click_check_mark,
    column_texts,
    draw_discs,
    segmentations,
    settle,
)

pytestmark = pytest.mark.slow

# Apply


def test_apply_writes_segments_and_shows_them(ready, worker) -> None:
    volume = ready._parameterNode.inputVolume
    apply(ready, worker)
    assert not ready.ui.applyButton.enabled and "cancel" in ready.ui.applyButton.toolTip
    worker.progress(stage="segment", done=5, total=10, seconds_left=3.2)
    progress = ready.panel.apply.progress
    assert progress.stage_label.text == "Segmenting" and progress.time_label.text == "about 3 s left"
    worker.answer()
    wait_until(lambda: not ready.panel.apply.running)
    settle()
    (node,) = segmentations()
    names = [node.GetSegmentation().GetNthSegment(i).GetName() for i in range(2)]
    assert names == ["disc", "ring"]
    assert ready.ui.outputSelector.currentNode() is node
    statistics = ready.panel.result.statistics.table
    wait_until(lambda: column_texts(statistics) == names)
    voxels = 3 * 8 * 4  # of the label "disc", of 1 mm3 each
    assert float(statistics.item(0, 1).text()) == pytest.approx(voxels / 1000, abs=5e-4)
    assert ready.panel.message_strip.kind == "info" and not progress.running
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume
    assert ready.ui.applyButton.enabled


def test_what_the_user_should_know_is_a_warning(ready, worker) -> None:
    apply(ready, worker)
    (fields,) = worker.asked("segment")
    worker.finish({**draw_discs(fields), "notes": ["the GPU does not work: the CPU was used"]})
    wait_until(lambda: not ready.panel.apply.running)
    assert ready.panel.message_strip.kind == "warning"
    assert "CPU was used" in ready.panel.message_strip.remedy


def test_the_options_reach_the_worker(ready, worker) -> None:
    ready.ui.optionsSection.collapsed = False
    settle()
    click(ready.ui.largestComponentCheckBox)
    click(ready.ui.probabilitiesCheckBox)
    ready._parameterNode.device = "cpu"
    apply(ready, worker)
    (fields,) = worker.asked("segment")
    assert fields["largest_component"] is True and fields["probabilities"] is not None
    assert fields["device"] == "cpu" and fields["box"] is None
    assert fields["model"] == "/models/discs"


def test_only_checked_segments_are_written_and_the_others_kept(ready, worker) -> None:
    apply_to_end(ready, worker)
    ready.ui.optionsSection.collapsed = False
    settle()
    click_check_mark(ready.panel.segments.list, 0)
    assert list(ready._parameterNode.skippedSegments) == ["disc"]
    apply_to_end(ready, worker)
    (node,) = segmentations()
    assert node.GetSegmentation().GetNumberOfSegments() == 2


def test_unchecking_every_segment_disables_apply(ready) -> None:
    ready._parameterNode.skippedSegments = ["disc", "ring"]
    settle()
    assert ready.ui.applyButton.toolTip == "Check at least one segment under Options."
    choose_model(ready, 1)  # of the same labels: they stay unchecked
    assert not ready.ui.applyButton.enabled


def test_cancel_ends_at_once_and_writes_nothing(ready, worker) -> None:
    apply(ready, worker)
    click(ready.panel.apply.progress.cancel_button)
    wait_until(lambda: not ready.panel.apply.running, 1.0)
    assert segmentations() == [] and len(worker.cancelled) == 1
    assert "nothing was written" in ready.panel.message_strip.cause
    apply(ready, worker)  # and the next Apply works


def test_a_failure_shows_cause_and_remedy_and_the_next_apply_works(ready, worker) -> None:
    apply(ready, worker)
    worker.fail(LeudaError("the process stopped unexpectedly with signal 9", "free memory"))
    wait_until(lambda: not ready.panel.apply.running)
    strip = ready.panel.message_strip
    assert strip.kind == "error" and "signal 9" in strip.cause and strip.remedy == "Free memory."
    apply(ready, worker)
    assert not strip.widget.visible
    worker.answer()
    wait_until(segmentations)


def test_undo_takes_the_result_back(ready, worker) -> None:
    apply_to_end(ready, worker)
    click(ready.ui.undoButton)
    assert segmentations() == []
    assert not ready.ui.undoButton.visible and not ready.panel.result.statistics.widget.visible
    assert ready._parameterNode.outputSegmentation is None


def test_another_volume_gets_a_segmentation_of_its_own(ready, worker) -> None:
    apply_to_end(ready, worker)
    ready.ui.inputSelector.setCurrentNode(add_patient("patient 2"))
    settle()
    assert ready.ui.outputSelector.currentNode() is None
    apply(ready, worker)
    worker.answer()
    wait_until(lambda: len(segmentations()) == 2)


def test_an_output_that_the_user_chose_stays_chosen(ready, worker) -> None:
    import slicer

    chosen = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    ready.ui.outputSelector.setCurrentNode(chosen)
    apply(ready, worker)
    worker.answer()
    wait_until(lambda: chosen.GetSegmentation().GetNumberOfSegments() == 2)
    assert segmentations() == [chosen]


def test_a_new_roi_lies_around_the_volume_and_limits_apply(ready, worker) -> None:
    ready.ui.roiSelector.addNode("vtkMRMLMarkupsROINode")
    settle()
    roi = ready.ui.roiSelector.currentNode()
    bounds, box = [0.0] * 6, [0.0] * 6
    ready._parameterNode.inputVolume.GetRASBounds(bounds)
    roi.GetRASBounds(box)
    assert box == pytest.approx(bounds)
    apply(ready, worker)
    (fields,) = worker.asked("segment")
    assert fields["box"] == [[0, 14], [0, 12], [0, 5]]


def find_nothing(fields: dict[str, Any]) -> dict[str, Any]:
    np.save(fields["output"], np.zeros(np.load(fields["volume"], mmap_mode="r").shape, np.uint8))
    return {"device": "cpu", "notes": [], "seconds": {}, "labels": []}


def test_an_empty_result_is_a_warning_with_what_to_look_at(ready, worker) -> None:
    worker.draw = find_nothing
    apply_to_end(ready, worker)
    strip = ready.panel.message_strip
    assert strip.kind == "warning" and strip.cause == "The model found nothing in this volume."
    assert "modality" in strip.remedy and "ROI" in strip.remedy
    worker.draw = draw_discs
    apply_to_end(ready, worker)
    assert strip.kind == "info" and strip.cause.startswith("“patient 1")
    ready._parameterNode.skippedSegments = ["disc"]  # which stays where it was found before
    worker.draw = find_nothing
    apply_to_end(ready, worker)
    assert strip.kind == "warning" and strip.cause == "The model found nothing in this volume."


# Several volumes


@pytest.fixture
def several(ready):
    add_patient("patient 2")
    click(ready.ui.severalVolumesCheckBox)
    return ready


def test_several_volumes_are_segmented_one_after_another(several, worker) -> None:
    assert not several.ui.inputSelector.visible
    assert several.ui.eachOutputLabel.visible and several.ui.outputLabel.text == "Show result:"
    assert several.ui.applyButton.toolTip == "Check at least one volume."
    click(several.panel.volumes.all_button)
    apply(several, worker)
    worker.progress(stage="segment", done=1, total=2, seconds_left=None)
    assert several.panel.apply.progress.stage_label.text == "Volume 1 of 2: Segmenting"
    worker.fail(LeudaError("the volume is torn", "load it again"))
    wait_until(lambda: worker.asked("segment"))
    worker.answer()
    wait_until(lambda: not several.panel.apply.running)
    table = several.panel.volumes.table
    assert column_texts(table, 2) == ["failed", "done"]
    assert "torn" in table.item(0, 2).toolTip()
    strip = several.panel.message_strip
    assert strip.kind == "warning" and strip.cause.startswith("1 of 2 volumes were segmented. “patient 1")
    assert several.ui.outputSelector.currentNode() is segmentations()[0]


def test_the_result_of_another_volume_is_not_written_into(several, worker) -> None:
    click(several.panel.volumes.all_button)
    apply(several, worker)
    worker.answer()
    wait_until(lambda: worker.asked("segment"))
    worker.answer()
    wait_until(lambda: not several.panel.apply.running)
    assert several.ui.outputSelector.currentNode() is segmentations()[1]  # that of patient 2
    click(several.ui.severalVolumesCheckBox)
    assert several.ui.outputSelector.currentNode() is None and several.ui.outputLabel.text == "Segmentation:"
    apply_to_end(several, worker)
    assert len(segmentations()) == 3


def test_cancel_ends_the_whole_queue(several, worker) -> None:
    click(several.panel.volumes.all_button)
    apply(several, worker)
    click(several.panel.apply.progress.cancel_button)
    wait_until(lambda: not several.panel.apply.running)
    assert worker.open == {} and segmentations() == []
    assert several.panel.message_strip.cause == "Cancelled; 0 of 2 volumes were segmented."
    assert column_texts(several.panel.volumes.table, 2) == ["cancelled", "cancelled"]


def test_volumes_that_are_loaded_later_appear(several) -> None:
    add_patient("patient 3")
    assert several.panel.volumes.table.rowCount == 3

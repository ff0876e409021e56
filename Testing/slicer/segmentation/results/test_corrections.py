"""What a user has drawn on a result survives the next Apply, and Undo gives everything back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leuda_core.errors import InputError
from segmentation_panel import apply_to_end, click, segmentations, settle
from segmentation_scene import (
    LABELS,
    OBLIQUE,
    PLAIN,
    SHAPE,
    add_volume,
    assert_voxels,
    label_map,
    paint,
    segment_of,
    segment_voxels,
)

OTHER = np.roll(label_map(), 2, axis=2)
"""What the model says the next time."""


def answering(logic, labels: np.ndarray) -> None:
    """Let the worker answer with these labels from now on."""

    def draw(fields):
        np.save(fields["output"], labels)
        return {"device": "cpu", "notes": [], "seconds": {}, "labels": []}

    logic.worker.draw = draw


def draw_on(node, volume, name: str, k: int) -> np.ndarray:
    """Paint 100 voxels into one slice of a segment, as the Segment Editor does, and return the whole segment."""
    voxels = segment_voxels(node, name, volume)
    voxels[k] = False
    voxels[k, :, :5], voxels[k, :, 5:] = True, np.arange(40).reshape(8, 5) % 2
    paint(node, name, volume, voxels)
    return voxels


@pytest.fixture
def volume(slicer_app):
    return add_volume(affine=OBLIQUE)


@pytest.fixture
def node(logic, volume):
    """A result of the model."""
    return logic.segment(volume, "Herz CT")


def test_drawn_slices_are_kept_and_the_others_are_new(slicer_app, logic, volume, node) -> None:
    spleen = draw_on(node, volume, "spleen", 3)
    assert logic.correctedSlices(node, "Herz CT") == 1
    answering(logic, OTHER)
    job = logic.segment(volume, "Herz CT", node, wait=False)
    slicer_app.wait_until(lambda: not job.running, 10, "the job did not end")
    assert job.notes == ["1 corrected slice was kept"]
    np.testing.assert_array_equal(segment_voxels(node, "spleen", volume)[3], spleen[3])
    others = [k for k in range(SHAPE[0]) if k != 3]
    for label in LABELS:
        np.testing.assert_array_equal(segment_voxels(node, label.name, volume)[others], OTHER[others] == label.value)


def test_a_correction_is_kept_by_every_further_run(logic, volume, node) -> None:
    spleen = draw_on(node, volume, "spleen", 3)
    for labels in (OTHER, label_map(), OTHER):
        answering(logic, labels)
        logic.segment(volume, "Herz CT", node)
        np.testing.assert_array_equal(segment_voxels(node, "spleen", volume)[3], spleen[3])
        assert logic.correctedSlices(node, "Herz CT") == 1


def test_what_was_erased_stays_erased(logic, volume, node) -> None:
    voxels = segment_voxels(node, LABELS[0].name, volume)
    voxels[2] = False
    paint(node, LABELS[0].name, volume, voxels)
    answering(logic, OTHER)
    logic.segment(volume, "Herz CT", node)
    assert not segment_voxels(node, LABELS[0].name, volume)[2].any()
    assert segment_voxels(node, LABELS[0].name, volume)[1].any()


@pytest.mark.parametrize("keep", [True, False])
def test_undo_gives_back_what_was_drawn_and_what_the_run_replaced(logic, volume, node, keep: bool) -> None:
    spleen = draw_on(node, volume, "spleen", 3)
    answering(logic, OTHER)
    logic.segment(volume, "Herz CT", node, keepCorrections=keep)
    assert (segment_voxels(node, "spleen", volume)[3] == spleen[3]).all() == keep
    logic.undo(node)
    np.testing.assert_array_equal(segment_voxels(node, "spleen", volume), spleen)
    np.testing.assert_array_equal(
        segment_voxels(node, "grey", volume)[[0, 1, 2, 4, 5]], (label_map() == 2)[[0, 1, 2, 4, 5]]
    )
    assert logic.correctedSlices(node, "Herz CT") == 1  # the next run knows them again


def test_replaced_corrections_are_gone_and_no_longer_counted(logic, volume, node) -> None:
    draw_on(node, volume, "spleen", 3)
    answering(logic, OTHER)
    logic.segment(volume, "Herz CT", node, keepCorrections=False)
    assert_voxels(node, volume, OTHER)
    assert logic.correctedSlices(node, "Herz CT") == 0


def test_an_untouched_result_is_replaced_without_a_word(logic, volume, node) -> None:
    assert logic.correctedSlices(node, "Herz CT") == 0
    answering(logic, OTHER)
    logic.segment(volume, "Herz CT", node)
    assert_voxels(node, volume, OTHER)


def test_a_segment_that_no_run_wrote_is_all_the_users(logic, volume) -> None:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("spleen", "spleen")
    mine = np.zeros(SHAPE, bool)
    mine[1:3, 2:4, 2:4] = True
    paint(node, "spleen", volume, mine)
    assert logic.correctedSlices(node, "Herz CT") == 2
    assert logic.correctedSlices(node, "Herz CT", ["grey"]) == 0
    answering(logic, OTHER)
    logic.segment(volume, "Herz CT", node)
    np.testing.assert_array_equal(segment_voxels(node, "spleen", volume)[1:3], mine[1:3])
    np.testing.assert_array_equal(segment_voxels(node, "spleen", volume)[5], OTHER[5] == 5)


def test_results_of_version_0_1_have_no_stamps_and_are_replaced(logic, volume, node) -> None:
    for label in LABELS:
        segment_of(node, label.name).RemoveTag("LEUDA.Written")
    draw_on(node, volume, "spleen", 3)
    assert logic.correctedSlices(node, "Herz CT") == 0
    answering(logic, OTHER)
    logic.segment(volume, "Herz CT", node)
    assert_voxels(node, volume, OTHER)


def test_only_the_chosen_segments_count(logic, volume, node) -> None:
    spleen = draw_on(node, volume, "spleen", 3)
    assert logic.correctedSlices(node, "Herz CT", ["spleen"]) == 1
    answering(logic, OTHER)
    logic.segment(volume, "Herz CT", node, segments=[LABELS[0].name])
    np.testing.assert_array_equal(segment_voxels(node, "spleen", volume), spleen)


def test_corrections_survive_a_saved_segmentation(logic, volume, node, tmp_path: Path) -> None:
    import slicer

    spleen = draw_on(node, volume, "spleen", 3)
    path = tmp_path / "result.seg.nrrd"
    assert slicer.util.saveNode(node, str(path))
    slicer.mrmlScene.RemoveNode(node)
    loaded = slicer.util.loadSegmentation(str(path))
    assert logic.correctedSlices(loaded, "Herz CT") == 1
    answering(logic, OTHER)
    logic.segment(volume, "Herz CT", loaded)
    np.testing.assert_array_equal(segment_voxels(loaded, "spleen", volume)[3], spleen[3])
    np.testing.assert_array_equal(segment_voxels(loaded, "spleen", volume)[5], OTHER[5] == 5)


def test_corrections_on_another_grid_are_not_lost_in_silence(logic, volume, node) -> None:
    spleen = draw_on(node, volume, "spleen", 3)
    fine = add_volume("fine", PLAIN @ np.diag([0.5, 0.5, 0.5, 1]), (12, 16, 20))
    answering(logic, label_map((12, 16, 20)))
    with pytest.raises(InputError, match="another grid") as caught:
        logic.segment(fine, "Herz CT", node)
    assert "another output" in caught.value.remedy
    np.testing.assert_array_equal(segment_voxels(node, "spleen", volume), spleen)
    logic.segment(fine, "Herz CT", node, keepCorrections=False)


def test_stamps_that_cannot_be_read_are_as_none(logic, volume, node) -> None:
    from LEUDASegmentationLib.scene.corrections import written_stamps

    segment = segment_of(node, "spleen")
    assert set(written_stamps(segment)) == {5}
    segment.SetTag("LEUDA.Written", "5=zz")
    assert written_stamps(segment) is None
    assert logic.correctedSlices(node, "Herz CT") == 0


# In the panel


def corrected_result(ready, worker) -> tuple[Any, Any, np.ndarray]:
    """Apply, and draw on the first slice; return the segmentation, its volume and the segment that was drawn on."""
    apply_to_end(ready, worker)
    (node,) = segmentations()
    volume = ready._parameterNode.inputVolume
    voxels = segment_voxels(node, "disc", volume)
    voxels[0, :3] = True
    paint(node, "disc", volume, voxels)
    return node, volume, voxels


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "kept"), [("Keep them", True), ("Replace them", False)])
def test_the_panel_asks_once(ready, worker, slicer_app, answer: str, kept: bool) -> None:
    node, volume, _drawn = corrected_result(ready, worker)
    slicer_app.answers.add(answer)
    for _again in range(2):
        apply_to_end(ready, worker)
        assert segment_voxels(node, "disc", volume)[0, :3].all() == kept
        assert ready.ui.keepCorrectionsCheckBox.checked == kept
    assert len(slicer_app.answers.asked) == 1
    if kept:
        assert "1 corrected slice was kept" in ready.panel.message_strip.remedy


@pytest.mark.slow
def test_nothing_happens_when_the_question_is_cancelled(ready, worker, slicer_app) -> None:
    node, volume, voxels = corrected_result(ready, worker)
    slicer_app.answers.add("Cancel")
    click(ready.ui.applyButton)
    settle()
    assert not worker.asked("segment") and not ready.panel.apply.running
    np.testing.assert_array_equal(segment_voxels(node, "disc", volume), voxels)
    assert "nothing was written" in ready.panel.message_strip.cause
    assert not ready._parameterNode.askedAboutCorrections

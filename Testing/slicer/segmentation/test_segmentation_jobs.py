"""Segmentations in the background: progress, cancellation, what changes meanwhile, several volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leuda_core.errors import Cancelled, InputError
from segmentation_jobs import Outcome, begin, segmentations
from segmentation_scene import add_linear_transform, add_volume, segment_names, write_labels

pytestmark = pytest.mark.slow

SHIFTED = np.array([[1, 0, 0, 8.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


# In the background


def test_job_in_the_background_tells_progress_and_ends_once(slicer_app, held):
    volume = add_volume()
    job, outcome = begin(slicer_app, held, volume)
    assert job.running and not outcome.ended
    for done in range(4):
        held.worker.progress(stage="segment", done=done, total=4, seconds_left=4.0 - done)
    assert outcome.progress[-1].secondsLeft == 1.0 and outcome.progress[-1].text == "Segmenting"
    held.worker.answer()
    slicer_app.wait_until(lambda: outcome.ended)
    assert outcome.done == [job.outputSegmentation] and not outcome.errors and not job.running
    assert job.notes == ["a note"]
    fractions = [progress.fraction for progress in outcome.progress]
    assert fractions == sorted(fractions) and fractions[0] >= 0 and fractions[-1] == 1
    assert {"copy", "segment", "result"} <= {progress.stage for progress in outcome.progress}


@pytest.mark.parametrize("when", ["copying", "waiting"])
def test_cancel(slicer_app, held, when):
    outcome, volume = Outcome(), add_volume()
    before = segmentations(slicer_app)
    job = held.segment(volume, "Herz CT", wait=False, **outcome.callbacks)
    if when == "waiting":
        slicer_app.wait_until(lambda: held.worker.open)
    job.cancel()
    slicer_app.wait_until(lambda: outcome.ended, 1)
    assert isinstance(outcome.error, Cancelled) and not job.running
    assert segmentations(slicer_app) == before
    job.cancel()
    held.worker.held = False
    assert segment_names(held.segment(volume, "Herz CT")), "the next one works"


def test_volume_deleted_while_it_is_segmented(slicer_app, held):
    volume = add_volume()
    job, outcome = begin(slicer_app, held, volume)
    slicer_app.scene.RemoveNode(volume)
    assert "was deleted" in outcome.error.message and outcome.error.remedy
    assert held.worker.cancelled and not job.running and segmentations(slicer_app) == 0


def test_output_deleted_while_segments_for_it_are_made(slicer_app, held):
    output = slicer_app.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    _job, outcome = begin(slicer_app, held, add_volume(), outputSegmentation=output)
    slicer_app.scene.RemoveNode(output)
    assert "mine" in outcome.error.message


def test_scene_closed_while_a_volume_is_segmented(slicer_app, held):
    _job, outcome = begin(slicer_app, held, add_volume())
    slicer_app.scene.Clear(0)
    assert "scene was closed" in outcome.error.message
    slicer_app.processEvents()
    assert len(outcome.errors) == 1 and segmentations(slicer_app) == 0


@pytest.mark.parametrize("change", ["voxels", "place"])
def test_volume_changed_while_it_is_segmented(slicer_app, held, change):
    import slicer

    volume = add_volume()
    _job, outcome = begin(slicer_app, held, volume)
    if change == "voxels":
        slicer.util.updateVolumeFromArray(volume, np.zeros((2, 3, 4), np.int16))
    else:
        volume.SetOrigin(5, 5, 5)
    held.worker.answer()
    slicer_app.wait_until(lambda: outcome.ended)
    assert "was changed" in outcome.error.message and segmentations(slicer_app) == 0


def test_transform_changed_meanwhile_moves_the_result_along(slicer_app, held):
    volume = add_volume()
    job, outcome = begin(slicer_app, held, volume)
    volume.SetAndObserveTransformNodeID(add_linear_transform(SHIFTED).GetID())
    held.worker.answer()
    slicer_app.wait_until(lambda: outcome.ended)
    assert job.outputSegmentation.GetParentTransformNode() is volume.GetParentTransformNode()


def test_fault_in_a_result_is_an_error_and_not_a_crash(slicer_app, held, caplog):
    _job, outcome = begin(slicer_app, held, add_volume())
    Path(held.worker.fields[0]["output"]).write_bytes(b"no array")
    held.worker.finish({})
    slicer_app.wait_until(lambda: outcome.ended)
    assert outcome.error.remedy and "the work failed" in caplog.text


# Several


def test_several_volumes_of_which_one_fails(slicer_app, logic):
    volumes = [add_volume(f"v{number}") for number in range(3)]
    told, progress, ended = [], [], []

    def answer_all_but_one(fields):
        if len(logic.worker.fields) == 2:
            raise InputError("the volume contains NaN", "replace them")
        return write_labels(fields)

    logic.worker.draw = answer_all_but_one
    queue = logic.segmentMany(
        volumes,
        "Herz CT",
        wait=False,
        onProgress=progress.append,
        onVolumeDone=lambda *r: told.append(r),
        onDone=ended.append,
    )
    slicer_app.wait_until(lambda: ended)
    assert not queue.running and ended[0] == told == queue.results
    assert [volume for volume, _node, _error in told] == volumes
    assert [error is None for _volume, _node, error in told] == [True, False, True]
    fractions = [entry.fraction for entry in progress]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert progress[-1].text.startswith("Volume 3 of 3")


def test_several_volumes_blocking(slicer_app, logic):
    good, hollow = add_volume(), slicer_app.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")
    results = logic.segmentMany([hollow, good], "Herz CT", segments=["grey"])
    assert "no voxels" in results[0][2].message and results[0][1] is None
    assert segment_names(results[1][1]) == ["grey"] and results[1][2] is None


def test_cancelling_several_volumes_begins_no_other(slicer_app, held):
    volumes, ended = [add_volume(f"v{number}") for number in range(3)], []
    queue = held.segmentMany(volumes, "Herz CT", wait=False, onDone=ended.append)
    slicer_app.wait_until(lambda: held.worker.open)
    queue.cancel()
    slicer_app.wait_until(lambda: ended)
    assert len(queue.results) == 1 and isinstance(queue.results[0][2], Cancelled)
    assert len(held.worker.fields) == 1


def test_no_volumes_at_all(slicer_app, logic):
    ended = []
    logic.segmentMany([], "Herz CT", wait=False, onDone=ended.append)
    slicer_app.wait_until(lambda: ended)
    assert ended == [[]] and logic.segmentMany([], "Herz CT") == []


def test_misspelt_option_is_refused(logic):
    with pytest.raises(TypeError, match="segmnts"):
        logic.segmentMany([add_volume()], "Herz CT", segmnts=["grey"])

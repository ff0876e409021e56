"""The logic of LEUDASegmentation, blocking and not, with a worker that the test holds; then with the real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from segmentation_scene import (
    LABELS,
    MODEL,
    OBLIQUE,
    SHAPE,
    FakeWorker,
    add_linear_transform,
    add_volume,
    label_map,
    segment_names,
    segment_voxels,
    write_labels,
)

from leuda_core.errors import Cancelled, DeviceError, InputError, LeudaError

SHIFTED = np.array([[1, 0, 0, 8.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.fixture
def exchange(tmp_path) -> Path:
    folder = tmp_path / "exchange"
    folder.mkdir()
    return folder


def make_logic(exchange: Path, answer=write_labels):
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic

    class Logic(LEUDASegmentationLogic):
        def models(self):
            return [MODEL]

    return Logic(FakeWorker(exchange, answer), exchange.parent / "models")


@pytest.fixture
def logic(slicer_app, exchange):
    """The logic with a worker that answers by itself, in the event loop."""
    return make_logic(exchange)


@pytest.fixture
def held(slicer_app, exchange):
    """The logic with a worker that answers when the test says so."""
    return make_logic(exchange, None)


class Outcome:
    """What a job told: progress, then a segmentation or an error, once."""

    def __init__(self) -> None:
        self.progress, self.done, self.errors = [], [], []

    @property
    def callbacks(self) -> dict:
        return dict(onProgress=self.progress.append, onDone=self.done.append, onError=self.errors.append)

    @property
    def ended(self) -> bool:
        return bool(self.done or self.errors)

    @property
    def error(self) -> LeudaError:
        assert not self.done and len(self.errors) == 1
        return self.errors[0]


def begin(app, logic, volume, **options):
    """Start a job and let it come as far as its request."""
    outcome = Outcome()
    job = logic.segment(volume, "Herz CT", wait=False, **outcome.callbacks, **options)
    app.wait_until(lambda: logic.worker.open, 5, "no request")
    return job, outcome


def answer(logic) -> None:
    """Answer the open request."""
    number = next(iter(logic.worker.open))
    logic.worker.finish(number, write_labels(logic.worker.fields[-1]))


def segmentations(app) -> int:
    return app.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")


# Blocking


def test_segment_returns_the_segmentation(logic):
    volume = add_volume(affine=OBLIQUE)
    node = logic.segment(volume, "Herz CT")
    assert segment_names(node) == [label.name for label in LABELS]
    for label in LABELS:
        np.testing.assert_array_equal(segment_voxels(node, label.name, volume), label_map() == label.value)


def test_worker_gets_the_voxels_in_slicers_order_and_the_volumes_own_affine(slicer_app, held):
    import slicer

    volume = add_volume(affine=OBLIQUE)
    volume.SetAndObserveTransformNodeID(add_linear_transform(SHIFTED).GetID())
    begin(slicer_app, held, volume, device="cuda:1", largestComponent=True)
    fields = held.worker.fields[0]
    sent = np.load(fields["volume"])
    np.testing.assert_array_equal(sent, slicer.util.arrayFromVolume(volume))
    assert sent.dtype == np.int16 and sent.flags.c_contiguous
    np.testing.assert_allclose(fields["affine"], OBLIQUE, atol=1e-9)
    assert fields["request"] == "segment" and fields["model"] == str(MODEL.path)
    assert fields["device"] == "cuda:1" and fields["largest_component"] is True
    assert fields["box"] is None and fields["probabilities"] is None


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_voxel_types_of_slicer_arrive_unchanged(logic, dtype):
    import slicer

    volume, seen = add_volume(dtype=dtype), []

    def look(fields):
        seen.append(np.load(fields["volume"]))
        return write_labels(fields)

    logic.worker._answer = look
    logic.segment(volume, "Herz CT")
    np.testing.assert_array_equal(seen[0], slicer.util.arrayFromVolume(volume))
    assert seen[0].dtype == dtype


def test_large_volume_is_copied_in_pieces(logic, monkeypatch):
    from LEUDASegmentationLib import volume_files

    monkeypatch.setattr(volume_files, "BYTES_AT_ONCE", 200)
    volume = add_volume()
    node = logic.segment(volume, "Herz CT")
    np.testing.assert_array_equal(segment_voxels(node, "grey", volume), label_map() == 2)


def test_volume_is_copied_once_a_content(logic, exchange):
    import slicer

    volume = add_volume()
    logic.segment(volume, "Herz CT")
    logic.segment(volume, "Herz CT")
    paths = [fields["volume"] for fields in logic.worker.fields]
    assert paths[0] == paths[1]
    slicer.util.arrayFromVolume(volume)[:] += 1
    slicer.util.arrayFromVolumeModified(volume)
    logic.segment(volume, "Herz CT")
    assert logic.worker.fields[2]["volume"] != paths[0]
    assert all("volume" in name for name in logic.worker.files), "labels must not stay behind"


def test_copies_of_volumes_do_not_pile_up(logic, exchange):
    for number in range(5):
        logic.segment(add_volume(f"volume {number}"), "Herz CT")
    assert len(logic.worker.files) <= 2


def test_copy_is_made_again_after_the_exchange_folder_was_removed(logic):
    volume = add_volume()
    logic.segment(volume, "Herz CT")
    Path(logic.worker.fields[0]["volume"]).unlink()
    assert segment_names(logic.segment(volume, "Herz CT"))


def test_roi_goes_to_the_worker_as_a_box_and_cuts_the_result(logic):
    import slicer

    volume = add_volume(affine=np.eye(4))
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "ROI")
    roi.SetCenter(4, 3, 2)
    roi.SetSize(4.2, 6.2, 2.2)
    node = logic.segment(volume, "Herz CT", roiNode=roi)
    assert logic.worker.fields[0]["box"] == [[2, 7], [0, 7], [1, 4]]
    expected = np.zeros(SHAPE, bool)
    expected[1:4, 0:7, 2:7] = True
    np.testing.assert_array_equal(segment_voxels(node, "grey", volume), expected & (label_map() == 2))


def test_probabilities_become_volumes_of_the_chosen_labels(slicer_app, logic):
    import slicer

    before = slicer_app.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    volume = add_volume()
    node = logic.segment(volume, "Herz CT", segments=["spleen"], probabilities=True)
    assert slicer_app.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == before + 2
    probability = slicer.util.getNode("*spleen probability")
    assert (slicer.util.arrayFromVolume(probability) == 3 / 8).all()
    logic.undo(node)
    assert slicer_app.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == before + 1


def test_only_chosen_segments_are_made(logic):
    assert segment_names(logic.segment(add_volume(), "Herz CT", segments=["spleen"])) == ["spleen"]


def test_show_in_3d(logic):
    node = logic.segment(add_volume(), "Herz CT", showIn3D=True, smoothing=0.0)
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")


def test_cancel_while_surfaces_are_made_keeps_the_segments(slicer_app, logic):
    outcome, stages = Outcome(), []
    job = None

    def stop_at_surfaces(progress):
        stages.append(progress.stage)
        if progress.stage == "surfaces":
            job.cancel()

    job = logic.segment(
        add_volume(), "Herz CT", showIn3D=True, wait=False, **{**outcome.callbacks, "onProgress": stop_at_surfaces}
    )
    slicer_app.wait_until(lambda: outcome.ended)
    assert outcome.done == [job.outputSegmentation] and stages.count("surfaces") == 1
    assert segment_names(job.outputSegmentation) == [label.name for label in LABELS]


def test_undo_by_one_call(slicer_app, logic):
    volume = add_volume()
    node = logic.segment(volume, "Herz CT")
    logic.worker._answer = lambda fields: np.save(fields["output"], np.full(SHAPE, 2, np.uint8)) or {}
    logic.segment(volume, "Herz CT", node)
    assert segment_voxels(node, "grey", volume).all()
    assert logic.canUndo(node)
    logic.undo(node)
    np.testing.assert_array_equal(segment_voxels(node, "grey", volume), label_map() == 2)
    assert not logic.canUndo(node)
    with pytest.raises(InputError, match="no run of"):
        logic.undo(node)


def test_records_for_undo_end_with_their_node_and_scene(slicer_app, logic):
    first, second = logic.segment(add_volume(), "Herz CT"), logic.segment(add_volume(), "Herz CT")
    slicer_app.scene.RemoveNode(first)
    assert not logic.canUndo(first) and logic.canUndo(second)
    slicer_app.scene.Clear(0)
    assert not logic.canUndo(second) and not logic.canUndo(None)


def test_error_of_the_worker_is_raised_and_told(logic):
    outcome = Outcome()

    def fail(_fields):
        raise DeviceError("no kernel runs on cuda:0", "choose the CPU")

    logic.worker._answer = fail
    with pytest.raises(DeviceError, match="no kernel runs"):
        logic.segment(add_volume(), "Herz CT", onError=outcome.errors.append)
    assert isinstance(outcome.error, DeviceError)


def test_statistics_and_their_table(logic):
    volume = add_volume()
    node = logic.segment(volume, "Herz CT")
    assert [row[0] for row in logic.statistics(node, volume)] == [label.name for label in LABELS]
    assert logic.statisticsTable(node, volume).GetNumberOfRows() == 3


# What cannot be segmented


def test_wrong_input_volumes_say_what_to_do(slicer_app, logic):
    import slicer

    scene = slicer_app.scene
    colours = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode")
    label_volume = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    removed = add_volume("gone")
    scene.RemoveNode(removed)
    cases = [
        (None, "no input volume"),
        (colours, "components"),
        (label_volume, "label map"),
        (scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow"), "no voxels"),
        (scene.AddNewNodeByClass("vtkMRMLModelNode", "model"), "no scalar volume"),
        (removed, "not in the scene"),
    ]
    for node, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            logic.segment(node, "Herz CT")
        assert caught.value.remedy
    assert not logic.worker.fields


def test_unknown_model_and_segment_name_what_there_is(logic):
    with pytest.raises(InputError, match="no model “Leber”") as caught:
        logic.segment(add_volume(), "Leber")
    assert "Herz CT" in caught.value.remedy
    with pytest.raises(InputError, match="no segment “liver”") as caught:
        logic.segment(add_volume(), "Herz CT", segments=["liver"])
    assert "spleen" in caught.value.remedy
    with pytest.raises(InputError, match="no segment is chosen"):
        logic.segment(add_volume(), "Herz CT", segments=[])


def test_output_that_is_no_segmentation(logic):
    volume = add_volume()
    with pytest.raises(InputError, match="no segmentation"):
        logic.segment(volume, "Herz CT", volume)


def test_full_disk_is_an_error_that_says_so(slicer_app, logic, monkeypatch):
    import errno
    import io

    from LEUDASegmentationLib import volume_files

    class FullDisk(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(volume_files, "open", lambda *_: FullDisk(), raising=False)
    with pytest.raises(LeudaError, match="no space left") as caught:
        logic.segment(add_volume(), "Herz CT")
    assert caught.value.remedy
    monkeypatch.undo()
    assert segment_names(logic.segment(add_volume(), "Herz CT"))


# In the background


def test_job_in_the_background_tells_progress_and_ends_once(slicer_app, held):
    volume = add_volume()
    job, outcome = begin(slicer_app, held, volume)
    assert job.running and not outcome.ended
    on_progress = held.worker.open[next(iter(held.worker.open))][2]
    for done in range(4):
        on_progress({"stage": "segment", "done": done, "total": 4, "seconds_left": 4.0 - done})
    assert outcome.progress[-1].secondsLeft == 1.0 and outcome.progress[-1].text == "Segmenting"
    answer(held)
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
    held.worker._answer = write_labels
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
    answer(held)
    slicer_app.wait_until(lambda: outcome.ended)
    assert "was changed" in outcome.error.message and segmentations(slicer_app) == 0


def test_transform_changed_meanwhile_moves_the_result_along(slicer_app, held):
    volume = add_volume()
    job, outcome = begin(slicer_app, held, volume)
    volume.SetAndObserveTransformNodeID(add_linear_transform(SHIFTED).GetID())
    answer(held)
    slicer_app.wait_until(lambda: outcome.ended)
    assert job.outputSegmentation.GetParentTransformNode() is volume.GetParentTransformNode()


def test_fault_in_a_result_is_an_error_and_not_a_crash(slicer_app, held, caplog):
    _job, outcome = begin(slicer_app, held, add_volume())
    Path(held.worker.fields[0]["output"]).write_bytes(b"no array")
    held.worker.finish(next(iter(held.worker.open)), {})
    slicer_app.wait_until(lambda: outcome.ended)
    assert outcome.error.remedy and "segmentation failed" in caplog.text


def test_window_answers_while_a_large_result_is_taken_in(slicer_app, exchange):
    shape = (160, 256, 256)
    volume, outcome = add_volume(shape=shape), Outcome()
    logic = make_logic(exchange)
    with slicer_app.event_loop_latency() as latency:
        logic.segment(volume, "Herz CT", wait=False, **outcome.callbacks)
        slicer_app.wait_until(lambda: outcome.ended, 60)
    assert outcome.done
    assert latency.longest_s < 0.5, "on a busy machine; about 0.03 s on a free one"


# Several


def test_several_volumes_of_which_one_fails(slicer_app, logic):
    volumes = [add_volume(f"v{number}") for number in range(3)]
    told, progress, ended = [], [], []

    def answer_all_but_one(fields):
        if len(logic.worker.fields) == 2:
            raise InputError("the volume holds NaN", "mend it")
        return write_labels(fields)

    logic.worker._answer = answer_all_but_one
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

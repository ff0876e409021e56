"""The logic of LEUDASegmentation called from the console: blocking, what the worker gets, undo, statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leuda_core.errors import InputError
from segmentation_jobs import Outcome, begin, segmentations
from segmentation_scene import (
    LABELS,
    MODEL,
    OBLIQUE,
    SHAPE,
    add_linear_transform,
    add_volume,
    label_map,
    segment_names,
    segment_voxels,
    write_labels,
)

pytestmark = pytest.mark.slow

SHIFTED = np.array([[1, 0, 0, 8.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


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

    logic.worker.draw = look
    logic.segment(volume, "Herz CT")
    np.testing.assert_array_equal(seen[0], slicer.util.arrayFromVolume(volume))
    assert seen[0].dtype == dtype


def test_large_volume_is_copied_in_pieces(logic, monkeypatch):
    from LEUDASegmentationLib.scene import volume_files

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
    logic.worker.draw = lambda fields: np.save(fields["output"], np.full(SHAPE, 2, np.uint8)) or {}
    logic.segment(volume, "Herz CT", node)
    assert segment_voxels(node, "grey", volume).all()
    assert logic.canUndo(node)
    logic.undo(node)
    np.testing.assert_array_equal(segment_voxels(node, "grey", volume), label_map() == 2)
    assert not logic.canUndo(node)
    with pytest.raises(InputError, match="no run of"):
        logic.undo(node)


def test_undo_and_statistics_in_the_background(slicer_app, logic):
    volume, counted, undone = add_volume(), [], []
    node = logic.segment(volume, "Herz CT")
    logic.statistics(node, volume, wait=False, onDone=counted.append)
    assert counted == []
    slicer_app.wait_until(lambda: counted)
    assert counted == [logic.statistics(node, volume)]
    logic.undo(node, wait=False, onDone=undone.append)
    assert not logic.canUndo(node) and segmentations(slicer_app) == 1
    slicer_app.wait_until(lambda: undone)
    assert segmentations(slicer_app) == 0


def test_statistics_of_what_is_no_volume_are_an_error(slicer_app, logic):
    node, errors = logic.segment(add_volume(), "Herz CT"), []
    with pytest.raises(InputError, match="no input volume"):
        logic.statistics(node, None)
    logic.statistics(node, None, wait=False, onError=errors.append)
    slicer_app.wait_until(lambda: errors)
    assert errors[0].remedy


def test_a_node_deleted_while_its_run_is_undone(slicer_app, logic):
    volume, undone = add_volume(), []
    node = logic.segment(volume, "Herz CT")
    logic.segment(volume, "Herz CT", node, segments=["grey"])
    logic.undo(node, wait=False, onDone=undone.append)
    slicer_app.scene.RemoveNode(node)
    slicer_app.wait_until(lambda: undone)


def test_records_for_undo_end_with_their_node_and_scene(slicer_app, logic):
    first, second = logic.segment(add_volume(), "Herz CT"), logic.segment(add_volume(), "Herz CT")
    slicer_app.scene.RemoveNode(first)
    assert not logic.canUndo(first) and logic.canUndo(second)
    slicer_app.scene.Clear(0)
    assert not logic.canUndo(second) and not logic.canUndo(None)


def test_statistics_and_their_table(logic):
    volume = add_volume()
    node = logic.segment(volume, "Herz CT")
    assert [row[0] for row in logic.statistics(node, volume)] == [label.name for label in LABELS]
    assert logic.statisticsTable(node, volume).GetNumberOfRows() == 3


def test_every_logic_shares_the_copies_of_its_worker_and_keeps_no_worker_alive(slicer_app, exchange) -> None:
    import gc
    import weakref

    from LEUDASegmentationLib.logic import LEUDASegmentationLogic
    from segmentation_scene import FakeWorker

    worker = FakeWorker(exchange)
    first, second = (LEUDASegmentationLogic(worker, exchange) for _ in range(2))
    assert first.volumeFiles is second.volumeFiles
    gone = weakref.ref(worker)
    del worker, first, second
    gc.collect()
    assert gone() is None

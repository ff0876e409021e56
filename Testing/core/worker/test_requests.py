"""What a worker answers to right requests: what `segment` gives, sooner."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from leuda_core.bundle.model import load_bundle
from leuda_core.io.volumes import read_label_map, write_volume
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.prediction.volumes import segment
from leuda_core.types import Volume
from leuda_core.worker.requests import FileRequest, FindRequest, GaugeRequest, SegmentRequest, SliceRequest
from leuda_core.worker.server import REQUESTS
from worker_process import ROOT, WorkerProcess
from worker_requests import AFFINE, SHAPE, call, failure, make_model, numbers, segmented, volume_data


@pytest.mark.slow
def test_devices_are_those_on_which_kernels_run(worker: WorkerProcess) -> None:
    found = call(worker, "devices")["devices"]
    assert found[0]["device"] == "cpu" and found[0]["problem"] == "" and found[0]["memory_gb"] > 0


def test_loading_tells_what_the_model_finds(worker: WorkerProcess, model: Path) -> None:
    found = call(worker, "load", model=model, device="cpu")
    assert found["device"] == "cpu" and found["notes"] == [] and found["plane"] == "acquisition"
    assert found["labels"][0] == {"value": 3, "name": "vessel", "color": [1.0, 0.0, 0.5], "terminology": "SCT^1^Vessel"}


def test_labels_are_those_of_segment(worker: WorkerProcess, fields: dict[str, object]) -> None:
    result = call(worker, "segment", **fields)
    found = np.load(fields["output"])
    assert found.shape == SHAPE and found.dtype == np.uint16 and np.array_equal(found, segmented(fields))
    assert set(np.unique(found)) > {0}
    assert {label["value"] for label in result["labels"]} == {3, 300}
    assert set(result["seconds"]) == {"load", "read", "segment", "write", "gauge"}
    assert result["gauge"] is None and "doubt" not in result


def test_probabilities_and_largest_component(worker: WorkerProcess, fields: dict[str, object], tmp_path: Path) -> None:
    result = call(worker, "segment", **fields, probabilities=tmp_path / "p.npy", largest_component=True)
    found = np.load(tmp_path / "p.npy")
    assert found.shape == (3, *SHAPE) and found.dtype == np.float16
    assert np.allclose(found.astype(np.float32).sum(0), 1, atol=2e-3)
    chosen = np.array([0, 3, 300])[found.argmax(0)]
    assert (chosen == segmented(fields)).mean() > 0.99
    assert np.array_equal(np.load(fields["output"]), segmented(fields, largest_component=True))
    assert "largest_component" in result["seconds"]


def test_doubt_is_that_of_segment_for_every_slice(worker: WorkerProcess, fields: dict[str, object]) -> None:
    found = call(worker, "segment", **fields, doubt=True)["doubt"]
    bundle = load_bundle(fields["model"])
    segmenter = SliceSegmenter(bundle.predictor(), bundle.task, device="cpu")
    expected = segmenter(Volume(np.load(fields["volume"]).T, np.array(AFFINE)), doubt=True).doubt
    assert found["axis"] == 2 and np.allclose(found["slices"], expected, atol=0.1)


@pytest.mark.parametrize("plane", ["acquisition", "axial", "coronal", "sagittal"])
def test_outside_a_box_nothing_is_computed(plane: str, worker: WorkerProcess, fields: dict, tmp_path: Path) -> None:
    box = [[5, 99], [-3, 20], [2, 6]]  # reaches beyond the volume
    fields = {**fields, "model": make_model(tmp_path / "model", plane)}
    number = next(numbers)
    worker.result("segment", number, **fields, box=box, probabilities=tmp_path / "p.npy")
    inside = np.zeros(SHAPE, bool)
    inside[2:6, 0:20, 5:44] = True
    found, whole = np.load(fields["output"]), segmented(fields)
    assert not found[~inside].any() and not np.load(tmp_path / "p.npy")[:, ~inside].any()
    assert (found[inside] == whole[inside]).mean() > 0.999  # in other batches, sums are rounded otherwise
    slices = {"acquisition": 4, "axial": 4, "coronal": 20, "sagittal": 39}[plane]
    told = {event["total"] for event in worker.events if event.get("id") == number and event.get("stage") == "segment"}
    assert told == {slices}


@pytest.mark.parametrize(
    ("plane", "axis", "context"), [("acquisition", 2, 0), ("coronal", 1, 0), ("sagittal", 0, 0), ("acquisition", 2, 1)]
)
def test_a_slice_is_that_of_segment(
    plane: str, axis: int, context: int, worker: WorkerProcess, fields: dict[str, object], tmp_path: Path
) -> None:
    fields = {**fields, "model": make_model(tmp_path / "model", plane, context=context)}
    whole = segmented(fields)
    for index in (0, 5, whole.shape[2 - axis] - 1):
        voxel = [20.0, 11.0, 3.0, 1.0]
        voxel[axis] = index + 0.3
        result = call(worker, "slice", **fields, position=(np.array(AFFINE) @ voxel)[:3].tolist())
        found = np.load(result["labels"])
        assert (result["axis"], result["index"]) == (axis, index)
        expected = whole.take(index, axis=2 - axis)
        assert found.shape == expected.shape and (found == expected).mean() > 0.999


def test_slices_of_a_second_look_are_those_of_segment(
    worker: WorkerProcess, fields: dict[str, object], tmp_path: Path
) -> None:
    """Where it looks is decided once, from the whole volume."""
    np.save(fields["volume"], volume_data((3, 96, 128)))
    fields = {**fields, "model": make_model(tmp_path / "model", spacing_mm=4.0, zoom=2.0)}
    located = []
    for index in range(3):
        position = (np.array(AFFINE) @ [64, 48, index, 1])[:3].tolist()
        result = call(worker, "slice", **{**fields, "output": tmp_path / f"{index}.npy"}, position=position)
        located.append("locate" in result["seconds"])
    seconds = call(worker, "segment", **fields)["seconds"]
    whole = np.load(fields["output"])
    assert located == [True, False, False] and "locate" not in seconds
    assert np.array_equal(whole, segmented(fields)) and len(np.unique(whole)) > 1
    for index in range(3):
        assert (np.load(tmp_path / f"{index}.npy") == whole[index]).mean() > 0.999


@pytest.mark.parametrize("context", [0, 1])
def test_a_slice_of_full_size_is_exactly_that_of_segment(
    context: int, worker: WorkerProcess, fields: dict, tmp_path: Path
) -> None:
    """From 256 x 256 pixels on, slices are segmented one by one anyway; tests have one thread."""
    np.save(fields["volume"], volume_data((3, 256, 256)))
    fields = {**fields, "model": make_model(tmp_path / "model", patch_size=256, context=context)}
    call(worker, "segment", **fields)
    whole = np.load(fields["output"])
    for index in range(3):
        position = (np.array(AFFINE) @ [128, 128, index, 1])[:3].tolist()
        result = call(worker, "slice", **{**fields, "output": tmp_path / "slice.npy"}, position=position)
        assert result["index"] == index and np.array_equal(np.load(tmp_path / "slice.npy"), whole[index])


@pytest.mark.parametrize(("plane", "axis"), [("acquisition", 2), ("sagittal", 0)])
def test_doubt_of_a_slice_is_one_minus_its_largest_probability(
    plane: str, axis: int, worker: WorkerProcess, fields: dict[str, object], tmp_path: Path
) -> None:
    fields = {**fields, "model": make_model(tmp_path / "model", plane)}
    call(worker, "segment", **fields, probabilities=tmp_path / "p.npy")
    whole = 1 - np.load(tmp_path / "p.npy").max(0)
    voxel = [20.0, 11.0, 3.0, 1.0]
    where = (np.array(AFFINE) @ voxel)[:3].tolist()
    result = call(worker, "slice", **{**fields, "output": tmp_path / "l.npy"}, position=where, doubt=tmp_path / "d.npy")
    found, expected = np.load(tmp_path / "d.npy"), whole.take(int(voxel[axis]), axis=2 - axis)
    assert found.dtype == np.float16 and found.shape == np.load(result["labels"]).shape == expected.shape
    assert np.allclose(found, expected, atol=2e-3) and found.max() > 0.1


def test_a_point_outside_takes_the_outermost_slice(worker: WorkerProcess, fields: dict[str, object]) -> None:
    assert call(worker, "slice", **fields, position=[0, 0, -1e6])["index"] == 0
    assert call(worker, "slice", **fields, position=[0, 0, 1e6])["index"] == SHAPE[0] - 1


def test_progress_tells_stage_and_time_left(worker: WorkerProcess, fields: dict[str, object]) -> None:
    number = next(numbers)
    worker.result("segment", number, **fields, largest_component=True)
    told = [event for event in worker.events if event.get("id") == number and event["event"] == "progress"]
    assert list(dict.fromkeys(event["stage"] for event in told))[-3:] == ["segment", "components", "write"]
    segment = [event for event in told if event["stage"] == "segment"]
    assert segment[0]["done"] == 0 and segment[0]["seconds_left"] is None
    assert segment[-1]["done"] == segment[-1]["total"] == SHAPE[0] and segment[-1]["seconds_left"] == 0


@pytest.mark.slow
def test_a_loaded_model_costs_nothing_again(fields: dict[str, object]) -> None:
    with WorkerProcess() as worker:
        first = call(worker, "segment", **fields)["seconds"]
        again = [call(worker, "segment", **fields)["seconds"] for _ in range(3)]
        assert worker.log.count(b"loaded /") == 1
        assert min(second["load"] for second in again) < 0.01 < first["load"]
        assert min((second["load"] + second["read"] + second["write"]) / second["segment"] for second in again) < 0.25


def test_what_changed_is_loaded_again(worker: WorkerProcess, fields: dict[str, object], tmp_path: Path) -> None:
    mine = make_model(tmp_path / "mine")
    fields = {**fields, "model": mine}
    call(worker, "segment", **fields)
    first = np.load(fields["output"])
    make_model(mine, seed=1)
    call(worker, "segment", **fields)
    assert np.array_equal(np.load(fields["output"]), segmented(fields)) and not np.array_equal(segmented(fields), first)
    np.save(tmp_path / "other.npy", volume_data()[:, ::-1])
    os.replace(tmp_path / "other.npy", fields["volume"])
    call(worker, "segment", **fields)
    assert np.array_equal(np.load(fields["output"]), segmented(fields))
    shutil.rmtree(mine)
    assert "does not exist" in failure(worker, "segment", **fields)["message"]


def test_files_are_found_and_segmented_as_on_the_command_line(
    worker: WorkerProcess, model: Path, tmp_path: Path
) -> None:
    source = tmp_path / "série 1" / "ct 1.nii.gz"
    write_volume(Volume(volume_data().T, np.array(AFFINE)), source)
    (source.parent / "notes.txt").touch()
    inputs = [str(source.parent), str(tmp_path / "absent.nrrd")]
    found = call(worker, "find_volumes", inputs=inputs)["volumes"]
    assert found == [{"path": str(source), "stem": "ct 1"}, {"path": inputs[1], "stem": "absent"}]
    fields = {"model": model, "device": "cpu", "output": tmp_path / "out" / "labels.nii.gz", "probabilities": True}
    row = call(worker, "segment_file", input=source, **fields)
    assert row["output"] == str(fields["output"]) and set(row["volumes_ml"]) == {"vessel", "Leber"}
    expected = segment(source, model, device="cpu").label_map
    np.testing.assert_array_equal(read_label_map(fields["output"], expected.labels).data, expected.data)
    assert Path(row["probabilities"]).exists()
    assert "absent.nrrd" in failure(worker, "segment_file", input=inputs[1], **fields)["message"]


def test_the_protocol_is_documented() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert all(f'{{"request":"{name}","id":' in page for name in (*REQUESTS, "cancel"))
    fields = {
        name
        for kind in (SegmentRequest, SliceRequest, GaugeRequest, FileRequest, FindRequest)
        for name in kind.__struct_fields__
    }
    assert all(f'"{name}":' in page for name in fields)

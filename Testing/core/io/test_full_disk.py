"""Every file that leuda writes says when the disk is full, keeps the file before it, and leaves nothing unfinished."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from leuda_core.bench.store import RESULTS_FILE, append_result, read_results
from leuda_core.bundle.model import save_bundle
from leuda_core.bundle.store import export_model, import_model
from leuda_core.commands.output import Progress, say
from leuda_core.data.phantom.cohort import make_phantom
from leuda_core.demo.demo import _make_room, run_demo
from leuda_core.errors import InputError, LeudaError, as_leuda_error
from leuda_core.io.arrays import save_parts
from leuda_core.io.files import atomic_path, write_json
from leuda_core.io.volumes import write_label_map, write_volume
from leuda_core.prediction.files import segment_file
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.report.report import write_report
from leuda_core.runs.events import EventWriter, read_events
from leuda_core.types import LabelMap, SegmentOptions, Volume
from leuda_core.worker.volumes import save_array
from room import KINDS, Room, make_room
from run_folders import make_run
from stand_ins import AXIAL, Threshold, task

NOISE = np.random.default_rng(0).integers(0, 200, (24, 24, 24)).astype(np.uint8)


@pytest.fixture(params=KINDS)
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    with make_room(tmp_path / "disk", request.param) as made:
        yield made


def _labels(path: Path, bundle: Path) -> None:
    write_label_map(LabelMap(NOISE, np.eye(4)), path)


def _safetensors(path: Path, bundle: Path) -> None:
    from safetensors.torch import save_file

    with atomic_path(path) as temporary:
        save_file({"x": torch.zeros(10_000)}, temporary)


def _torch(path: Path, bundle: Path) -> None:
    with atomic_path(path) as temporary:
        torch.save({"x": torch.zeros(10_000)}, temporary)


def _report(path: Path, bundle: Path) -> None:
    run = make_run(path.parent.parent / "a run")
    write_report(run.path, path)


WRITERS: dict[str, Callable[[Path, Path], Any]] = {
    "a.json": lambda path, bundle: write_json(path, list(range(5000))),
    "a.npy": lambda path, bundle: save_parts(path, NOISE, shape=NOISE.shape, dtype=np.uint8),
    "worker.npy": lambda path, bundle: save_array(path, NOISE, lambda done, total: None),
    "volume.nii.gz": lambda path, bundle: write_volume(Volume(NOISE, np.eye(4)), path),
    **dict.fromkeys(("a.nii", "a.nii.gz", "a.nrrd", "a.seg.nrrd", "a.mha"), _labels),
    "a.safetensors": _safetensors,
    "a.pt": _torch,
    "a.zip": lambda path, bundle: export_model(bundle, path),
    "report.html": _report,
}
FOLDERS: dict[str, Callable[[Path, Path], Any]] = {
    "bundle": lambda path, bundle: save_bundle(path, *_parts(bundle)),
    "store": lambda path, bundle: import_model(bundle, path),
    "phantom": lambda path, bundle: make_phantom(path, source_cases=1, labelled=1, target_cases=1, test_cases=0),
}


def _parts(bundle: Path) -> tuple[Any, Any, Any]:
    from leuda_core.bundle.model import load_bundle

    model = load_bundle(bundle)
    return model.predictor(), model.task, model.info


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_on_a_full_disk(name: str, room: Room, untrained_bundle: Path) -> None:
    path = room.folder / name
    path.write_bytes(b"before")
    room.fill()
    with pytest.raises(LeudaError, match=f"cannot write '{path}': no space left") as caught:
        WRITERS[name](path, untrained_bundle)
    assert caught.value.remedy and not room.unfinished()
    assert path.read_bytes() == b"before" if not name.endswith(".npy") else not path.exists()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_on_a_full_disk(name: str, room: Room, untrained_bundle: Path) -> None:
    room.fill()
    with pytest.raises(LeudaError, match=r"cannot write .*: no space left") as caught:
        FOLDERS[name](room.folder / name, untrained_bundle)
    assert caught.value.remedy and not [path for path in room.folder.glob(f"{name}/**/*") if path.is_file()]
    room.free()
    FOLDERS[name](room.folder / name, untrained_bundle)


@pytest.mark.parametrize("name", ["q.nii.gz", "q.seg.nrrd"])
@pytest.mark.parametrize("probabilities", [False, True])
def test_a_segmentation_with_its_probabilities_is_written_or_nothing(
    name: str, probabilities: bool, room: Room, tmp_path: Path
) -> None:
    source = tmp_path / "volume.nii.gz"
    write_volume(Volume(np.random.default_rng(0).normal(size=(40, 36, 9)).astype(np.float32), AXIAL), source)
    segmenter = SliceSegmenter(Threshold(), task(1.0), device="cpu", precision="float32")
    options = SegmentOptions(probabilities=probabilities)
    room.fill()
    with pytest.raises(LeudaError, match="no space left"):
        segment_file(segmenter, source, room.folder / name, options)
    assert not [path.name for path in room.folder.iterdir() if path.name != "fill"]
    room.free()
    row = segment_file(segmenter, source, room.folder / name, options)
    assert row["output"].exists() and row.get("probabilities", row["output"]).exists()


def test_an_event_is_written_whole_or_not_and_ends_no_training(room: Room) -> None:
    path = room.folder / "events.jsonl"
    events = EventWriter(path)
    events("start")
    path.write_bytes(path.read_bytes() + b" " * 1500 + b"\n")
    room.fill()
    for step in range(200):
        events("progress", step=step, text="x" * 90)
    assert path.read_bytes().endswith(b"\n")
    room.free()
    events("end")
    found = read_events(path)[0]
    written = [event["step"] for event in found if event["event"] == "progress"]
    assert written == list(range(len(written))) and len(written) < 200
    assert [found[0]["event"], found[-1]["event"]] == ["start", "end"]


def test_a_result_of_a_bench_is_written_whole_or_not(room: Room) -> None:
    from leuda_core.bench.results import Result

    fields = {"dataset": "d", "augmentation": "paper", "steps": 1, "settings": {}, "minutes": 1.0}
    first, second = (
        Result(method=method, seed=0, peak_memory_mib=1, scores=(), **fields) for method in ("a", "b" * 3000)
    )
    append_result(room.folder, first)
    before = (room.folder / RESULTS_FILE).read_bytes()
    room.fill()
    if room.folder.is_mount():  # the last block of the file has room for some bytes
        second = Result(method="b" * 9000, seed=0, peak_memory_mib=1, scores=(), **fields)
    with pytest.raises(LeudaError, match="no space left"):
        append_result(room.folder, second)
    assert (room.folder / RESULTS_FILE).read_bytes() == before
    room.free()
    append_result(room.folder, second)
    assert len(read_results(room.folder / RESULTS_FILE)) == 2


def test_a_demo_can_start_again_where_it_had_no_space(room: Room) -> None:
    phantom = {"source_cases": 1, "labelled": 1, "target_cases": 1, "test_cases": 0}
    room.fill()
    with pytest.raises(LeudaError, match=r"cannot write .*: no space left"):
        run_demo(room.folder / "demo", phantom=phantom)
    room.free()
    _make_room(room.folder / "demo")


def test_a_writer_that_fails_for_another_reason_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes"), atomic_path(tmp_path / "a"):
        raise RuntimeError("shapes differ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_output_is_no_fault_of_ours() -> None:
    with pytest.raises(OSError, match="space") as caught, open("/dev/full", "wb", buffering=0) as stream:
        stream.write(b"x")
    known = as_leuda_error(caught.value)
    assert "no space left" in known.message and "bug" not in known.remedy
    assert isinstance(as_leuda_error(OSError(5, "Input/output error")), InputError)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_messages_that_cannot_be_written_end_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", encoding="utf-8") as stream, suppress(OSError):
        monkeypatch.setattr(sys, "stderr", stream)
        with Progress() as progress:
            progress(1, 1, {"loss": 0.5})
        say("done")
        monkeypatch.undo()
        stream.close()  # what it holds back cannot be written, either

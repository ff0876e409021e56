"""Whatever may go wrong between a client and its worker is told, and the worker goes on."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from leuda_core.bundle.store import export_model
from refusals import flip
from worker_process import WorkerProcess, anonymous_mib
from worker_requests import AFFINE, SLOW, call, failure, segmented, volume_data


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"{", b"\xff\xfe", b"[" * 50_000, b"null", b"[1]", b'{"id": 1}', b'{"request": "load"}', b"9" * 9999),
        *(b'{"id": true, "request": "load"}', b'{"id": "1", "request": "load"}', b'{"id": 1, "request": {}}'),
    ],
)
def test_a_bad_line_is_answered_and_forgotten(line: bytes, worker: WorkerProcess) -> None:
    before = len(worker.events)
    worker.send_line(line)
    call(worker, "devices")
    errors = [event for event in worker.events[before:] if event["event"] == "error"]
    assert len(errors) == bool(line)
    assert all(error["id"] is None and error["kind"] == "input" and error["remedy"] for error in errors)


@pytest.mark.slow
def test_an_id_in_use_is_refused(fields: dict[str, object]) -> None:
    with WorkerProcess(code=SLOW) as worker:
        worker.send("segment", 1, **fields)
        worker.send("devices", 1)
        assert "1 is in use" in worker.wait_for("error")["message"]
        assert worker.answer(1)["event"] == "done"
        assert worker.result("devices", 1)["devices"]  # free again


WRONG = {
    "unknown request": ("dance", {}, ("'dance'",)),
    "no model": ("load", {"model": None}, ("model",)),
    "no such model": ("load", {"model": "/no/such"}, ("/no/such",)),
    "unknown device": ("load", {"device": "tpu"}, ("'tpu'",)),
    "no such volume": ("segment", {"volume": "/no/such.npy"}, ("/no/such.npy",)),
    "no such folder": ("segment", {"output": "/no/such/labels.npy"}, ("/no/such/labels.npy",)),
    "flat affine": ("segment", {"affine": [[0.0] * 4] * 4}, ("affine",)),
    "affine without its last row": (
        "slice",
        {"affine": [*AFFINE[:3], [0.0] * 4], "position": [0, 0, 0]},
        ("affine",),
    ),
    "short affine": ("segment", {"affine": [[1.0] * 3] * 3}, ("affine",)),
    "box outside": ("segment", {"box": [[0, 5], [900, 999], [0, 5]]}, ("region of interest",)),
    "box of two": ("segment", {"box": [[0, 5], [0, 5]]}, ("box",)),
    "no position": ("slice", {}, ("position",)),
    "no point": ("slice", {"position": [float("nan"), 0, 0]}, ("position",)),
    "far position": ("slice", {"position": [1e308, 1e308, 0], "affine": [[1e308] * 4] * 4}, ("affine",)),
    "NaN affine": ("segment", {"affine": [[float("nan")] * 4] * 4}, ("affine",)),
    "NUL in a name": ("segment", {"volume": "a\0b"}, ("name of a file",)),
    "half a character": ("segment", {"output": "a\ud800"}, ("name of a file",)),
    "NUL in an input": ("find_volumes", {"inputs": ["a\0b"]}, ("name of a file",)),
    "a long name": ("segment", {"volume": "x" * 300}, ("name too long",)),
    "a folder": ("segment", {"output": "/tmp"}, ("not a file",)),
    "two in one file": ("segment", {"output": "/no/such/a", "probabilities": "/no/such/a"}, ("both /no/such/a",)),
    "box of text": ("segment", {"box": "all"}, ("box",)),
    "position of two": ("slice", {"position": [1, 2]}, ("position",)),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_request_is_told_and_forgotten(fault: str, worker: WorkerProcess, fields: dict[str, object]) -> None:
    request, change, words = WRONG[fault]
    answer = failure(worker, request, **{**fields, **change})
    assert answer["kind"] == ("device" if "device" in fault else "input") and answer["remedy"]
    assert all(word in answer["message"] for word in words), answer
    assert not Path(fields["output"]).exists()
    call(worker, "segment", **fields)


def _rewrite(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new))


def _make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


ARRAYS = {
    "empty file": lambda path: path.write_bytes(b""),
    "no array": lambda path: path.write_bytes(b"no array at all, but long enough to be one"),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "objects": lambda path: np.save(path, np.array([[[{}]]]), allow_pickle=True),
    "two axes": lambda path: np.save(path, np.zeros((3, 4))),
    "complex": lambda path: np.save(path, np.zeros((3, 4, 5), complex)),
    "no voxel": lambda path: np.save(path, np.zeros((3, 0, 5))),
    "negative sizes": lambda path: _rewrite(path, b"(7, 36, 44)", b"(-7,-36,44)"),
    "endless sizes": lambda path: _rewrite(path, b"(7, 36, 44)", b"(9**9**9,7)"),
    "more than there is": lambda path: _rewrite(path, b"(7, 36, 44)", b"(99999,9,9)"),
    "nested header": lambda path: _rewrite(path, b"(7, 36, 44)", b"((((((((((("),
    "named pipe": _make_pipe,
    "not a number": lambda path: np.save(path, np.full((3, 40, 40), np.nan)),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_unusable_volume_is_told(kind: str, worker: WorkerProcess, fields: dict[str, object]) -> None:
    ARRAYS[kind](Path(fields["volume"]))
    answer = failure(worker, "segment", **fields)
    assert answer["kind"] == "input" and answer["remedy"], answer
    assert not Path(fields["output"]).exists()


def test_a_broken_bundle_is_told(worker: WorkerProcess, fields: dict[str, object], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(fields["model"], broken)
    flip(broken / "model.safetensors", -5)
    assert "sha256" in failure(worker, "load", model=broken)["message"]
    call(worker, "load", model=export_model(fields["model"], tmp_path / "model.zip"))


@pytest.mark.skipif(sys.platform != "linux", reason="limits the files of another process as Linux does")
def test_a_full_disk_is_told(worker: WorkerProcess, fields: dict[str, object]) -> None:
    import resource

    before = resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    answer = failure(worker, "segment", **fields)
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, before)
    assert "no space left" in answer["message"] and answer["remedy"]
    assert not Path(fields["output"]).exists()
    call(worker, "segment", **fields)


@pytest.mark.slow
def test_too_little_memory_makes_batches_smaller_and_is_noted(fields: dict[str, object]) -> None:
    hungry = """
from leuda_core.prediction import segmenter
full = segmenter.SliceSegmenter.logits
def hungry(self, images):
    if len(images) > 1:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    return full(self, images)
segmenter.SliceSegmenter.logits = hungry
"""
    with WorkerProcess(code=hungry) as worker:
        result = call(worker, "segment", **fields)
        assert any("not enough memory" in note for note in result["notes"])
        assert (np.load(fields["output"]) == segmented(fields)).mean() > 0.999


@pytest.mark.slow
def test_no_memory_at_all_is_told_and_the_worker_goes_on(fields: dict[str, object]) -> None:
    code = """
from leuda_core.prediction import segmenter
def short(self, images):
    raise RuntimeError("could not create a primitive")
segmenter.SliceSegmenter.logits = short
"""
    with WorkerProcess(code=code) as worker:
        answer = failure(worker, "segment", **fields)
        assert answer["kind"] == "device" and "not enough memory" in answer["message"] and answer["remedy"]
        assert not Path(fields["output"]).exists()
        assert call(worker, "load", **fields)["device"] == "cpu"


@pytest.mark.slow
def test_a_model_that_left_its_device_is_tried_there_again(fields: dict[str, object]) -> None:
    """The meta device stands in for a GPU: it accepts the work and cannot deliver a result."""
    no_gpu = """
import torch
from leuda_core.prediction import runner
runner.find_device = lambda name: (torch.device("meta"), "")
runner.PIXELS_AT_ONCE["meta"] = 1024
"""
    with WorkerProcess(code=no_gpu) as worker:
        for times in (1, 2):
            result = call(worker, "segment", **fields)
            assert result["device"] == "cpu" and "meta failed" in result["notes"][0]
            assert worker.log.count(b"loaded /") == times


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
def test_a_volume_is_held_once(worker: WorkerProcess, fields: dict[str, object]) -> None:
    call(worker, "slice", **fields, position=[0, 0, 0])
    before = anonymous_mib(worker.process.pid)
    volume = np.lib.format.open_memmap(fields["volume"], "w+", np.int16, (1000, 256, 256))  # 125 MiB
    volume[500] = volume_data((1, 256, 256))[0]
    volume.flush()
    call(worker, "slice", **fields, position=(np.array(AFFINE) @ [0, 0, 500, 1])[:3].tolist())
    assert anonymous_mib(worker.process.pid) - before < 125 + 60


@pytest.mark.slow
def test_a_fault_is_told_and_its_traceback_logged(fields: dict[str, object]) -> None:
    code = "from leuda_core.prediction import segmenter\n"
    code += "segmenter.SliceSegmenter.logits = lambda self, images: 1 / 0"
    with WorkerProcess(code=code) as worker:
        answer = failure(worker, "segment", **fields)
        assert answer["kind"] == "fault" and "ZeroDivisionError" in answer["message"] and "log" in answer["remedy"]
        assert call(worker, "devices")["devices"]
        assert b"Traceback" in worker.log

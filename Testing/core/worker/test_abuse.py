"""A client that misbehaves: the worker's memory is bounded, each request has one answer, and the worker goes on."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from leuda_core.errors import InputError
from leuda_core.io.arrays import save_parts
from leuda_core.worker.channel import LONGEST_LINE, MOST_WAITING, Events, Request
from leuda_core.worker.requests import LoadRequest, read_request
from leuda_core.worker.volumes import HeldVolume
from repository import ROOT
from worker_process import WorkerProcess, anonymous_mib
from worker_requests import call, failure, numbers, segmented, volume_data

GATE = """
import os, time
from leuda_core.prediction import segmenter
open_ = segmenter.SliceSegmenter.logits
def wait(self, images):
    while os.path.exists({gate!r}):
        time.sleep(0.01)
    return open_(self, images)
segmenter.SliceSegmenter.logits = wait
"""
"""Lets a segmentation wait as long as a file exists."""

needs_memory_account = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    path = tmp_path / "gate"
    path.touch()
    return path


@pytest.mark.parametrize("fields", [{"\ud800": 1}, {"model": "m", "device": ["\udcff"]}])
def test_half_a_surrogate_pair_is_no_fault(fields: dict[str, object]) -> None:
    request = Request(1, "load", fields, Events(io.BytesIO()))
    with pytest.raises(InputError, match="request load"):
        read_request(request, LoadRequest)


@pytest.mark.filterwarnings("error")
def test_no_warning_of_numpy_reaches_the_log(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    np.save(path, np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    path.write_bytes(path.read_bytes().replace(b"(2, 3, 4)", b"(2L,3, 4)"))  # as Python 2 wrote it
    volume = HeldVolume(path)
    assert volume.data.shape == (4, 3, 2)
    affine = np.eye(4)
    affine[0, 1] = 1e308
    with pytest.raises(InputError, match=r"cannot be inverted.*1e\+308"):
        volume.at(affine)


@pytest.mark.slow
@needs_memory_account
def test_a_huge_line_takes_no_memory_and_has_one_answer(worker: WorkerProcess) -> None:
    call(worker, "devices")
    before, peak = len(worker.events), anonymous_mib(worker.process.pid)
    piece = b"x" * (1 << 20)
    for _ in range(100):
        worker.process.stdin.write(piece)
        peak = max(peak, anonymous_mib(worker.process.pid))
    worker.send_line(b"")
    found = worker.wait_for("error")
    assert found["id"] is None and found["kind"] == "input" and str(LONGEST_LINE) in found["message"]
    call(worker, "devices")
    assert sum(event["event"] == "error" for event in worker.events[before:]) == 1
    assert peak - anonymous_mib(worker.process.pid) < 40


def test_a_line_in_pieces_is_one_request(worker: WorkerProcess) -> None:
    number = next(numbers)
    for piece in (b'{"request": "dev', b'ices", "id"', f": {number}}}".encode(), b"\n"):
        worker.process.stdin.write(piece)
        worker.process.stdin.flush()
    assert worker.answer(number)["event"] == "done"


def test_a_long_name_is_not_told_in_full(worker: WorkerProcess) -> None:
    assert len(failure(worker, "x" * 1_000_000)["message"]) < 5000


@pytest.mark.slow
def test_a_flood_is_answered_line_by_line(gate: Path, fields: dict[str, object]) -> None:
    count = MOST_WAITING + 500
    with WorkerProcess(code=GATE.format(gate=str(gate))) as worker:
        worker.send("segment", 1, **fields)
        worker.wait_for("progress", stage="segment", number=1)
        lines = [json.dumps({"request": "find_volumes", "id": n, "inputs": []}) for n in range(2, count + 2)]
        worker.send_line("\n".join(lines))
        worker.answer(count + 1)  # the last one is refused at once
        gate.unlink()
        worker.answer(2)  # from here on, there is room
        worker.result("find_volumes", count + 2, inputs=[])
        final = [event for event in worker.events if event["event"] in ("done", "error")]
        assert sorted(event["id"] for event in final) == list(range(1, count + 3))
        refused = [event for event in final if event["event"] == "error"]
        assert 0 < len(refused) <= 501 and all("are waiting" in event["message"] for event in refused)


@pytest.mark.slow
def test_a_storm_of_cancelled_requests_leaves_room(gate: Path, fields: dict[str, object]) -> None:
    """Cancelled requests do not count as waiting: many more than may wait are taken and cancelled."""
    count = 3 * MOST_WAITING
    with WorkerProcess(code=GATE.format(gate=str(gate))) as worker:
        worker.send("segment", 1, **fields)
        worker.wait_for("progress", stage="segment", number=1)
        for n in range(2, count + 2):
            worker.send("segment", n, **fields)
            worker.send("cancel", n)
            worker.send("cancel", n)
        worker.send("cancel", 1)
        worker.answer(1)
        gate.unlink()
        worker.result("find_volumes", count + 2, inputs=[])
        final = [event for event in worker.events if event["event"] in ("done", "error")]
        assert sorted(event["id"] for event in final) == list(range(1, count + 3))
        assert {event.get("kind") for event in final} == {"cancelled", None}


def test_a_volume_cut_short_is_told(worker: WorkerProcess, fields: dict[str, object]) -> None:
    call(worker, "segment", **fields)
    first, path = np.load(fields["output"]), Path(fields["volume"])
    with open(path, "r+b") as stream:
        stream.truncate(200)
    assert failure(worker, "segment", **fields)["kind"] == "input"
    np.save(path, volume_data())
    call(worker, "segment", **fields)
    assert np.array_equal(np.load(fields["output"]), first)


@pytest.mark.slow
def test_a_volume_cut_short_during_the_work_changes_nothing(gate: Path, fields: dict[str, object]) -> None:
    whole = segmented(fields)
    with WorkerProcess(code=GATE.format(gate=str(gate))) as worker:
        worker.send("segment", 1, **fields)
        worker.wait_for("progress", stage="segment", number=1)
        os.truncate(fields["volume"], 130)
        gate.unlink()
        assert worker.answer(1)["event"] == "done"
        assert np.array_equal(np.load(fields["output"]), whole)


def test_a_volume_is_not_written_over(worker: WorkerProcess, fields: dict[str, object]) -> None:
    before = Path(fields["volume"]).read_bytes()
    assert "is the volume" in failure(worker, "segment", **{**fields, "output": fields["volume"]})["message"]
    assert Path(fields["volume"]).read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: socket.socket(socket.AF_UNIX).bind(str(path))])
def test_what_is_no_file_is_neither_written_nor_removed(
    worker: WorkerProcess, fields: dict[str, object], tmp_path: Path, make
) -> None:
    place = tmp_path / "o.npy"
    make(place)
    assert "not a file" in failure(worker, "segment", **{**fields, "output": place})["message"]
    assert place.exists()
    with pytest.raises(InputError):
        save_parts(place, [], shape=(0,), dtype=float)
    assert place.exists()


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams_end_it_quietly_or_do_not_matter(closed: str) -> None:
    """Without input or output there is nobody to serve; without standard error, it serves."""
    command = f"exec {sys.executable} -m leuda_core.worker {closed}"
    line = b'{"request": "find_volumes", "id": 1, "inputs": []}\n'
    process = subprocess.Popen(command, shell=True, cwd=ROOT, stdin=-1, stdout=-1, stderr=-1)
    if closed == "2>&-":
        process.stdin.write(line)
        process.stdin.flush()
        events = [json.loads(process.stdout.readline())["event"] for _ in range(2)]
        assert events[0] == "hello" and events[1] in ("progress", "done")
    said = process.communicate(timeout=30)[1]
    assert process.returncode == (0 if closed == "2>&-" else 1)
    assert b"Traceback" not in said


@pytest.mark.slow
def test_it_ends_when_nobody_reads_its_answers() -> None:
    command = [sys.executable, "-m", "leuda_core.worker"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    process.stdout.close()
    process.stdin.write(b"no request\n")
    process.stdin.flush()
    assert process.wait(timeout=30) == 0
    process.stdin.close()

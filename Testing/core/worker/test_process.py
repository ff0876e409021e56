"""The worker as a process: it says hello, keeps its standard output clean, cancels, and ends with its client."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from timing import allowed
from worker_process import WorkerProcess, anonymous_mib
from worker_requests import SLOW, call, volume_data

pytestmark = pytest.mark.slow


def test_it_says_hello_before_anything_heavy_is_imported() -> None:
    code = "import sys; sys.modules.update(dict.fromkeys(['numpy', 'torch', 'SimpleITK', 'msgspec']))"
    with WorkerProcess(code=code) as worker:
        hello = worker.wait_for("hello", timeout_s=10)
        assert hello["pid"] == worker.process.pid and hello["protocol"] == 1 and hello["version"]
        worker.send("load", 1, model="x")
        answer = worker.answer(1)
        assert answer["kind"] == "input" and "package" in answer["message"] and "missing" in answer["message"]


def test_hello_comes_at_once() -> None:
    waits = []
    for _ in range(3):
        with WorkerProcess() as worker:
            waits.append(worker.wait_for("hello")["at"] - worker.started)
    assert min(waits) < allowed(0.3)


def test_standard_output_is_the_protocol_alone(fields: dict[str, object]) -> None:
    noise = "import os; from leuda_core.prediction.job import SliceJob; stored = SliceJob.store\n"
    noise += "def store(self, *args): print('a library'); os.system('echo a program'); stored(self, *args)\n"
    noise += "SliceJob.store = store"
    with WorkerProcess(code=noise) as worker:
        call(worker, "segment", **fields)
        assert worker.events[0]["event"] == "hello"  # each line was JSON, or reading had failed
        worker.process.stdin.close()
        assert worker.process.wait(timeout=5) == 0
    assert b"a library" in worker.log and b"a program" in worker.log


@pytest.mark.parametrize("when", ["idle", "import", "segment"])
def test_it_ends_at_once_with_its_standard_input(when: str, fields: dict[str, object]) -> None:
    with WorkerProcess(code=SLOW if when == "segment" else "") as worker:
        worker.wait_for("hello")
        if when != "idle":
            worker.send("segment", 1, **fields)
            worker.wait_for("progress", stage="segment" if when == "segment" else "load model")
        start = time.monotonic()
        worker.process.stdin.close()
        worker.process.wait(timeout=10)
        assert time.monotonic() - start < allowed(0.8)


def test_memory_is_freed_after_an_idle_time(fields: dict[str, object]) -> None:
    np.save(fields["volume"], volume_data((200, 256, 256)))  # 25 MiB
    with WorkerProcess("--idle-seconds", "0.2") as worker:
        call(worker, "slice", **fields, position=[0, 0, 0])
        held = anonymous_mib(worker.process.pid)
        deadline = time.monotonic() + 5
        while b"unloaded" not in worker.log and time.monotonic() < deadline:
            time.sleep(0.02)
        assert b"unloaded" in worker.log
        if held:
            assert anonymous_mib(worker.process.pid) < held - 20
        assert call(worker, "slice", **fields, position=[0, 0, 0])["device"] == "cpu"  # loads again
        assert worker.log.count(b"loaded /") == 2


def test_cancelling_takes_effect_at_once(fields: dict[str, object], tmp_path: Path) -> None:
    with WorkerProcess(code=SLOW) as worker:
        worker.send("segment", 1, **fields)
        worker.wait_for("progress", stage="segment", number=1)
        worker.send("segment", 2, **fields, probabilities=tmp_path / "p.npy")
        worker.send("devices", 3)
        start = time.monotonic()
        worker.send("cancel", 2)  # waits in the queue
        worker.send("cancel", 1)
        for number in (2, 1):
            answer = worker.answer(number)
            assert (answer["event"], answer["kind"]) == ("error", "cancelled") and answer["at"] - start < allowed(0.3)
        assert worker.answer(3)["at"] - start < allowed(2.0)  # the work itself ended, too
        assert not Path(fields["output"]).exists() and not (tmp_path / "p.npy").exists()
        assert [event["id"] for event in worker.events if event["event"] in ("done", "error")] == [2, 1, 3]


def test_cancelling_while_a_model_loads(fields: dict[str, object]) -> None:
    with WorkerProcess() as worker:
        worker.wait_for("hello")
        worker.send("segment", 1, **fields)
        worker.wait_for("progress", stage="load model")
        start = time.monotonic()
        worker.send("cancel", 1)
        answer = worker.answer(1)
        assert answer["kind"] == "cancelled" and answer["at"] - start < allowed(1.0)
        assert worker.result("segment", 2, **fields)["device"] == "cpu"


def test_nothing_is_said_about_a_cancelled_request(fields: dict[str, object]) -> None:
    with WorkerProcess(code=SLOW) as worker:
        worker.send("segment", 1, **fields)
        worker.wait_for("progress", stage="segment", number=1)
        worker.send("cancel", 1)
        worker.send("cancel", 1)
        worker.send("cancel", 77)
        worker.result("devices", 2)
        about = [event["event"] for event in worker.events if event.get("id") == 1]
        assert about.count("error") == 1 and about[-1] == "error"
        assert not [event for event in worker.events if event.get("id") == 77]

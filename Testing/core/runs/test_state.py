"""The state of a run and its events, as any process reads them from the files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from leuda_core.errors import InputError
from leuda_core.runs import control
from leuda_core.runs.events import EventWriter, read_events
from leuda_core.runs.folder import Run
from leuda_core.runs.lock import RunLock
from leuda_core.runs.state import RunStatus, status, status_of


def test_status_of_each_state(run: Run) -> None:
    events = EventWriter(run.events)
    assert status(run) == RunStatus(path=run.path, state="created", total=400)
    events("start")
    events("progress", stage="prepare", step=2, total=3)
    assert (status(run).state, status(run).step, status(run).total) == ("crashed", 0, 400)
    events("progress", stage="train", step=100, total=400, metrics={"segmentation": 0.5})
    found = status(run)
    assert (found.state, found.step, found.total, found.progress) == ("crashed", 100, 400, 0.25)
    assert found.metrics == {"segmentation": 0.5} and found.stage == "train" and "resume" in found.remedy
    events("error", kind="input", message="case 'x': no such file", remedy="restore it")
    assert (status(run).state, status(run).message) == ("failed", "case 'x': no such file")
    events("start")
    events("end", state="stopped")
    assert status(run).state == "stopped"
    events("start")
    events("end", state="finished")
    assert (status(run).state, status(run).progress) == ("finished", 1.0)


def test_a_held_lock_is_running_whatever_was_written(run: Run) -> None:
    EventWriter(run.events)("end", state="finished")
    with RunLock(run):
        found = status(run)
        assert (found.state, found.pid) == ("running", os.getpid())
    assert status(run).state == "finished" and status(run).pid is None


def test_seconds_left_since_the_last_start(run: Run) -> None:
    lines = [
        {"event": "progress", "time": 0.0, "step": 10, "total": 400},  # before a break of a day
        {"event": "start", "time": 90000.0},
        {"event": "progress", "time": 90010.0, "step": 20, "total": 400},
        {"event": "progress", "time": 90030.0, "step": 60, "total": 400},
    ]
    run.events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with RunLock(run):
        assert status(run).seconds_left == pytest.approx((400 - 60) * 20 / 40)
    assert status(run).seconds_left is None


def test_torn_and_foreign_lines_are_passed_over(run: Run) -> None:
    run.events.write_bytes(
        b'{"event": "start"}\n{"event": "progress", "step": 5, "tot\n\xff\xfe garbage\n'
        b'{"event": "progress", "step": "many", "total": 400}\n'
        b'{"event": "novelty", "metrics": [1]}\n{"event": "progress", "step": 7, "total": 400}\n{"event": "end", "sta'
    )
    assert (status(run).state, status(run).step) == ("crashed", 7)


def test_whole_numbers_that_no_float_holds_are_left_out(run: Run) -> None:
    metrics = {"loss": 0.5, "huge": 10**400, "nan": float("nan")}
    EventWriter(run.events)("progress", step=10**400, total=400, metrics=metrics)
    (event,), _ = read_events(run.events)
    assert event["total"] == 400 and "step" not in event and list(event["metrics"]) == ["loss", "nan"]
    assert list(status(run).metrics) == ["loss", "nan"]


def test_events_can_be_read_piece_by_piece(run: Run) -> None:
    write = EventWriter(run.events)
    for step in range(20):
        write("progress", stage="train", step=step, total=400)
    found, offset, pieces = [], 0, 0
    while offset < run.events.stat().st_size:
        new, offset = read_events(run.events, offset, 200)
        found, pieces = found + new, pieces + 1
    assert [event["step"] for event in found] == list(range(20)) and pieces > 5
    assert status_of(run, found, running=True).step == 19


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run\.json"):
        status(tmp_path)
    with pytest.raises(InputError, match=r"no run\.json"):
        control.request_stop(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_status_changes_nothing(run: Run) -> None:
    before = sorted(run.path.iterdir())
    status(run)
    assert sorted(run.path.iterdir()) == before

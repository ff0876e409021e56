"""A pipe in the place of a file of a run: an error at once, instead of waiting for ever, deaf to a signal to stop."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leuda_core.config import read_run_config
from leuda_core.io.leftovers import remove
from leuda_core.io.private import open_private, read_regular
from leuda_core.runs.events import EventWriter, read_events
from leuda_core.runs.folder import Run
from leuda_core.runs.lock import RunLock, holder, is_running
from leuda_core.runs.model import model_problem
from leuda_core.runs.state import status_of

pytestmark = [pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes"), pytest.mark.timeout(10)]


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("events.jsonl", read_events),
        ("events.jsonl", lambda path: EventWriter(path)("progress")),
        ("log.txt", lambda path: open_private(path, "ab")),
        ("data.json", lambda path: open_private(path, "rb")),
        ("lock", lambda path: RunLock(path.parent).__enter__()),
        ("lock.1", lambda path: is_running(path.parent)),
        ("run.json", read_run_config),
        ("scores.json", read_regular),
    ],
)
def test_a_pipe_is_refused(tmp_path: Path, name: str, use: Callable[[Path], Any]) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(Exception, match=r"not a regular file|no such device|No such device"):
        use(tmp_path / name)


@pytest.mark.parametrize("name", ["bundle/bundle.json", "lock", "run.json"])
def test_no_state_waits_for_a_pipe(tmp_path: Path, name: str) -> None:
    EventWriter(tmp_path / "events.jsonl")("end", state="finished")
    (tmp_path / "bundle").mkdir()
    os.mkfifo(tmp_path / name)
    run = Run(tmp_path)
    assert "bundle.json" in model_problem(run) or name != "bundle/bundle.json"
    assert holder(run) is None
    assert status_of(run, [], running=False).total == 0


def test_a_pipe_is_removed_unopened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    remove(tmp_path / "pipe")
    assert not os.path.lexists(tmp_path / "pipe")

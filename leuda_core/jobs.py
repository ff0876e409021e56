"""Runs as other processes see them: what they are doing; starting, stopping and killing them.

Training is a detached process without pipes, so everything here goes through the files of the run folder. A run whose
lock is free and whose events stop short has crashed. Standard library only, so that Slicer can import it before
anything is installed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from leuda_core.errors import InputError
from leuda_core.events import read_events
from leuda_core.runs import LAUNCH_TOKEN, Holder, Run, RunLock, as_run, busy, holder, is_running, start_ticks

__all__ = [
    "Holder",
    "Run",
    "RunLock",
    "RunStatus",
    "clear_stop",
    "holder",
    "is_running",
    "kill",
    "launch",
    "request_stop",
    "status",
    "status_of",
    "stop_requested",
]

State = Literal["created", "running", "finished", "stopped", "failed", "crashed"]

_RATE_EVENTS = 50


@dataclass(frozen=True)
class RunStatus:
    """What a run is doing, as far as its files tell. ``progress`` is in [0, 1]; ``seconds_left`` is an estimate."""

    path: Path
    state: State
    stage: str = ""
    step: int = 0
    total: int = 0
    progress: float = 0.0
    seconds_left: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    message: str = ""
    remedy: str = ""
    pid: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain, JSON-ready values under the same names."""
        return {**self.__dict__, "path": str(self.path), "metrics": dict(self.metrics)}


def status(run: Run | Path | str) -> RunStatus:
    """Read a run's state from its files; changes nothing.

    Raises:
        InputError: the folder holds no run.
    """
    run = as_run(run).check()
    running = is_running(run)  # before the events, so that an end written in between is not taken for a crash
    return status_of(run, read_events(run.events)[0], running=running)


def status_of(run: Run, events: Sequence[dict[str, Any]], *, running: bool) -> RunStatus:
    """Return a run's state from all of its events, for those who follow them; ``running``: see ``is_running``."""
    state, message, remedy = _state(events, running)
    steps = [event for event in events if _is_step(event)]
    step = int(steps[-1]["step"]) if steps else 0
    total = int(steps[-1]["total"]) if steps else _planned_steps(run)
    step = total if state == "finished" else step
    metrics: dict[str, float] = {}
    for event in events:
        metrics.update(_numbers(event.get("metrics")))
    who = holder(run) if running else None
    return RunStatus(
        path=run.path,
        state=state,
        stage=str(next((e["stage"] for e in reversed(events) if "stage" in e), "")),
        step=step,
        total=total,
        progress=1.0 if state == "finished" else min(step / total, 1.0) if total else 0.0,
        seconds_left=_seconds_left(events) if running else None,
        metrics=metrics,
        message=message,
        remedy=remedy,
        pid=who.pid if who else None,
    )


def request_stop(run: Run | Path | str) -> None:
    """Ask the run to write a checkpoint and end."""
    as_run(run).check().stop.touch()


def stop_requested(run: Run | Path | str) -> bool:
    """Say whether somebody asked the run to stop."""
    return as_run(run).stop.exists()


def clear_stop(run: Run | Path | str) -> None:
    """Take back a request to stop."""
    as_run(run).stop.unlink(missing_ok=True)


def launch(run: Run | Path | str, *, python: Sequence[str] = (), wait_s: float = 30.0) -> int:
    """Start or resume a run in a detached process that outlives this one; return the training process's id.

    Args:
        python: the interpreter's command line; this interpreter by default. Slicer passes its PythonSlicer.
        wait_s: how long to wait until the process has taken the run's lock.

    Raises:
        InputError: another process has the run, or the new one ended at once; quotes its last line.
    """
    run = Run(as_run(run).check().path.resolve())
    if is_running(run):
        raise busy(run)
    clear_stop(run)
    token = secrets.token_hex(8)
    command = [*(python or [sys.executable]), "-m", "leuda_core", "resume", str(run.path)]
    log_start = run.log.stat().st_size if run.log.exists() else 0
    process = _start_detached(command, run, token)
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        code = process.poll()
        who = holder(run)
        if who and who.token == token and is_running(run):
            return who.pid
        if code is not None:
            return _ended_early(run, code, log_start, process.pid)
        time.sleep(0.02)
    return process.pid


def kill(run: Run | Path | str, *, grace_s: float = 5.0) -> bool:
    """Ask the run to stop; after ``grace_s`` end its whole process tree. Return whether force was needed.

    Raises:
        InputError: the run is held by a process on another machine, or its process cannot be identified.
    """
    run = as_run(run).check()
    if not is_running(run):
        return False
    request_stop(run)
    forced = not _wait_until_free(run, grace_s)
    if forced:
        _end_tree(run, signal.SIGTERM)
        if not _wait_until_free(run, 2.0):
            _end_tree(run, getattr(signal, "SIGKILL", signal.SIGTERM))
            _wait_until_free(run, 5.0)
    clear_stop(run)
    return forced


def _is_step(event: dict[str, Any]) -> bool:
    """Say whether this is progress in training, not in reading the volumes before it."""
    whole = isinstance(event.get("step"), int) and isinstance(event.get("total"), int)
    return event["event"] == "progress" and event.get("stage") != "prepare" and whole


def _planned_steps(run: Run) -> int:
    try:
        steps = json.loads(run.config.read_text(encoding="utf-8"))["steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return steps if isinstance(steps, int) else 0


def _numbers(values: object) -> dict[str, float]:
    if not isinstance(values, dict):
        return {}
    return {key: value for key, value in values.items() if isinstance(value, (int, float))}


def _state(events: Sequence[dict[str, Any]], running: bool) -> tuple[State, str, str]:
    """Return state, message and remedy from the last event that decides them."""
    if running:
        return "running", "", ""
    last = next((event for event in reversed(events) if event["event"] in ("start", "end", "error")), None)
    if last is None:
        return "created", "", ""
    if last["event"] == "start":
        return (
            "crashed",
            "the process ended without a word",
            "see log.txt; go on from the checkpoint with `leuda resume`",
        )
    message, remedy = str(last.get("message", "")), str(last.get("remedy", ""))
    if last["event"] == "error":
        return ("stopped" if last.get("kind") == "cancelled" else "failed"), message, remedy
    return ("stopped" if last.get("state") == "stopped" else "finished"), message, remedy


def _seconds_left(events: Sequence[dict[str, Any]]) -> float | None:
    """Estimate the remaining time from the pace of the last progress events since the last start."""
    starts = [index for index, event in enumerate(events) if event["event"] == "start"]
    recent = events[starts[-1] if starts else 0 :]
    steps = [event for event in recent if _is_step(event)][-_RATE_EVENTS:]
    if len(steps) < 2:
        return None
    first, last = steps[0], steps[-1]
    done, seconds = last["step"] - first["step"], last.get("time", 0) - first.get("time", 0)
    return max(0.0, (last["total"] - last["step"]) * seconds / done) if done > 0 and seconds > 0 else None


_started: list[subprocess.Popen[bytes]] = []


def _start_detached(command: list[str], run: Run, token: str) -> subprocess.Popen[bytes]:
    package_parent = str(Path(__file__).resolve().parent.parent)
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH")]))
    environment |= {LAUNCH_TOKEN: token, "PYTHONUNBUFFERED": "1"}
    _started[:] = [process for process in _started if process.poll() is None]  # reap the ended ones
    with open(run.log, "ab") as log:
        settings: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": log,
            "stderr": log,
            "cwd": run.path,  # a module in the user's folder must not shadow one of ours
            "env": environment,
        }
        process = _popen_windows(command, settings) if os.name == "nt" else _popen_posix(command, settings)
    _started.append(process)
    return process


def _popen_posix(command: list[str], settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, start_new_session=True, **settings)


def _popen_windows(command: list[str], settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    flags = 0
    for name in ("DETACHED_PROCESS", "CREATE_NEW_PROCESS_GROUP"):
        flags |= getattr(subprocess, name, 0)
    breakaway = getattr(subprocess, "CREATE_BREAKAWAY_FROM_JOB", 0)
    try:  # a launcher may have put us in a job object that takes its children along when it closes
        return subprocess.Popen(command, creationflags=flags | breakaway, **settings)
    except PermissionError:
        return subprocess.Popen(command, creationflags=flags, **settings)


def _ended_early(run: Run, code: int, log_start: int, pid: int) -> int:
    if code == 0:
        return pid  # a run of a few steps may be over before we looked
    with open(run.log, "rb") as log:
        log.seek(log_start)
        lines = log.read().decode(errors="replace").strip().splitlines()
    last = lines[-1].strip() if lines else f"exit code {code}"
    raise InputError(f"{run.path}: the training process ended at once: {last}", f"see {run.log}")


def _wait_until_free(run: Run, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(run):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _end_tree(run: Run, number: int) -> None:
    """Signal the holder and its children, after making sure that it is the holder."""
    who = holder(run)
    if who is None:
        raise InputError(f"{run.path}: the lock does not name its process", "end the training process by hand")
    if who.host != socket.gethostname():
        raise InputError(f"{run.path}: the run is in use by process {who.pid} on {who.host}", "kill it there")
    gone = bool(who.start) and who.start != start_ticks(who.pid)
    if os.name == "nt":
        taskkill = shutil.which("taskkill") or "taskkill"
        subprocess.run([taskkill, "/T", "/F", "/PID", str(who.pid)], check=False, capture_output=True)
        return
    with contextlib.suppress(ProcessLookupError):
        if who.group and who.group != os.getpgid(0):
            # Also when the holder is gone: its forked loaders may still keep the lock.
            os.killpg(who.group, number)
        elif not gone:  # else its number may belong to somebody else by now
            os.kill(who.pid, number)

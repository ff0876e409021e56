"""Starting, stopping and killing runs from another process, through the files of the run folder.

Standard library only, so that Slicer can import it before anything is installed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leuda_core.errors import FREE_MEMORY, InputError, MemoryShortage, reason_of
from leuda_core.io.children import UTF8_MODE, python_path
from leuda_core.io.leftovers import start_ticks
from leuda_core.io.private import file_mode, open_private
from leuda_core.runs.folder import Run, as_run
from leuda_core.runs.lock import LAUNCH_TOKEN, busy, holder, is_running


def request_stop(run: Run | Path | str) -> None:
    """Ask the run to write a checkpoint and stop."""
    as_run(run).check().stop.touch(file_mode())


def stop_requested(run: Run | Path | str) -> bool:
    """Return whether the run was asked to stop."""
    return as_run(run).stop.exists()


def clear_stop(run: Run | Path | str) -> None:
    """Withdraw a request to stop."""
    as_run(run).stop.unlink(missing_ok=True)


def launch(run: Run | Path | str, *, python: Sequence[str] = (), wait_s: float = 30.0) -> int:
    """Start or resume a run in a detached process that outlives this one; return the id of the training process.

    Args:
        python: the command line of the interpreter, by default this one. Slicer passes its PythonSlicer.
        wait_s: how long to wait until the process has taken the run's lock.

    Raises:
        InputError: another process uses the run, or the new process stopped at once; quotes its last line.
        MemoryShortage: no process can be started.
    """
    run = Run(as_run(run).check().path.resolve())
    if is_running(run):
        raise busy(run)
    clear_stop(run)
    token = secrets.token_hex(8)
    command = [*(python or [sys.executable]), *UTF8_MODE, "-m", "leuda_core", "resume", str(run.path)]
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
    """Ask the run to stop; after ``grace_s``, kill its whole process tree. Return whether that was necessary.

    Raises:
        InputError: a process on another machine uses the run, or its process cannot be identified.
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


_started: list[subprocess.Popen[bytes]] = []


def _start_detached(command: list[str], run: Run, token: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": python_path(), "PYTHONUNBUFFERED": "1", LAUNCH_TOKEN: token}
    _started[:] = [process for process in _started if process.poll() is None]  # reap finished processes
    with open_private(run.log, "ab") as log:
        settings: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": log,
            "stderr": log,
            "cwd": run.path,  # modules in the user's folder must not shadow ours
            "env": environment,
        }
        try:
            process = _popen_windows(command, settings) if os.name == "nt" else _popen_posix(command, settings)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ENOMEM):
                raise
            raise MemoryShortage(f"cannot start a process ({reason_of(error)})", FREE_MEMORY) from error
    _started.append(process)
    return process


def _popen_posix(command: list[str], settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, start_new_session=True, **settings)


def _popen_windows(command: list[str], settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    flags = 0
    for name in ("DETACHED_PROCESS", "CREATE_NEW_PROCESS_GROUP"):
        flags |= getattr(subprocess, name, 0)
    breakaway = getattr(subprocess, "CREATE_BREAKAWAY_FROM_JOB", 0)
    try:  # we may be in a job object that kills its processes when it closes
        return subprocess.Popen(command, creationflags=flags | breakaway, **settings)
    except PermissionError:
        return subprocess.Popen(command, creationflags=flags, **settings)


def _ended_early(run: Run, code: int, log_start: int, pid: int) -> int:
    if code == 0:
        return pid  # a short run may already have finished
    with open(run.log, "rb") as log:
        log.seek(log_start)
        lines = log.read().decode(errors="replace").strip().splitlines()
    last = lines[-1].strip() if lines else f"exit code {code}"
    raise InputError(f"{run.path}: the training process stopped at once: {last}", f"see {run.log}")


def _wait_until_free(run: Run, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(run):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _end_tree(run: Run, number: int) -> None:
    """Signal the holder and its children, after checking its identity."""
    who = holder(run)
    if who is None:
        raise InputError(f"{run.path}: the lock does not name its process", "kill the training process manually")
    if who.host != socket.gethostname():
        raise InputError(f"{run.path}: the run is in use by process {who.pid} on {who.host}", "kill it there")
    gone = bool(who.start) and who.start != start_ticks(who.pid)
    if os.name == "nt":
        taskkill = shutil.which("taskkill") or "taskkill"
        subprocess.run([taskkill, "/T", "/F", "/PID", str(who.pid)], check=False, capture_output=True)
        return
    with contextlib.suppress(ProcessLookupError):
        if who.group and who.group != os.getpgid(0):
            # Even if the holder is gone: forked loaders may still keep the lock.
            os.killpg(who.group, number)
        elif not gone:  # otherwise another process may have its id by now
            os.kill(who.pid, number)

"""The run folder and its lock: the training process holds ``lock``, and the kernel releases it when the process ends.

Standard library only, so that Slicer can import it before anything is installed.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from leuda_core.errors import InputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LAUNCH_TOKEN = "LEUDA_LAUNCH"
"""Environment variable that lets a launcher recognise its process in the lock file."""

_LOCKED_BYTE = 1 << 30  # Windows locks are mandatory: lock a byte beyond the text, which must stay readable
_PROBE_S = 0.5  # how long to retry taking the lock, because a reader's probe holds it for some microseconds


@dataclass(frozen=True)
class Run:
    """A run folder: one training, from its settings to its model."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    @property
    def config(self) -> Path:
        return self.path / "run.json"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def stop(self) -> Path:
        return self.path / "stop"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint-last.pt"

    @property
    def previews(self) -> Path:
        return self.path / "previews"

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    @property
    def scores(self) -> Path:
        return self.path / "scores.json"

    def check(self) -> Run:
        """Return self, or raise InputError if the folder contains no run."""
        if not self.config.is_file():
            raise InputError(
                f"{self.path}: not a run folder (no run.json)", "give the folder that was passed to train --out"
            )
        return self


@dataclass(frozen=True)
class Holder:
    """The process that holds a run's lock.

    ``start`` is its start time in kernel ticks, ``group`` its process group if only the run is in it; both are 0 if
    unknown or not available.
    """

    pid: int
    host: str
    since: float
    start: int = 0
    group: int = 0
    token: str = ""


class RunLock:
    """Hold a run for this process: ``with RunLock(run): train``. May be nested within one process.

    Raises:
        InputError: on entry, if another process uses the run; names that process.
    """

    _held: ClassVar[dict[str, tuple[int, int]]] = {}  # folder: (descriptor, depth)

    def __init__(self, run: Run | Path | str) -> None:
        self._run = as_run(run)
        self._key = str(self._run.path.resolve())

    def __enter__(self) -> RunLock:
        descriptor, depth = self._held.get(self._key) or (self._take(), 0)
        self._held[self._key] = descriptor, depth + 1
        return self

    def __exit__(self, *_: object) -> None:
        descriptor, depth = self._held.pop(self._key)
        if depth > 1:
            self._held[self._key] = descriptor, depth - 1
            return
        os.ftruncate(descriptor, 0)  # after a normal release, the file names no process
        _unlock(descriptor)
        os.close(descriptor)

    def _take(self) -> int:
        descriptor = os.open(self._run.lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        deadline = time.monotonic() + _PROBE_S
        while not _try_lock(descriptor, shared=False):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise busy(self._run)
            time.sleep(0.01)
        self._write_holder(descriptor)
        return descriptor

    @staticmethod
    def _write_holder(descriptor: int) -> None:
        me, token = os.getpid(), os.environ.get(LAUNCH_TOKEN, "")
        group = 0 if sys.platform == "win32" else os.getpgid(0)
        alone = bool(token) or group == me  # a run started by a script is in the script's group
        who = Holder(me, socket.gethostname(), time.time(), start_ticks(me), group if alone else 0, token)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(who.__dict__).encode())


def is_running(run: Run | Path | str) -> bool:
    """Return whether a process holds the run's lock.

    On POSIX the probe is a shared lock: probes do not disturb each other, and a process that is taking the lock retries
    for longer than a probe lasts.
    """
    try:
        descriptor = os.open(as_run(run).lock, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return False
    try:
        if not _try_lock(descriptor, shared=True):
            return True
        _unlock(descriptor)
        return False
    finally:
        os.close(descriptor)


def holder(run: Run | Path | str) -> Holder | None:
    """Return the last process that wrote the lock file; valid while ``is_running``. ``None`` if none or unreadable."""
    try:
        return Holder(**json.loads(as_run(run).lock.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def as_run(run: Run | Path | str) -> Run:
    """Return a run from a run or a folder."""
    return run if isinstance(run, Run) else Run(Path(run))


def busy(run: Run) -> InputError:
    """Return the error that names the process using the run."""
    who = holder(run)
    by = f"process {who.pid} on {who.host}" if who else "another process"
    return InputError(f"{run.path}: the run is in use by {by}", "stop it with `leuda stop`, or wait until it ends")


def _try_lock(descriptor: int, *, shared: bool) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _unlock(descriptor: int) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def start_ticks(pid: int) -> int:
    """Return the start time of a process in kernel ticks, which identifies it together with its id. 0 if unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        return int(
            text.rpartition(")")[2].split()[19]
        )  # field 22; the process name before it may contain any characters
    except (OSError, ValueError, IndexError):
        return 0

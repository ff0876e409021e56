"""The lock of a run: the training process holds the file ``lock``, and the kernel releases it when the process ends.

Where the file system cannot lock files, a file with a heartbeat (``runs.heartbeat``) takes its place. Standard library
only, so that Slicer can import it before anything is installed.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from leuda_core.errors import InputError, reason_of
from leuda_core.io.files import write_error
from leuda_core.io.leftovers import is_alive, machine, start_ticks
from leuda_core.io.private import open_file, read_file
from leuda_core.runs import heartbeat
from leuda_core.runs.folder import Run, as_run
from leuda_core.runs.heartbeat import HeartbeatFile, is_held
from leuda_core.runs.kernel_lock import NO_LOCKS, file_system, try_lock, unlock

LAUNCH_TOKEN = "LEUDA_LAUNCH"
"""Environment variable that lets a launcher recognise its process in the lock file."""

logger = logging.getLogger(__name__)

_PROBE_S = 0.5  # how long to retry taking the lock, because a reader's probe holds it for some microseconds


@dataclass(frozen=True)
class Holder:
    """The process that holds a run's lock.

    ``start`` is its start time in kernel ticks, ``group`` its process group if only the run is in it; both are 0 if
    unknown or not available. ``place`` is the ``machine`` on which ``pid`` is valid.
    """

    pid: int
    host: str
    since: float
    start: int = 0
    group: int = 0
    token: str = ""
    place: str = ""


@dataclass(frozen=True)
class _Held:
    """A lock of this process; ``file`` is what holds it where files cannot be locked."""

    descriptor: int
    file: HeartbeatFile | None
    depth: int


class RunLock:
    """Hold a run for this process: ``with RunLock(run): train``. May be nested within one process.

    Raises:
        InputError: on entry, if another process uses the run (names that process), or if it cannot be locked.
        FileNotFoundError: there is no such folder.
    """

    _held: ClassVar[dict[str, _Held]] = {}  # by folder

    def __init__(self, run: Run | Path | str) -> None:
        self._run = as_run(run)
        self._key = str(self._run.path.resolve())

    def __enter__(self) -> RunLock:
        held = self._held.get(self._key) or self._take()
        self._held[self._key] = replace(held, depth=held.depth + 1)
        return self

    def __exit__(self, *_: object) -> None:
        held = self._held.pop(self._key)
        if held.depth > 1:
            self._held[self._key] = replace(held, depth=held.depth - 1)
            return
        if held.file is None:
            os.ftruncate(held.descriptor, 0)  # after a normal release, the file names no process
            unlock(held.descriptor)
        else:
            if not held.file.lost:
                os.ftruncate(held.descriptor, 0)
            held.file.release()
        os.close(held.descriptor)

    def check(self) -> None:
        """Raise LeudaError if another process has taken over the run, which only a heartbeat allows."""
        held = self._held.get(self._key)
        if held and held.file:
            held.file.check()

    def _take(self) -> _Held:
        try:
            descriptor = open_file(self._run.lock, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:  # the run was deleted
            raise
        except OSError as error:
            raise write_error(self._run.lock, error) from error
        file = None
        try:
            me = json.dumps(_this_process().__dict__).encode()
            file = self._hold(descriptor, me)
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, me)
        except BaseException as error:
            os.close(descriptor)
            if file is not None:
                file.release()
            if isinstance(error, OSError):
                raise write_error(self._run.lock, error) from error
            raise
        return _Held(descriptor, file, 0)

    def _hold(self, descriptor: int, me: bytes) -> HeartbeatFile | None:
        """Lock the file, or else create a file with a heartbeat and return it."""
        deadline = time.monotonic() + _PROBE_S
        try:
            while not try_lock(descriptor, shared=False):
                if time.monotonic() > deadline:
                    raise busy(self._run)
                time.sleep(0.01)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise _lock_error(self._run, error) from error
            return self._hold_by_file(me, error)
        if is_held(self._run.lock, _lives):  # by a process that cannot lock files here
            raise busy(self._run)
        return None

    def _hold_by_file(self, me: bytes, error: OSError) -> HeartbeatFile:
        who = holder(self._run)
        if who and who.pid != os.getpid() and _lives_there(who):
            raise busy(self._run)
        file = heartbeat.take(self._run.lock, me, _lives)
        if file is None:
            raise busy(self._run)
        reason = _no_locks(self._run, error)
        logger.warning("%s: a file with a heartbeat protects the run from a second process", reason)
        return file


def _this_process() -> Holder:
    me, token = os.getpid(), os.environ.get(LAUNCH_TOKEN, "")
    group = 0 if sys.platform == "win32" else os.getpgid(0)
    alone = bool(token) or group == me  # a run started by a script is in the script's group
    now, start = time.time(), start_ticks(me)
    return Holder(me, socket.gethostname(), now, start, group if alone else 0, token, machine())


def is_running(run: Run | Path | str) -> bool:
    """Return whether a process holds the run's lock.

    On POSIX the probe is a shared lock: probes do not disturb each other, and a process that is taking the lock retries
    for longer than a probe lasts.

    Raises:
        InputError: the system does not tell.
    """
    run = as_run(run)
    try:
        descriptor = open_file(run.lock, os.O_RDONLY)
    except FileNotFoundError:
        return is_held(run.lock, _lives)
    try:
        if not try_lock(descriptor, shared=True):
            return True
        unlock(descriptor)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise _lock_error(run, error) from error
    finally:
        os.close(descriptor)
    return is_held(run.lock, _lives)


def _lives(content: bytes) -> bool | None:
    """Return whether the process that a file names lives; ``None`` if this cannot be told from here."""
    try:
        return _lives_there(_parsed(content))
    except (ValueError, TypeError, RecursionError):
        return None


def _lives_there(who: Holder) -> bool | None:
    return is_alive(who.pid, who.start) if who.place == machine() else None


def _no_locks(run: Run, error: OSError) -> str:
    kind = file_system(run.path) or "its file system"
    return f"{run.path} ({kind}) cannot lock files ({reason_of(error)}, errno {error.errno})"


def _lock_error(run: Run, error: OSError) -> InputError:
    return InputError(_no_locks(run, error), "choose a folder on a local disk, or repair the connection to this one")


def holder(run: Run | Path | str) -> Holder | None:
    """Return the last process that wrote the lock file; valid while ``is_running``. ``None`` if none or unreadable."""
    try:
        return _parsed(read_file(as_run(run).lock))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _parsed(content: bytes) -> Holder:
    found = Holder(**json.loads(content))
    whole = all(type(value) is int and 0 <= value < 2**63 for value in (found.pid, found.start, found.group))
    if not whole or not all(isinstance(text, str) for text in (found.host, found.token, found.place)):
        raise ValueError("not the entry of a process")
    return found


def busy(run: Run) -> InputError:
    """Return the error that names the process using the run."""
    who = holder(run)
    by = f"process {who.pid} on {who.host}" if who else "another process"
    return InputError(f"{run.path}: the run is in use by {by}", "stop it with `leuda stop`, or wait until it ends")

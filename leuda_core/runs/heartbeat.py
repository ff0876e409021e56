"""Holding a run where the file system cannot lock files: by a file that names the process, with a heartbeat.

The process that creates ``lock.N`` for a new N, while no other such file is in use, holds the run. A file is in use
while its process lives; if that process is on another machine, while the file was touched within ``STALE_S``. The
holder touches it every ``BEAT_S``, and looks whether another process took it for dead. Standard library only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from leuda_core.errors import LeudaError
from leuda_core.io.private import file_mode, read_regular

logger = logging.getLogger(__name__)

BEAT_S = 5.0
STALE_S = 60.0

IsAlive = Callable[[bytes], bool | None]


class HeartbeatFile:
    """A held ``lock.N``. Create one with ``take``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Stop the heartbeat and remove the file."""
        self._end.set()
        self._thread.join()
        if not self.lost:
            self.path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise LeudaError if another process took the run because this one did not run for ``STALE_S``."""
        if self.lost:
            what = f"{self.path.parent}: another process has taken over this run, as this one had paused"
            raise LeudaError(what, "see `leuda status`; nothing is lost")

    def _beat(self) -> None:
        while not self._end.wait(BEAT_S):
            try:
                os.utime(self.path)
            except FileNotFoundError:
                self.lost = True
                return
            except OSError as error:  # the network may come back
                logger.warning("%s: no heartbeat: %s", self.path, error)


def take(lock: Path, content: bytes, is_alive: IsAlive) -> HeartbeatFile | None:
    """Hold a run by a file next to its ``lock``; ``None`` if another process holds it.

    Args:
        content: what names this process.
        is_alive: whether the process of such a content lives; ``None`` if this cannot be told from here.

    Raises:
        OSError: the file cannot be written.
    """
    known = dict(_files(lock))
    if any(_in_use(path, is_alive) for path in known.values()):
        return None
    mine = lock.with_name(f"{lock.name}.{max(known, default=0) + 1}")
    try:
        descriptor = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file_mode())
    except FileExistsError:  # another process was faster
        return None
    held = None
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        held = _alone(mine, lock, is_alive)
    finally:
        if held is None:
            mine.unlink(missing_ok=True)
    return held


def _alone(mine: Path, lock: Path, is_alive: IsAlive) -> HeartbeatFile | None:
    """Hold ``mine`` unless another file is in use: a process may have seen less files than this one, or more."""
    others = [path for _, path in _files(lock) if path != mine]
    if any(_in_use(path, is_alive) for path in others):
        return None
    for path in others:
        path.unlink(missing_ok=True)
    return HeartbeatFile(mine)


def is_held(lock: Path, is_alive: IsAlive) -> bool:
    """Return whether a file next to ``lock`` is in use."""
    return any(_in_use(path, is_alive) for _, path in _files(lock))


def _files(lock: Path) -> Iterator[tuple[int, Path]]:
    name = re.compile(re.escape(lock.name) + r"\.(\d{1,9})")
    with contextlib.suppress(OSError), os.scandir(lock.parent) as entries:
        for entry in list(entries):
            if match := name.fullmatch(entry.name):
                yield int(match[1]), Path(entry.path)


def _in_use(path: Path, is_alive: IsAlive) -> bool:
    try:
        alive, touched = is_alive(read_regular(path)), path.stat().st_mtime
    except FileNotFoundError:
        return False
    return time.time() - touched < STALE_S if alive is None else alive

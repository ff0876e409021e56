"""The private temporary folder through which volumes travel between Slicer and its worker, as ``.npy`` files."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import slicer

from leuda_core.errors import LeudaError
from leuda_core.runs.folder import start_ticks

_PREFIX = "LEUDA-worker-"
_LEFTOVER_S = 3 * 24 * 3600.0


class ExchangeFolder:
    """A folder only this user can read. Made on first use, removed by ``remove``; its files have names of their own."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._count = 0

    def newPath(self, name: str) -> str:
        """Return a path that nothing has used, ending in ``name``.

        Raises:
            LeudaError: the temporary folder cannot be written.
        """
        if self._path is None:
            self._path = _makeFolder()
        self._count += 1
        return str(self._path / f"{self._count:04d}-{name}")

    def discard(self, path: str) -> None:
        """Remove a file; one that the worker still has open is left until ``remove``."""
        with contextlib.suppress(OSError):
            os.remove(path)

    def remove(self) -> None:
        """Remove the folder with all it holds."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
        self._path = None


def _makeFolder() -> Path:
    parent = Path(slicer.app.temporaryPath)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _removeLeftovers(parent)
        return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-{start_ticks(os.getpid())}-", dir=parent))
    except OSError as error:
        raise LeudaError(
            f"cannot make a folder in {parent}: {(error.strerror or str(error)).lower()}",
            "choose another temporary folder in Slicer's settings, or free space on the disk",
        ) from error


def _removeLeftovers(parent: Path) -> None:
    """Remove the folders of sessions that crashed: they hold somebody's images."""
    for folder in parent.glob(f"{_PREFIX}*"):
        if _isLeftover(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _isLeftover(folder: Path) -> bool:
    """Say whether the process that made a folder is gone; where systems do not tell, whether it is days old."""
    pid, ticks, *_ = (*folder.name.removeprefix(_PREFIX).split("-"), "", "")
    if pid.isdigit() and ticks.isdigit() and int(ticks):
        return start_ticks(int(pid)) != int(ticks)
    try:
        return time.time() - folder.stat().st_mtime > _LEFTOVER_S
    except OSError:
        return False

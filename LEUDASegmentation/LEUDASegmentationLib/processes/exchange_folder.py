"""The private temporary folder for volumes that Slicer and its worker exchange as ``.npy`` files."""

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
    """A folder that only this user can read. It is created on first use and removed by ``remove``."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._count = 0

    def new_path(self, name: str) -> str:
        """Return a new path that ends in ``name``.

        Raises:
            LeudaError: the temporary folder is not writable.
        """
        if self._path is None:
            self._path = _make_folder()
        self._count += 1
        return str(self._path / f"{self._count:04d}-{name}")

    def discard(self, path: str) -> None:
        """Remove a file; a file that the worker still has open stays until ``remove``."""
        with contextlib.suppress(OSError):
            os.remove(path)

    def remove(self) -> None:
        """Remove the folder and its content."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
        self._path = None


def _make_folder() -> Path:
    parent = Path(slicer.app.temporaryPath)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(parent)
        return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-{start_ticks(os.getpid())}-", dir=parent))
    except OSError as error:
        raise LeudaError(
            f"cannot create a folder in {parent}: {(error.strerror or str(error)).lower()}",
            "choose another temporary folder in Slicer's settings, or free disk space",
        ) from error


def _remove_leftovers(parent: Path) -> None:
    """Remove the folders of crashed sessions: they contain patient images."""
    for folder in parent.glob(f"{_PREFIX}*"):
        if _is_leftover(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_leftover(folder: Path) -> bool:
    """Return whether the process that created a folder has ended or, if that is unknown, whether the folder is old."""
    pid, ticks, *_ = (*folder.name.removeprefix(_PREFIX).split("-"), "", "")
    if pid.isdigit() and ticks.isdigit() and int(ticks):
        return start_ticks(int(pid)) != int(ticks)
    try:
        return time.time() - folder.stat().st_mtime > _LEFTOVER_S
    except OSError:
        return False

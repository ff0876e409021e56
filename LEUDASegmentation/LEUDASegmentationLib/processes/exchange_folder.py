"""Private temporary folders: for volumes that Slicer and its worker exchange as ``.npy`` files, and for other work."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import slicer

from leuda_core.errors import LeudaError, reason_of
from leuda_core.io.leftovers import make_temporary_folder

_PREFIX = "LEUDA-worker-"


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
            self._path = new_private_folder()
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


def new_private_folder() -> Path:
    """Return a new folder in Slicer's temporary folder that only this user can read; the caller removes it.

    Those of processes that were killed are removed, whatever they were for.

    Raises:
        LeudaError: the temporary folder is not writable.
    """
    parent = Path(slicer.app.temporaryPath)
    try:
        return make_temporary_folder(parent, prefix=_PREFIX)
    except OSError as error:
        raise LeudaError(
            f"cannot create a folder in {parent}: {reason_of(error)}",
            "choose another temporary folder in Slicer's settings, or free disk space",
        ) from error

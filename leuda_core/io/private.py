"""Files and folders with images of patients: for their owner alone, unless ``LEUDA_SHARED=1`` leaves it to the umask.

Without effect on Windows, where the folder of a user is private. Standard library only.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO, Any

SHARED = "LEUDA_SHARED"
"""Environment variable: with the value 1, the umask decides who can read what leuda writes."""


def is_private() -> bool:
    """Return whether new files and folders with images are for their owner alone."""
    return os.name == "posix" and os.environ.get(SHARED) != "1"


def file_mode() -> int:
    """Return the mode of a new private file, before the umask."""
    return 0o600 if is_private() else 0o666


def folder_mode() -> int:
    """Return the mode of a new private folder, before the umask."""
    return 0o700 if is_private() else 0o777


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents; a folder that exists keeps its mode.

    Raises:
        OSError: it cannot be created, or a file is in the way.
    """
    for place in reversed([folder, *folder.parents]):
        if not place.is_dir():
            place.mkdir(folder_mode(), exist_ok=True)


def open_private(path: Path, mode: str, **options: Any) -> IO[Any]:
    """Open a file as ``open`` does; if that creates it, it is private."""
    return open(path, mode, opener=open_file, **options)


def read_file(path: Path) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: it cannot be read, or is a pipe or a device.
    """
    with open_private(path, "rb") as stream:
        content: bytes = stream.read()
    return content


def open_file(path: Path | str, flags: int, *, private: bool = True) -> int:
    """Return the descriptor of a regular file; what is none is never waited for.

    Args:
        private: a file that this creates is for its owner alone; otherwise the umask decides.

    Raises:
        OSError: as ``os.open``, or it is a pipe or a device, which could block for ever.
    """
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, file_mode() if private else 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor

"""Fingerprints of input files, to recognise them again. Standard library only."""

from __future__ import annotations

import hashlib
from pathlib import Path

_CHUNK = 1 << 20


def digest(path: Path) -> str:
    """Return the sha256 of a file's content, or of the names and contents of the files directly in a folder.

    The name of the file or folder itself and its times do not count: a copy has the same digest.

    Raises:
        OSError: a file cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        return _of_file(path)
    found = hashlib.sha256()
    for entry in sorted(entry for entry in path.iterdir() if entry.is_file()):
        found.update(f"{entry.name}\0{_of_file(entry)}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def _of_file(path: Path) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()

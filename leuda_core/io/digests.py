"""Fingerprints of input files, to recognise them again. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from leuda_core.io.private import open_file

_CHUNK = 1 << 20


def digest(path: Path, others: Iterable[Path] = ()) -> str:
    """Return the sha256 of a file's content, or of the names and contents of the files directly in a folder.

    The name of the file or folder itself and its times do not count: a copy has the same digest. Hidden files of a
    folder do not count either.

    Args:
        others: files that belong to the file, such as its voxels; their order counts, and their names do not.

    Raises:
        OSError: a file cannot be read, or is none (reading a pipe may never end).
    """
    path, others = Path(path), list(others)
    if path.is_dir():
        inside = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
        return _of_lines(f"{entry.name}\0{_of_file(entry)}" for entry in inside)
    return _of_lines(map(_of_file, [path, *others])) if others else _of_file(path)


def _of_lines(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")).hexdigest()


def _of_file(path: Path) -> str:
    found = hashlib.sha256()
    with open(path, "rb", opener=open_file) as stream:
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()

"""The files of a bundle, read from a folder or straight from a zip, with nothing trusted.

Nothing is ever extracted: names are compared with the few that a bundle may hold, sizes are compared with limits
before a byte is read, and no read returns more than the size announced. Standard library only.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from leuda_core.errors import InputError

DOCUMENT, WEIGHTS, CARD = "bundle.json", "model.safetensors", "README.md"
LIMITS = {DOCUMENT: 4 * 2**20, WEIGHTS: 2 * 2**30, CARD: 4 * 2**20}
"""The files of a bundle, and the most bytes each may have."""

REMEDY = "fetch the model again, or export it again from its run"
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}  # left by file browsers, never read
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    RuntimeError,
    EOFError,
    ValueError,
    OSError,
)


class FolderFiles:
    """The files of a bundle folder. Raises InputError for anything but plain files with the right names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: dict[str, int] = {}
        for entry in sorted(_entries(path), key=lambda entry: entry.name):
            if entry.name in _LITTER:
                continue
            if entry.is_symlink() or not entry.is_file(follow_symlinks=False):
                kind = "a link" if entry.is_symlink() else "no plain file"
                raise InputError(f"bundle {path}: {entry.name!r} is {kind}", REMEDY)
            self.sizes[entry.name] = entry.stat(follow_symlinks=False).st_size

    def read(self, name: str, size: int) -> bytes:
        """Return at most ``size + 1`` bytes, so that a file that grew is noticed and a huge one costs nothing."""
        try:
            with open(self.path / name, "rb") as stream:
                return stream.read(size + 1)
        except OSError as error:
            raise InputError(f"bundle {self.path}: {name} cannot be read ({error.strerror})", REMEDY) from error

    def close(self) -> None:
        """Nothing stays open; a zip file does."""


class ZipFiles:
    """The files of a zipped bundle, at the top or inside one folder, as file browsers pack them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except _ZIP_ERRORS as error:
            raise InputError(f"bundle {path} is no readable zip file ({error})", REMEDY) from error
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in self._zip.infolist():
            if not entry.is_dir():
                self._add(entry)
        self.sizes = {name: entry.file_size for name, entry in self._entries.items()}

    def _add(self, entry: zipfile.ZipInfo) -> None:
        folder, _, name = entry.filename.rpartition("/")
        if name in _LITTER or folder.startswith("__MACOSX"):
            return
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(f"bundle {self.path}: {entry.filename!r} is a link", REMEDY)
        unsafe = "/" in folder or folder in (".", "..") or entry.filename.startswith("/") or "\\" in entry.filename
        known = {other.filename.rpartition("/")[0] for other in self._entries.values()} or {folder}
        if unsafe or folder not in known or name in self._entries:
            raise InputError(f"bundle {self.path}: entry {entry.filename!r} is not allowed", REMEDY)
        self._entries[name] = entry

    def read(self, name: str, size: int) -> bytes:
        """Return at most ``size + 1`` bytes however far the entry would inflate."""
        try:
            with self._zip.open(self._entries[name]) as stream:
                return stream.read(size + 1)
        except _ZIP_ERRORS as error:
            raise InputError(f"bundle {self.path}: {name} cannot be read ({error})", REMEDY) from error

    def close(self) -> None:
        self._zip.close()


def open_files(path: Path) -> FolderFiles | ZipFiles:
    """Open a bundle and check its names and sizes.

    Raises:
        InputError: nothing is there, a file is missing, too many, a link, or larger than its limit.
    """
    if not path.exists():
        raise InputError(f"bundle {path} does not exist", "name a model folder or its zip file")
    inner = path / "bundle"
    if (inner / DOCUMENT).exists() and not (path / DOCUMENT).exists():
        raise InputError(f"{path} is no bundle but holds one", f"use {inner}")
    files = FolderFiles(path) if path.is_dir() else ZipFiles(path)
    for name in LIMITS:
        if name not in files.sizes:
            raise InputError(f"bundle {path}: no {name}", REMEDY)
    for name, size in files.sizes.items():
        if name not in LIMITS:
            raise InputError(f"bundle {path}: unexpected file {name!r}", f"a bundle holds {', '.join(LIMITS)} alone")
        if size > LIMITS[name]:
            raise InputError(f"bundle {path}: {name} has {size} bytes, allowed are {LIMITS[name]}", REMEDY)
    return files


def check_listed(files: FolderFiles | ZipFiles, listed: Iterable[str]) -> None:
    """Check that ``bundle.json`` lists every other file, and nothing else.

    Raises:
        InputError: it leaves one out, or lists one that a bundle cannot hold.
    """
    expected = set(LIMITS) - {DOCUMENT}
    for name in sorted(expected ^ set(listed)):
        problem = "does not list" if name in expected else "lists the unexpected file"
        raise InputError(f"bundle {files.path}: {DOCUMENT} {problem} {name!r}", REMEDY)


def check_size(files: FolderFiles | ZipFiles, name: str, size: int) -> None:
    """Check that a file has the ``size`` in bytes that ``bundle.json`` states."""
    if files.sizes[name] != size:
        found = f"{name} has {files.sizes[name]} bytes, {DOCUMENT} states {size}"
        raise InputError(f"bundle {files.path}: {found}", REMEDY)


def read_checked(files: FolderFiles | ZipFiles, name: str, *, size: int, sha256: str) -> bytes:
    """Return a file's bytes once its size and hash are those that ``bundle.json`` states.

    Raises:
        InputError: they are not, or the file cannot be read.
    """
    check_size(files, name, size)
    data = files.read(name, size)
    if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"bundle {files.path}: {name} does not have the sha256 {sha256[:12]}... stated", REMEDY)
    return data


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError as error:
        raise InputError(f"bundle {path} cannot be read ({error.strerror})", "check its permissions") from error

"""The files of a bundle, read from a folder or directly from a zip file, neither of which is trusted.

Nothing is extracted: names are compared with those allowed in a bundle, sizes are compared with limits before anything
is read, and no read goes beyond the announced size. Standard library only.
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
"""The files of a bundle and their maximum sizes in bytes."""

REMEDY = "download the model again, or export it again from its run"
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}  # created by file browsers, ignored
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
    """The files of a bundle folder. Raises InputError if one is not a regular file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: dict[str, int] = {}
        for entry in sorted(_entries(path), key=lambda entry: entry.name):
            if entry.name in _LITTER:
                continue
            if entry.is_symlink() or not entry.is_file(follow_symlinks=False):
                kind = "a link" if entry.is_symlink() else "not a regular file"
                raise InputError(f"bundle {path}: {entry.name!r} is {kind}", REMEDY)
            self.sizes[entry.name] = entry.stat(follow_symlinks=False).st_size

    def read(self, name: str, size: int) -> bytes:
        """Return at most ``size + 1`` bytes, so that a file that grew is detected and a huge one is not read."""
        try:
            with open(self.path / name, "rb") as stream:
                return stream.read(size + 1)
        except OSError as error:
            raise InputError(f"bundle {self.path}: {name} cannot be read ({error.strerror})", REMEDY) from error

    def close(self) -> None:
        """Do nothing: unlike a zip file, a folder is not kept open."""


class ZipFiles:
    """The files of a zipped bundle, at the top level or inside one folder, as file browsers pack them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except _ZIP_ERRORS as error:
            raise InputError(f"bundle {path} is not a readable zip file ({error})", REMEDY) from error
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
        """Return at most ``size + 1`` bytes, however large the entry would be when decompressed."""
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
        InputError: the bundle does not exist, or a file is missing, unexpected, a link or larger than its limit.
    """
    if not path.exists():
        raise InputError(f"bundle {path} does not exist", "choose a model folder or its zip file")
    inner = path / "bundle"
    if (inner / DOCUMENT).exists() and not (path / DOCUMENT).exists():
        raise InputError(f"{path} is not a bundle but contains one", f"use {inner}")
    files = FolderFiles(path) if path.is_dir() else ZipFiles(path)
    for name in LIMITS:
        if name not in files.sizes:
            raise InputError(f"bundle {path}: no {name}", REMEDY)
    for name, size in files.sizes.items():
        if name not in LIMITS:
            raise InputError(f"bundle {path}: unexpected file {name!r}", f"a bundle contains only {', '.join(LIMITS)}")
        if size > LIMITS[name]:
            raise InputError(f"bundle {path}: {name} has {size} bytes; the limit is {LIMITS[name]}", REMEDY)
    return files


def check_listed(files: FolderFiles | ZipFiles, listed: Iterable[str]) -> None:
    """Check that ``bundle.json`` lists every other file, and nothing else.

    Raises:
        InputError: a file is not listed, or a listed file is not allowed in a bundle.
    """
    expected = set(LIMITS) - {DOCUMENT}
    for name in sorted(expected ^ set(listed)):
        problem = "does not list" if name in expected else "lists the unexpected file"
        raise InputError(f"bundle {files.path}: {DOCUMENT} {problem} {name!r}", REMEDY)


def check_size(files: FolderFiles | ZipFiles, name: str, size: int) -> None:
    """Check that a file has the ``size`` in bytes that ``bundle.json`` states."""
    if files.sizes[name] != size:
        found = f"{name} has {files.sizes[name]} bytes, but {DOCUMENT} states {size}"
        raise InputError(f"bundle {files.path}: {found}", REMEDY)


def read_checked(files: FolderFiles | ZipFiles, name: str, *, size: int, sha256: str) -> bytes:
    """Return the bytes of a file after checking its size and hash against those in ``bundle.json``.

    Raises:
        InputError: they differ, or the file cannot be read.
    """
    check_size(files, name, size)
    data = files.read(name, size)
    if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"bundle {files.path}: {name} does not match its sha256 {sha256[:12]}...", REMEDY)
    return data


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError as error:
        raise InputError(f"bundle {path} cannot be read ({error.strerror})", "check its permissions") from error

"""The files of a bundle, read from a folder or directly from a zip file, neither of which is trusted.

Nothing is extracted: names are compared with those allowed in a bundle, sizes are compared with limits before anything
is read, and no read goes beyond the announced size. Standard library only.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from leuda_core.bundle.tensors import LONGEST_HEADER, tensor_shapes
from leuda_core.errors import InputError, reason_of
from leuda_core.io.names import is_litter

DOCUMENT, WEIGHTS, CARD = "bundle.json", "model.safetensors", "README.md"
LIMITS = {DOCUMENT: 2**20, WEIGHTS: 1280 * 2**20, CARD: 4 * 2**20}
"""The files of a bundle and their maximum sizes in bytes. The largest network that a bundle may describe has 1.1 GB."""

REMEDY = "download the model again, or export it again from its run"
_PACK_AGAIN = "unpack it and pack its files again, as an ordinary zip file without a password"
_LONGEST_DIRECTORY = 2**20  # bytes of the list of entries in a zip file
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # the others cannot be unpacked in limited memory
_EXPANSION, _EXPANDED = 50, 16 * 2**20  # weights shrink to 0.9 of their size; more bytes than this must not be a bomb
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    RuntimeError,
    EOFError,
    ValueError,
    OverflowError,
    OSError,
)

T = TypeVar("T")


class FolderFiles:
    """The files of a bundle folder. Raises InputError if one is not a regular file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: dict[str, int] = {}
        for entry in sorted(_entries(path), key=lambda entry: entry.name):
            if is_litter(entry.name):
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
            raise InputError(f"bundle {self.path}: {name} cannot be read ({reason_of(error)})", REMEDY) from error

    def close(self) -> None:
        """Do nothing: unlike a zip file, a folder is not kept open."""


class ZipFiles:
    """The files of a zipped bundle, at the top level or inside one folder, as file browsers pack them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, zipfile.ZipInfo] = {}
        self._folder = ""
        try:
            self._source = _Source(io.FileIO(path))
            self._bytes = os.fstat(self._source.fileno()).st_size
            self._zip = self._opened()
        except _ZIP_ERRORS as error:
            raise InputError(f"bundle {path} is not a readable zip file ({error})", REMEDY) from error
        try:
            for entry in self._zip.infolist():
                inside = entry.filename.replace("\\", "/")  # some programs on Windows write backslashes
                if not inside.endswith("/"):  # a folder; is_dir() fails for an entry without a name
                    self._add(inside, entry)
        except InputError:
            self.close()
            raise
        self.sizes = {name: entry.file_size for name, entry in self._entries.items()}

    def _opened(self) -> zipfile.ZipFile:
        try:
            archive = zipfile.ZipFile(self._source)
        except BaseException:
            self._source.close()
            raise
        self._source.most_bytes = max(LIMITS.values()) + 1
        return archive

    def _add(self, path: str, entry: zipfile.ZipInfo) -> None:
        folder, _, name = path.rpartition("/")
        if is_litter(name) or folder.partition("/")[0] == "__MACOSX":
            return
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(f"bundle {self.path}: {entry.filename!r} is a link", REMEDY)
        unsafe = "/" in folder or folder in (".", "..") or path.startswith("/")
        if unsafe or (self._entries and folder != self._folder) or name in self._entries:
            raise InputError(f"bundle {self.path}: entry {entry.filename!r} is not allowed", REMEDY)
        self._check_packing(name, entry)
        self._folder = folder
        self._entries[name] = entry

    def _check_packing(self, name: str, entry: zipfile.ZipInfo) -> None:
        if entry.flag_bits & 1:
            raise InputError(f"bundle {self.path}: {name!r} needs a password", _PACK_AGAIN)
        if entry.compress_type not in _METHODS:
            what = f"{name!r} is packed by method {entry.compress_type}, not {zipfile.ZIP_DEFLATED} (deflate)"
            raise InputError(f"bundle {self.path}: {what}", _PACK_AGAIN)
        if entry.compress_size > self._bytes:
            what = f"{name!r} has {entry.compress_size} bytes in a file of {self._bytes}"
            raise InputError(f"bundle {self.path}: {what}", REMEDY)
        if entry.file_size > max(_EXPANDED, _EXPANSION * entry.compress_size):
            what = f"{name!r} would unpack {entry.compress_size} bytes to {entry.file_size}"
            raise InputError(f"bundle {self.path}: {what}; no model shrinks that much", REMEDY)

    def read(self, name: str, size: int) -> bytes:
        """Return at most ``size + 1`` bytes, however large the entry would be when decompressed."""
        try:
            with self._zip.open(self._entries[name]) as stream:
                return stream.read(size + 1)
        except _ZIP_ERRORS as error:
            raise InputError(f"bundle {self.path}: {name} cannot be read ({error})", REMEDY) from error

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._source.close()


class _Source(io.BufferedReader):
    """A file of which no more is read at once than allowed, whatever sizes the file itself announces."""

    most_bytes = _LONGEST_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most_bytes:
            raise zipfile.BadZipFile(f"it announces a part of {size} bytes; the limit is {self.most_bytes}")
        return super().read(size)


def open_files(path: Path) -> FolderFiles | ZipFiles:
    """Open a bundle and check its names and sizes.

    Raises:
        InputError: the bundle does not exist, or a file is missing, unexpected, a link or larger than its limit.
    """
    # Unlike the methods of pathlib, these functions also answer for names that the system does not allow.
    if not os.path.exists(path):
        of_a_run = path.name == "bundle" and os.path.isfile(path.parent / "run.json")
        remedy = f"write it with `leuda resume {path.parent}`" if of_a_run else "choose a model folder or its zip file"
        raise InputError(f"bundle {path} does not exist", remedy)
    inner = path / "bundle"
    if os.path.exists(inner / DOCUMENT) and not os.path.exists(path / DOCUMENT):
        raise InputError(f"{path} is not a bundle but contains one", f"use {inner}")
    if not os.path.isdir(path) and not os.path.isfile(path):  # reading from a pipe or a device may never end
        raise InputError(f"bundle {path} is neither a folder nor a file", "choose a model folder or its zip file")
    files = FolderFiles(path) if os.path.isdir(path) else ZipFiles(path)
    try:
        _check_names(files)
    except InputError:
        files.close()
        raise
    return files


def _check_names(files: FolderFiles | ZipFiles) -> None:
    path = files.path
    for name in LIMITS:
        if name not in files.sizes:
            raise InputError(f"bundle {path}: no {name}", REMEDY)
    for name, size in files.sizes.items():
        if name not in LIMITS:
            raise InputError(f"bundle {path}: unexpected file {name!r}", f"a bundle contains only {', '.join(LIMITS)}")
        if size > LIMITS[name]:
            raise InputError(f"bundle {path}: {name} has {size} bytes; the limit is {LIMITS[name]}", REMEDY)


def read_document(files: FolderFiles | ZipFiles, parse: Callable[[bytes], T]) -> T:
    """Return ``bundle.json`` as ``parse`` returns it.

    Raises:
        InputError: ``parse`` raised a ValueError, or the file cannot be read.
    """
    try:
        return parse(files.read(DOCUMENT, files.sizes[DOCUMENT]))
    except ValueError as error:
        raise InputError(f"bundle {files.path}: {DOCUMENT}: {' '.join(str(error).split())}", REMEDY) from error


def read_others(files: FolderFiles | ZipFiles, records: Mapping[str, tuple[int, str]]) -> dict[str, bytes]:
    """Return the other files of a bundle by name, given their size and sha256 in ``bundle.json``.

    Raises:
        InputError: they are not the listed files, do not match, or the weights are no safetensors file.
    """
    check_listed(files, records)
    contents = {name: read_checked(files, name, size=size, sha256=sha) for name, (size, sha) in records.items()}
    check_tensors(files.path, contents[WEIGHTS])
    return contents


def check_tensors(path: Path, data: bytes) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights, before they are loaded.

    Raises:
        InputError: the header is damaged, or a tensor is not float32.
    """
    try:
        return tensor_shapes(data)
    except ValueError as error:
        raise InputError(f"bundle {path}: {WEIGHTS} cannot be read ({error})", REMEDY) from error


def check_weights_size(files: FolderFiles | ZipFiles, expected: int) -> None:
    """Check that the weights have the size of a network with ``expected`` bytes, before they are read.

    Raises:
        InputError: they do not.
    """
    size = files.sizes[WEIGHTS]
    if not expected <= size <= expected + LONGEST_HEADER + 8:
        what = f"{WEIGHTS} has {size} bytes; expected {expected} for the networks in {DOCUMENT}"
        raise InputError(f"bundle {files.path}: {what}", REMEDY)


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
        raise InputError(f"bundle {path} cannot be read ({reason_of(error)})", "check its permissions") from error

"""Voxels from a file, raw, deflated or as text, into an array: nothing is allocated that the file cannot fill."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Literal

import numpy as np

from leuda_core.errors import COPY_AGAIN, InputError
from leuda_core.io.formats.sources import cannot_read, damaged, open_regular, size_of

Encoding = Literal["raw", "deflate", "text"]

_CHUNK = 1 << 20
_PACKED_CHUNK = 1 << 16
_DEFLATE_RATIO = 1032  # the most that deflate can shrink anything
_SMALL_MEMBERS = 1000
_MAX_TAIL = 1 << 20


@dataclass(frozen=True)
class Storage:
    """Where the voxels of an image are: in one file, or one slice in each of ``files``; the first axis is the fastest.

    ``offset`` is the first byte of the voxels, None if they are the file's last bytes (raw only). Then ``lines`` lines
    are left out, and ``skip`` bytes after unpacking.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    files: tuple[Path, ...]
    offset: int | None = 0
    encoding: Encoding = "raw"
    lines: int = 0
    skip: int = 0

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the voxels in memory."""
        return self.count * self.dtype.itemsize


def read_voxels(storage: Storage) -> np.ndarray:
    """Return the voxels in Fortran order, in native byte order.

    Raises:
        InputError: a file is missing, cut short or damaged, holds far more than was declared, or cannot be read; or
            there is not enough memory.
    """
    try:
        _check_sizes(storage)
        data = np.empty(storage.shape, storage.dtype, order="F")
        flat = data.reshape(-1, order="F")
        per_file = storage.count // len(storage.files)
        for index, path in enumerate(storage.files):
            with open_regular(path) as stream:
                _fill(stream, path, storage, flat[index * per_file : (index + 1) * per_file])
    except OSError as error:
        raise cannot_read(storage.path, error) from error
    except MemoryError as error:
        raise _too_large(storage) from error
    if not data.dtype.isnative:
        data = data.byteswap(inplace=True).view(data.dtype.newbyteorder("="))
    return data


def _check_sizes(storage: Storage) -> None:
    if len(storage.files) not in (1, storage.shape[-1]):
        raise damaged(storage.path, f"{len(storage.files)} data files for {storage.shape[-1]} slices")
    for path in storage.files:
        with open_regular(path) as stream:
            _check_size(storage, path, size_of(stream))


def _check_size(storage: Storage, path: Path, size: int) -> None:
    """Refuse a file that is too small for its part of the voxels."""
    start = storage.offset or 0
    count = storage.count // len(storage.files)
    expected, available = count * storage.dtype.itemsize, max(0, size - start)
    if storage.encoding == "raw":
        expected += storage.lines
        available = max(0, available - storage.skip)
    elif storage.encoding == "deflate":
        expected, available = expected + storage.skip, available * _DEFLATE_RATIO
    else:
        expected = 2 * count - 1  # a digit each, and a space between
    if available < expected:
        found = f"at most {available}" if storage.encoding == "deflate" else str(available)
        raise damaged(path, f"{found} of {expected} bytes of voxels")


def _too_large(storage: Storage) -> InputError:
    gigabytes = storage.nbytes / 1e9
    what = f"'{storage.path}' takes {gigabytes:.1f} GB of memory, more than is free"
    return InputError(what, "crop or resample it, close other programs, or use a machine with more memory")


def _fill(stream: BufferedReader, path: Path, storage: Storage, part: np.ndarray) -> None:
    start = size_of(stream) - part.nbytes if storage.offset is None else storage.offset
    stream.seek(max(start, 0))
    for _ in range(storage.lines):
        if not _skip_line(stream):
            break
    buffer = part.view(np.uint8).data
    if storage.encoding == "raw":
        stream.seek(storage.skip, 1)
        _fill_raw(stream, path, buffer)
    elif storage.encoding == "deflate":
        _fill_deflated(stream, path, buffer, storage.skip)
    else:
        _fill_text(stream, path, part)


def _skip_line(stream: BufferedReader) -> bool:
    while piece := stream.readline(_CHUNK):
        if piece.endswith(b"\n"):
            return True
    return False


def _fill_raw(stream: BufferedReader, path: Path, buffer: memoryview) -> None:
    filled = 0
    while filled < len(buffer):
        count = stream.readinto(buffer[filled : filled + 16 * _CHUNK])
        if not count:
            raise damaged(path, f"{filled} of {len(buffer)} bytes of voxels")
        filled += count


def _fill_deflated(stream: BufferedReader, path: Path, buffer: memoryview, skip: int) -> None:
    filled = extra = 0
    for piece in _after(skip, inflated(stream, path)):
        taken = piece[: len(buffer) - filled]
        buffer[filled : filled + len(taken)] = taken
        filled += len(taken)
        extra += len(piece) - len(taken)
        if extra > _MAX_TAIL:
            what = f"'{path}' holds more than {_MAX_TAIL} bytes beyond the voxels that its header says"
            raise InputError(what, COPY_AGAIN)
    if filled < len(buffer):
        raise damaged(path, f"{filled} of {len(buffer)} bytes of voxels")


def _after(skip: int, pieces: Iterator[bytes]) -> Iterator[memoryview]:
    """Yield the pieces without their first ``skip`` bytes."""
    for piece in pieces:
        if skip < len(piece):
            yield memoryview(piece)[skip:]
        skip = max(0, skip - len(piece))


def inflated(stream: BufferedReader, path: Path) -> Iterator[bytes]:
    """Yield the unpacked bytes of a gzip or zlib stream in small pieces; joined gzip streams count as one.

    The checksum is verified when the last piece was taken.

    Raises:
        InputError: damaged, or it has no end.
    """
    try:
        yield from _inflated(stream, path)
    except zlib.error as error:
        raise damaged(path, f"its compressed voxels cannot be unpacked: {error}") from error


def _inflated(stream: BufferedReader, path: Path) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    packed, total, members = b"", 0, 1
    while True:
        packed = packed or stream.read(_PACKED_CHUNK)
        piece = unpacker.decompress(packed, _CHUNK)
        if piece:
            total += len(piece)
            yield piece
        elif not packed and not unpacker.eof:
            raise damaged(path, "its compressed voxels have a wrong checksum or no end")
        if not unpacker.eof:
            packed = unpacker.unconsumed_tail
            continue
        packed = (unpacker.unused_data or stream.read(_PACKED_CHUNK)).lstrip(b"\0")
        if not packed.startswith(b"\x1f\x8b"):
            return
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
        members += 1
        if members > max(_SMALL_MEMBERS, total // 1024):
            raise damaged(path, f"{members} compressed parts for {total} bytes")


def _fill_text(stream: BufferedReader, path: Path, part: np.ndarray) -> None:
    filled, rest = 0, b""
    while filled < part.size:
        chunk = stream.read(_CHUNK)
        if b"_" in chunk:  # which Python reads as part of a number
            raise damaged(path, "its text holds words that are not numbers")
        words = (rest + chunk).split()
        rest = words.pop() if chunk and words and not chunk[-1:].isspace() else b""
        if len(rest) > 100:
            raise damaged(path, "its text holds no numbers")
        taken = words[: part.size - filled]
        part[filled : filled + len(taken)] = _parsed(taken, path, part.dtype)
        filled += len(taken)
        if not chunk and filled < part.size:
            raise damaged(path, f"{filled} of {part.size} voxels")


def _parsed(words: list[bytes], path: Path, dtype: np.dtype) -> np.ndarray:
    try:
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                return np.array([float(word) for word in words], dtype)
        limits, values = np.iinfo(dtype), [int(word) for word in words]
        if all(limits.min <= value <= limits.max for value in values):
            return np.array(values, dtype)
    except ValueError as error:
        raise damaged(path, f"its text holds words that are not {dtype}") from error
    raise damaged(path, f"its text holds numbers that are not {dtype}")

"""The header of MetaImage files (.mha): lines of ``key = value``, the last one says where the voxels are.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation. Positions are LPS. Where names compete, the order is that of ITK.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from leuda_core.errors import InputError
from leuda_core.io.formats import headers, sources
from leuda_core.io.formats.headers import Header
from leuda_core.io.formats.sources import shown, unreadable
from leuda_core.io.formats.voxels import Encoding, Storage

Fields = Mapping[str, str]

_TYPES = {
    **{"CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4"},
    **{"LONG": "i4", "ULONG": "u4", "LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8"},
}
_ORIGINS = ("Origin", "Offset", "Position")
_DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")
_SPACINGS = ("ElementSpacing", "ElementSize")
_BIG_ENDIAN = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
_USED = {
    *("NDims", "DimSize", "ElementType", "ElementNumberOfChannels", "HeaderSize", "ElementDataFile", "BinaryData"),
    *("CompressedData", "DistanceUnits", *_ORIGINS, *_DIRECTIONS, *_SPACINGS, *_BIG_ENDIAN),
}


def read_metaimage_header(path: Path) -> Header:
    """Return what the header of a file says.

    Raises:
        InputError: not MetaImage, a wrong or missing field, or voxels in a form that is not supported.
    """
    with sources.open_regular(path) as stream:
        lines = headers.read_lines(stream, path, lambda line: _split(line)[0] == "ElementDataFile")
        fields = _fields(lines, path)
        listed: list[str] = []
        if fields["ElementDataFile"].split()[:1] == ["LIST"]:
            listed = [line for line in headers.read_lines(stream, path, lambda line: False) if line.strip()]
        return _header(path, fields, listed, stream.tell())


def _split(line: str) -> tuple[str, str]:
    name, *value = re.split("[=:]", line, maxsplit=1)
    return name.strip(), "".join(value).strip()


def _fields(lines: Sequence[str], path: Path) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        name, value = _split(line)
        if name in fields and name in _USED:
            raise unreadable(path, f"the field '{name}' is given twice")
        fields[name] = headers.check_length(path, name, value) if name in _USED else value
    if not fields.get("ElementDataFile") or "NDims" not in fields:
        raise unreadable(path, "its header has no fields NDims and ElementDataFile")
    return fields


def _header(path: Path, fields: Fields, listed: list[str], end: int) -> Header:
    """Return the header of a file whose fields end at the byte ``end``."""
    count = headers.whole(path, "NDims", fields["NDims"])
    if not 1 <= count <= headers.MAX_AXES:
        raise unreadable(path, f"the field 'NDims' is {count}, not 1 to {headers.MAX_AXES}")
    headers.check_unit(path, [fields.get("DistanceUnits", "mm")])
    sizes = headers.sizes(path, "DimSize", fields.get("DimSize", ""), count)
    channels = headers.whole(path, "ElementNumberOfChannels", fields.get("ElementNumberOfChannels", "1"))
    if channels < 1:
        raise unreadable(path, f"the field 'ElementNumberOfChannels' is {channels}")
    pairs = {name: value for name, value in fields.items() if name not in _USED}
    storage = _storage(path, fields, (channels, *sizes) if channels > 1 else sizes, listed, end)
    return Header(path, sizes, _affine(path, fields, count), storage, channels, pairs=pairs)


def _affine(path: Path, fields: Fields, count: int) -> np.ndarray:
    origin, directions = np.zeros(count), np.eye(count)
    if name := _first(fields, _ORIGINS):
        origin = np.array(headers.numbers(path, name, fields[name], count))
    if name := _first(fields, _DIRECTIONS):
        directions = np.reshape(headers.numbers(path, name, fields[name], count * count), (count, count))
    spacings = np.ones(count)
    if name := _first(fields, _SPACINGS):
        spacings = np.array(headers.numbers(path, name, fields[name], count))
    return headers.affine_of(path, directions.T * spacings, origin)


def _first(fields: Fields, names: Sequence[str]) -> str:
    return next((name for name in names if name in fields), "")


def _storage(path: Path, fields: Fields, shape: tuple[int, ...], listed: list[str], end: int) -> Storage:
    files = _data_files(path, fields["ElementDataFile"], listed)
    encoding: Encoding = "deflate" if _is_true(fields.get("CompressedData", "")) else "raw"
    if not _is_true(fields.get("BinaryData", "True")):
        encoding = "text"
    size = headers.whole(path, "HeaderSize", fields.get("HeaderSize", "0"))
    offset: int | None = size
    if size == -1 and encoding == "raw":
        offset = None
    elif size < 0 or (size and not files and size < end):
        raise unreadable(path, f"the field 'HeaderSize' is {size}")
    elif not size and not files:
        offset = end
    return Storage(path, shape, _dtype(path, fields), files or (path,), offset, encoding)


def _is_true(value: str) -> bool:
    return value[:1] in ("T", "t", "1")


def _dtype(path: Path, fields: Fields) -> np.dtype:
    given = fields.get("ElementType", "")
    name = _TYPES.get(given.removeprefix("MET_"))
    if name is None:
        raise InputError(f"'{path}' has voxels of type {shown(given)}", "give a volume of real numbers")
    big = _first(fields, _BIG_ENDIAN)
    return np.dtype(name).newbyteorder(">" if big and _is_true(fields[big]) else "<")


def _data_files(path: Path, value: str, listed: list[str]) -> tuple[Path, ...]:
    """Return the files of the voxels; none if the voxels follow the header."""
    words = value.split()
    if value.lower() == "local":
        return ()
    if words[0] == "LIST":
        return tuple(sources.listed(path, [line.strip() for line in listed]))
    if "%" in value and len(words) >= 4:
        return tuple(sources.numbered(path, words))
    return (sources.beside(path, value),)

"""The header of NRRD files (.nrrd, .seg.nrrd), parsed with pynrrd and then checked.

Format: http://teem.sourceforge.net/nrrd/format.html. Where it leaves a choice, this module chooses like ITK, and
therefore like Slicer: a space other than RAS and LAS counts as LPS, and an axis without direction has a step of 1 mm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leuda_core.errors import InputError
from leuda_core.io.formats import headers, sources
from leuda_core.io.formats.headers import Header
from leuda_core.io.formats.nrrd_grid import grid_affine
from leuda_core.io.formats.sources import shown, unreadable
from leuda_core.io.formats.voxels import Encoding, Storage

Fields = Mapping[str, Any]

_MAGIC = re.compile(r"NRRD(000[1-5]|00\.01)")
_USED = {
    *("type", "dimension", "sizes", "encoding", "endian", "kinds", "centerings", "spacings", "axis mins", "units"),
    *("space", "space dimension", "space directions", "space origin", "space units"),
    *("line skip", "byte skip", "data file"),
}
_NUMERIC = {
    *("dimension", "spacings", "axis mins", "space dimension", "space directions", "space origin"),
    *("line skip", "byte skip"),
}
_UNUSED = {
    *("content", "number", "block size", "thicknesses", "axis maxs", "labels", "min", "max", "old min", "old max"),
    *("sample units", "measurement frame"),
}
_OTHER_NAMES = {
    **{"lineskip": "line skip", "byteskip": "byte skip", "datafile": "data file"},
    **{"axismins": "axis mins", "axismaxs": "axis maxs", "centers": "centerings", "oldmin": "old min"},
    **{"oldmax": "old max", "blocksize": "block size", "sampleunits": "sample units"},
}
_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), "i8"),
    **dict.fromkeys(("int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_ENCODINGS: dict[str, Encoding] = {"raw": "raw", "gzip": "deflate", "gz": "deflate"}
_ENCODINGS |= dict.fromkeys(("ascii", "text", "txt"), "text")
_DOMAIN_KINDS = {"domain", "space", "time", "none", "???"}


def read_nrrd_header(path: Path) -> Header:
    """Return what the header of a file says.

    Raises:
        InputError: not NRRD, a wrong or missing field, or voxels in a form that is not supported.
    """
    with sources.open_regular(path) as stream:
        lines = headers.read_lines(stream, path, lambda line: not line or _is_list(line))
        if not lines or not _MAGIC.fullmatch(lines[0].rstrip()):
            raise unreadable(path, "it does not begin as NRRD")
        texts, pairs = _texts(lines[1:], path)
        end = stream.tell()
        listed = headers.read_lines(stream, path, lambda line: False) if _is_list(lines[-1]) else []
        return _header(path, _parsed(texts, path), pairs, _data_files(path, texts, listed), end)


def _is_list(line: str) -> bool:
    return re.match(r"data ?file: *LIST\b", line, re.IGNORECASE) is not None


def _texts(lines: Sequence[str], path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the values of the fields that are used, as text, and the key/value pairs."""
    texts: dict[str, str] = {}
    pairs: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if not line or line.startswith("#"):
            continue
        if value.startswith("="):
            pairs[_unescaped(name)] = _unescaped(value[1:])
            continue
        name = _OTHER_NAMES.get(name.strip().lower(), name.strip().lower())
        if name not in _USED | _UNUSED or name in texts:
            why = "given twice" if name in texts else "no field of NRRD"
            raise unreadable(path, f"the line {shown(line)} is {why}")
        texts[name] = value.strip()
    return {name: headers.check_length(path, name, texts[name]) for name in _USED & texts.keys()}, pairs


def _parsed(texts: dict[str, str], path: Path) -> Fields:
    """Return the values of the fields as pynrrd parses them, but for the sizes."""
    import nrrd

    sizes = texts.pop("sizes", "")  # pynrrd would read 2.7 as 2
    if unclear := [name for name in _NUMERIC & texts.keys() if not headers.is_plain(texts[name])]:
        raise unreadable(path, f"the field {unclear[0]!r} is {shown(texts[unclear[0]])}, not plain numbers")
    lines = ["NRRD0005", *(f"{name}: {_joined(value)}" for name, value in texts.items())]
    try:
        with np.errstate(all="ignore"):  # numbers that overflow are refused later
            return {**nrrd.read_header(lines), "sizes": sizes}
    except Exception as error:  # pynrrd raises many types of errors for wrong fields
        raise unreadable(path, f"a field of its header is wrong: {shown(error)}") from error


def _joined(value: str) -> str:
    """Return a value without the spaces around the numbers in its parentheses, which pynrrd does not expect.

    A space within a number stays, and is refused: ``2 0`` is not 20.
    """
    return re.sub(r"\(([^()]*)\)", lambda vector: f"({','.join(map(str.strip, vector[1].split(',')))})", value)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([n\\])", lambda mark: "\n" if mark[1] == "n" else "\\", text)


def _header(path: Path, fields: Fields, pairs: Mapping[str, str], files: tuple[Path, ...], end: int) -> Header:
    """Return the header of a file whose fields were parsed and end at the byte ``end``."""
    count = _whole(path, fields, "dimension")
    if not 1 <= count <= headers.MAX_AXES:
        raise unreadable(path, f"the field 'dimension' is {count}, not 1 to {headers.MAX_AXES}")
    sizes = headers.sizes(path, "sizes", fields["sizes"], count)
    kinds = [kind.lower() for kind in fields.get("kinds", ["none"] * count)]
    if len(kinds) != count:
        raise unreadable(path, f"the field 'kinds' has {len(kinds)} words for {count} axes")
    domain = [axis for axis in range(count) if kinds[axis] in _DOMAIN_KINDS]
    ranges = [axis for axis in range(count) if axis not in domain]
    if len(ranges) > 1 or not domain:
        raise InputError(f"'{path}' has {len(ranges)} axes that are not of space", "give one volume per file")
    return Header(
        path,
        tuple(sizes[axis] for axis in domain),
        grid_affine(path, fields, domain, count),
        _storage(path, fields, sizes, files, end),
        sizes[ranges[0]] if ranges else 1,
        kinds[ranges[0]] if ranges else "",
        pairs,
    )


def _whole(path: Path, fields: Fields, name: str, default: int | None = None) -> int:
    value = fields.get(name, default)
    if value is None:
        raise unreadable(path, f"the field '{name}' is missing")
    return headers.whole(path, name, str(value))


def _storage(path: Path, fields: Fields, sizes: tuple[int, ...], files: tuple[Path, ...], end: int) -> Storage:
    encoding = _ENCODINGS.get(fields.get("encoding", "").lower())
    if encoding is None:
        what = f"'{path}' has voxels in the encoding {shown(fields.get('encoding', ''))}"
        raise InputError(what, "save it with the encoding gzip or raw")
    lines, skip = _whole(path, fields, "line skip", 0), _whole(path, fields, "byte skip", 0)
    offset: int | None = 0 if files else end
    if skip == -1 and encoding == "raw":
        offset, lines, skip = None, 0, 0
    if lines < 0 or skip < 0 or (skip and encoding == "text"):
        raise InputError(f"'{path}' leaves out {lines} lines and {skip} bytes before its voxels", sources.EXPORT_AGAIN)
    dtype = _dtype(path, fields, encoding)
    return Storage(path, sizes, dtype, files or (path,), offset, encoding, lines, skip)


def _dtype(path: Path, fields: Fields, encoding: Encoding) -> np.dtype:
    name = _TYPES.get(fields.get("type", "").lower())
    if name is None:
        what = f"'{path}' has voxels of type {shown(fields.get('type', ''))}"
        raise InputError(what, "give a volume of real numbers")
    if name.endswith("1") or encoding == "text":
        return np.dtype(name)
    order = {"little": "<", "big": ">"}.get(fields.get("endian", "").lower())
    if order is None:
        raise unreadable(path, f"the field 'endian' is {shown(fields.get('endian', ''))}, not little or big")
    return np.dtype(order + name)


def _data_files(path: Path, texts: Mapping[str, str], listed: list[str]) -> tuple[Path, ...]:
    """Return the files of the voxels; none if the voxels follow the header."""
    name = texts.get("data file")
    if name is None:
        return ()
    if _is_list(f"data file: {name}"):
        return tuple(sources.listed(path, [line for line in listed if line.strip()]))
    words = name.split()
    if "%" in name and len(words) >= 4:
        return tuple(sources.numbered(path, words))
    return (sources.beside(path, name),)

"""Writes NRRD and MetaImage files, with a decimal point whatever the system's language is.

ITK's own writer of NRRD follows the language, and neither of its writers reports a full disk.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from leuda_core.errors import InputError
from leuda_core.io.formats.headers import LPS_TO_RAS

_LEVEL = 2  # level 6 is four times slower for half the size, and label maps are already small
_SIZE_DIGITS = 15
_GZIP = zlib.MAX_WBITS | 16
_TYPES = {  # the names of NRRD and MetaImage
    "int8": ("signed char", "MET_CHAR"),
    "uint8": ("unsigned char", "MET_UCHAR"),
    "int16": ("short", "MET_SHORT"),
    "uint16": ("unsigned short", "MET_USHORT"),
    "int32": ("int", "MET_INT"),
    "uint32": ("unsigned int", "MET_UINT"),
    "int64": ("long long", "MET_LONG_LONG"),
    "uint64": ("unsigned long long", "MET_ULONG_LONG"),
    "float32": ("float", "MET_FLOAT"),
    "float64": ("double", "MET_DOUBLE"),
}


def write_nrrd(data: np.ndarray, affine: np.ndarray, path: Path, pairs: Mapping[str, str]) -> None:
    """Write 3-D voxels, affine (RAS mm; sheared ones too, exactly) and key/value pairs.

    Raises:
        InputError: a type of voxel that NRRD does not have. OSError: as the operating system reports it.
    """
    matrix = LPS_TO_RAS @ affine
    lines = [
        "NRRD0004",
        f"type: {_type(data, path)[0]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, data.shape))}",
        f"space directions: {' '.join(_vector(matrix[:3, axis]) for axis in range(3))}",
        "kinds: domain domain domain",
        f"endian: {'big' if _is_big(data) else 'little'}",
        "encoding: gzip",
        f"space origin: {_vector(matrix[:3, 3])}",
        *(f"{_escaped(key)}:={_escaped(value)}" for key, value in pairs.items()),
    ]
    with open(path, "wb") as stream:
        stream.write(("\n".join(lines) + "\n\n").encode("utf-8", "surrogateescape"))
        _write_voxels(data, stream, _GZIP)


def write_metaimage(data: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write 3-D voxels and affine (RAS mm; sheared ones too, exactly).

    Raises:
        InputError: a type of voxel that MetaImage does not have. OSError: as the operating system reports it.
    """
    matrix = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        f"BinaryDataByteOrderMSB = {_is_big(data)}",
        "CompressedData = True",
        f"CompressedDataSize = {_SIZE_DIGITS * '0'}",
        f"TransformMatrix = {_numbers((matrix[:3, :3] / spacing).T)}",
        f"Offset = {_numbers(matrix[:3, 3])}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {_numbers(spacing)}",
        f"DimSize = {' '.join(map(str, data.shape))}",
        f"ElementType = {_type(data, path)[1]}",
        "ElementDataFile = LOCAL",
    ]
    header = ("\n".join(lines) + "\n").encode("ascii")
    with open(path, "wb") as stream:
        stream.write(header)
        _write_voxels(data, stream, zlib.MAX_WBITS)
        size = stream.tell() - len(header)
        stream.seek(header.index(_SIZE_DIGITS * b"0"))
        stream.write(f"{size:0{_SIZE_DIGITS}d}".encode("ascii"))  # known only now


def _type(data: np.ndarray, path: Path) -> tuple[str, str]:
    if data.dtype.name not in _TYPES:
        raise InputError(f"cannot write '{path}': voxels of type {data.dtype}", "give a volume of real numbers")
    return _TYPES[data.dtype.name]


def _is_big(data: np.ndarray) -> bool:
    return (sys.byteorder == "big") == data.dtype.isnative


def _write_voxels(data: np.ndarray, stream: BinaryIO, window: int) -> None:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, window)
    for index in range(data.shape[2]):
        stream.write(packer.compress(data[:, :, index].tobytes(order="F")))
    stream.write(packer.flush())


def _numbers(values: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in values.ravel())


def _vector(values: np.ndarray) -> str:
    return f"({','.join(repr(float(value)) for value in values)})"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")

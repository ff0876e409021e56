"""NRRD files written piece by piece, so that a large volume never freezes the window.

The header holds the affine to the last digit, sheared ones too; the voxels are Slicer's own, in their order. The core
reads these files through ITK.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from slicer.i18n import tr as _

from leuda_core.errors import InputError
from leuda_core.io.files import atomic_path

CHUNK_BYTES = 4 << 20
_PACKED_BYTES = 1 << 20  # packing takes longer than writing
_TYPES = {
    "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32",
    "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double",
}  # fmt: skip
_GZIP = zlib.MAX_WBITS | 16
_FAST = 1


def write_nrrd(path: Path, voxels: np.ndarray, affine: np.ndarray, *, compress: bool) -> Iterator[int]:
    """Write a volume atomically, yielding the bytes of voxels done after every piece.

    Args:
        voxels: shape (K, J, I), C order, as Slicer keeps them.
        affine: voxel index (i, j, k) to RAS mm, ``(4, 4)``.
        compress: gzip; for label maps, which shrink to nothing. Images are written as they are: quicker to read.

    Raises:
        InputError: voxels of a kind that NRRD has not, or a place that cannot be written. LeudaError: the disk is full.
    """
    header = _header(path, voxels, affine, compress).encode("ascii")
    flat = np.ascontiguousarray(voxels).reshape(-1).view(np.uint8)
    packer = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP) if compress else None
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        stream.write(header)
        step, settled = _PACKED_BYTES if packer else CHUNK_BYTES, 0
        for start in range(0, flat.size, step):
            piece = flat[start : start + step].data
            stream.write(packer.compress(piece) if packer else piece)
            if stream.tell() - settled >= CHUNK_BYTES:
                _settle(stream)
                settled = stream.tell()
            yield min(start + step, flat.size)
        if packer:
            stream.write(packer.flush())


def _settle(stream: BinaryIO) -> None:
    """Put a piece on the disk now: all of a volume at once, at the end, would take seconds in which nothing moves."""
    stream.flush()
    os.fsync(stream.fileno())


def _header(path: Path, voxels: np.ndarray, affine: np.ndarray, compress: bool) -> str:
    if voxels.dtype.name not in _TYPES:
        raise InputError(
            _("{file}: voxels of type {type} cannot be written").format(file=path.name, type=voxels.dtype.name),
            _("convert the volume with the module Cast Scalar Volume"),
        )
    lines = [
        "NRRD0004",
        f"type: {_TYPES[voxels.dtype.name]}",
        "dimension: 3",
        "space: right-anterior-superior",
        f"sizes: {' '.join(str(n) for n in reversed(voxels.shape))}",
        f"space directions: {' '.join(_vector(affine[:3, axis]) for axis in range(3))}",
        "kinds: domain domain domain",
        f"endian: {sys.byteorder}",
        f"encoding: {'gzip' if compress else 'raw'}",
        f"space origin: {_vector(affine[:3, 3])}",
    ]
    return "\n".join(lines) + "\n\n"


def _vector(values: np.ndarray) -> str:
    return f"({','.join(repr(float(value)) for value in values)})"

"""Writes NRRD files piece by piece, so that a large volume does not block the window.

The header contains the affine with all digits, also a sheared one. The voxels are written in Slicer's order. The core
reads these files with ITK.
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
_PACKED_BYTES = 1 << 20  # compressing takes longer than writing
_TYPES = {
    "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32",
    "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double",
}  # fmt: skip
_GZIP = zlib.MAX_WBITS | 16
_FAST = 1


def write_nrrd(path: Path, voxels: np.ndarray, affine: np.ndarray, *, compress: bool) -> Iterator[int]:
    """Write a volume atomically to a private file; yield the number of written bytes of voxels after every piece.

    Args:
        voxels: shape (K, J, I), C order, as in Slicer.
        affine: voxel index (i, j, k) to RAS mm, ``(4, 4)``.
        compress: with gzip; for label maps, which become much smaller. Uncompressed images are faster to read.

    Raises:
        InputError: NRRD does not support the type of the voxels, or the file cannot be written.
        LeudaError: the disk is full.
    """
    header = _header(path, voxels, affine, compress).encode("ascii")
    flat = np.ascontiguousarray(voxels).reshape(-1).view(np.uint8)
    packer = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP) if compress else None
    with atomic_path(path, private=True) as temporary, open(temporary, "wb") as stream:
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
    """Flush a piece to the disk: flushing a whole volume at the end would block for seconds."""
    stream.flush()
    os.fsync(stream.fileno())


def _header(path: Path, voxels: np.ndarray, affine: np.ndarray, compress: bool) -> str:
    if voxels.dtype.name not in _TYPES:
        raise InputError(
            _("{file}: voxels of type {type} are not supported").format(file=path.name, type=voxels.dtype.name),
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

"""The first bytes of a NIfTI file, checked before nibabel interprets them. Its extensions are not read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leuda_core.errors import COPY_AGAIN, InputError
from leuda_core.io.formats.sources import EXPORT_AGAIN, cannot_read, open_regular
from leuda_core.io.formats.voxels import Storage, inflated

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

_MAGIC = {348: b"n+1\0", 540: b"n+2\0"}
_REAL = "give a volume of real numbers"
_MAX_OFFSET = 1 << 28  # room for any extension; more is damage, and would have to be unpacked
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}


def read_nifti_header(path: Path) -> Nifti1Header:
    """Return the header of a NIfTI-1 or NIfTI-2 file that has passed all checks.

    Raises:
        InputError: not a NIfTI file, or a field has an impossible value.
    """
    import nibabel

    block = _block(path)
    form = nibabel.Nifti1Header if len(block) == 348 else nibabel.Nifti2Header
    try:
        with _silent_nibabel(), np.errstate(all="ignore"):
            _check(form(block, check=False), path)
            return form(block)
    except InputError:
        raise
    except Exception as error:  # nibabel raises many types of errors for invalid files
        raise _not_nifti(path) from error


@contextmanager
def _silent_nibabel() -> Iterator[None]:
    """Hide what nibabel repairs in a header: it would log it, and the root logger would print it."""
    from nibabel.imageglobals import logger

    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _block(path: Path) -> bytes:
    """Return the header's bytes: 348 of NIfTI-1 or 540 of NIfTI-2."""
    try:
        block = _first_bytes(path, 540)
    except OSError as error:
        raise cannot_read(path, error) from error
    size = _declared_size(block)
    if size not in _MAGIC or len(block) < size:
        raise _not_nifti(path)
    magic = block[344:348] if size == 348 else block[4:8]
    if magic != _MAGIC[size]:
        kind = "half of a pair of files (.hdr and .img)" if magic[:2] == b"ni" else "Analyze"
        raise InputError(f"'{path}' is {kind}, not NIfTI", "export the volume as .nii.gz")
    return block[:size]


def _first_bytes(path: Path, count: int) -> bytes:
    with open_regular(path) as stream:
        if not is_packed(path):
            return stream.read(count)
        found = b""
        try:
            for piece in inflated(stream, path):
                found += piece[:count]
                if len(found) >= count:
                    break
        except InputError as error:
            raise _not_nifti(path) from error
        return found[:count]


def is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _declared_size(block: bytes) -> int:
    """Return the header's own size in the byte order in which it is that of a NIfTI header."""
    found = [int.from_bytes(block[:4], order) for order in ("little", "big")]
    return next((size for size in found if size in _MAGIC), 0)


def _not_nifti(path: Path) -> InputError:
    return InputError(f"'{path}' is not a readable NIfTI file", _remedy(path))


def _remedy(path: Path) -> str:
    with open_regular(path) as stream:
        gzipped = stream.read(2) == b"\x1f\x8b"
    if gzipped and path.suffix.lower() == ".nii":
        return "it is compressed: rename it to .nii.gz"
    if not gzipped and path.suffix.lower() == ".gz":
        return "it is not compressed: if it is NIfTI, rename it to .nii"
    return "export or download the volume again"


def _check(header: Nifti1Header, path: Path) -> None:
    count = int(header["dim"][0])
    sizes = [int(size) for size in header["dim"][1 : 1 + max(count, 0)]]
    if not 1 <= count <= 7 or min(sizes) < 1:
        raise InputError(f"'{path}' has impossible sizes: {count} axes of {sizes}", COPY_AGAIN)
    offset = float(header["vox_offset"])
    if not (math.isfinite(offset) and len(header.binaryblock) <= offset <= _MAX_OFFSET):
        raise InputError(f"'{path}' says that its voxels begin at byte {offset:g}", COPY_AGAIN)
    unit = int(header["xyzt_units"]) & 7
    if unit not in _MM_PER_UNIT:
        raise InputError(f"'{path}' has an unknown unit of length ({unit})", f"{EXPORT_AGAIN}, in mm")
    _check_type(header, path)


def _check_type(header: Nifti1Header, path: Path) -> None:
    code = int(header["datatype"])
    try:
        dtype = header.get_data_dtype()
    except Exception as error:
        raise InputError(f"'{path}' has voxels of an unknown type ({code})", _REAL) from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InputError(f"'{path}' has voxels of type {dtype} ({code})", _REAL)


def mm_per_unit(header: Nifti1Header) -> float:
    """Return the length in mm of the unit of a checked header; an unknown unit counts as mm."""
    return _MM_PER_UNIT[int(header["xyzt_units"]) & 7]


def storage_of(header: Nifti1Header, path: Path) -> Storage:
    """Return where the voxels of a checked header are."""
    shape = tuple(int(size) for size in header.get_data_shape())
    offset, dtype = int(header["vox_offset"]), header.get_data_dtype()
    if is_packed(path):
        return Storage(path, shape, dtype, (path,), encoding="deflate", skip=offset)
    return Storage(path, shape, dtype, (path,), offset)

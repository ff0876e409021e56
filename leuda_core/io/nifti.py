"""NIfTI-1 and NIfTI-2, read and written with nibabel.

ITK's own reader is not used because of its behaviour (found with ITK 5.4): a truncated file reads as zeros without an
error; ``a.nii.gz`` reads as ``a.nii`` if both exist; an sform with shear is rejected, or silently replaced by the qform
if there is one; voxel sizes come from ``pixdim`` even if the sform differs; and a full disk is not detected when
writing.

If the qform and sform of a file differ but are both valid, this module chooses like ITK, and therefore like Slicer: the
sform if it is marked as scanner coordinates, else the qform. Segmentations made here then match the image in Slicer.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leuda_core.errors import InputError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

logger = logging.getLogger(__name__)

GZIP_LEVEL = 1
SHEAR_TOLERANCE = 1e-4  # largest cosine between two axes that still counts as perpendicular, as in ITK
_SCANNER = 1
_CHUNK = 1 << 20  # gzip buffers as much as is requested at once
_MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}


def is_sheared(affine: np.ndarray) -> bool:
    """Return whether the voxel axes of an affine are not perpendicular."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > SHEAR_TOLERANCE)


def read_header(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Return the stored shape (any number of axes) and the affine (RAS mm) of a file.

    Raises:
        InputError: not a NIfTI file.
    """
    image = _load(path)
    return image.shape, _affine(image.header, path)


def read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return voxels (Fortran order, native dtype; float32 or float64 if scaled) and affine (RAS mm).

    Raises:
        InputError: not a NIfTI file, truncated or damaged.
    """
    image = _load(path)
    affine = _affine(image.header, path)
    proxy = image.dataobj
    data = np.empty(proxy.shape, proxy.dtype, order="F")
    try:
        with _opened(path) as stream:
            _read_into(stream, proxy.offset, data, path)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from error
    if not data.dtype.isnative:
        data = data.byteswap(inplace=True).view(data.dtype.newbyteorder("="))
    return _scaled(data, proxy.slope, proxy.inter), affine


def _opened(path: Path) -> BufferedIOBase:
    return gzip.open(path) if path.name.lower().endswith(".gz") else open(path, "rb")


def _load(path: Path) -> Any:
    import nibabel
    from nibabel.imageglobals import LoggingOutputSuppressor

    try:
        with LoggingOutputSuppressor():  # nibabel prints warnings; the error below is enough
            image = nibabel.load(path)
    except Exception as error:  # nibabel raises many types of errors for invalid files
        raise InputError(f"'{path}' is not a readable NIfTI file", _remedy(path)) from error
    if not isinstance(image, nibabel.Nifti1Image):
        raise InputError(f"'{path}' is {type(image).__name__}, not NIfTI", "export the volume as .nii.gz")
    return image


def _remedy(path: Path) -> str:
    with open(path, "rb") as stream:
        gzipped = stream.read(2) == b"\x1f\x8b"
    if gzipped and path.suffix.lower() == ".nii":
        return "it is compressed: rename it to .nii.gz"
    if not gzipped and path.suffix.lower() == ".gz":
        return "it is not compressed: if it is NIfTI, rename it to .nii"
    return "export or download the volume again"


def _read_into(stream: BufferedIOBase, offset: int, data: np.ndarray, path: Path) -> None:
    stream.seek(offset)
    buffer = data.reshape(-1, order="F").view(np.uint8).data
    filled = 0
    while filled < len(buffer):
        count = stream.readinto(buffer[filled : filled + _CHUNK])
        if not count:
            raise _damaged(path, f"{filled} of {len(buffer)} bytes of voxels")
        filled += count
    while stream.read(_CHUNK):  # gzip checks its checksum only at the end
        pass


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"'{path}' is truncated or damaged ({why})", "copy, download or export it again")


def _scaled(data: np.ndarray, slope: float, inter: float) -> np.ndarray:
    if (slope, inter) == (1, 0) or data.dtype.kind not in "iuf":
        return data
    exact = np.float32 if data.dtype.itemsize <= 2 or data.dtype == np.float32 else np.float64
    scaled = data.astype(exact, copy=False)
    scaled *= exact(slope)
    scaled += exact(inter)
    return scaled


def _affine(header: Nifti1Header, path: Path) -> np.ndarray:
    try:
        affine, note = _choose_affine(header)
    except Exception as error:
        raise InputError(f"'{path}' has a broken orientation ({error})", "export the volume again") from error
    if note:
        logger.warning("'%s': %s", path, note)
    affine = np.array(affine, dtype=np.float64)
    affine[:3] *= _MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0)
    if header["dim"][0] == 2 and not affine[:3, 2].any():
        affine[:3, 2] = np.cross(affine[:3, 0], affine[:3, 1]) / np.linalg.norm(affine[:3, 0])  # a 2-D picture
    return affine


def _choose_affine(header: Nifti1Header) -> tuple[np.ndarray, str]:
    """Return the affine to use, and a note if the user should know the reason."""
    qform, _ = header.get_qform(coded=True)
    sform, code = header.get_sform(coded=True)
    if sform is not None and qform is not None and not _is_sound(sform):
        return qform, "the sform is singular; the qform is used"
    if sform is None and qform is None:
        spacing = np.abs(header["pixdim"][1:4]).astype(float)
        return np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]), "no orientation is stored; LPS axes are assumed"
    if sform is None:
        return qform, ""
    if _is_sound(sform) and is_sheared(sform):
        return sform, "the voxel axes are not perpendicular (sheared sform); the exact affine is kept"
    if qform is not None and not np.allclose(sform, qform, atol=1e-3, rtol=1e-4):
        if code != _SCANNER:
            return (
                qform,
                f"qform and sform disagree; the qform is used, as the sform (code {code}) is not the scanner frame",
            )
        return sform, "qform and sform disagree; the sform is used"
    spacing = np.linalg.norm(sform[:3, :3], axis=0)
    if not np.allclose(spacing, np.abs(header["pixdim"][1:4]), rtol=1e-3):
        return sform, f"voxel sizes {header['pixdim'][1:4].tolist()} contradict the sform; the sform is used"
    return sform, ""


def _is_sound(affine: np.ndarray) -> bool:
    return bool(np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 0)


def write_nifti(data: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write voxels and affine; the extension sets the compression (fast level).

    A sheared affine is stored as sform only: readers without shear then reject the file instead of misplacing it.

    Raises:
        OSError: as the operating system reports it, for example for a full disk.
    """
    import nibabel

    image = nibabel.Nifti1Image(data, affine, dtype=data.dtype)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, _SCANNER)
    image.set_qform(None if is_sheared(affine) else affine, 0 if is_sheared(affine) else _SCANNER)
    with open(path, "wb") as stream:
        if not path.name.lower().endswith(".gz"):
            return image.to_stream(stream)
        # no time or name inside: the same label map gives the same bytes
        with gzip.GzipFile("", "wb", GZIP_LEVEL, stream, mtime=0) as packed:
            image.to_stream(packed)

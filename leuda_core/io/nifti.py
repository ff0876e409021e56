"""NIfTI-1 and NIfTI-2: headers interpreted, and files written, with nibabel; voxels read with NumPy.

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
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leuda_core.errors import InputError
from leuda_core.io.formats.nifti_header import mm_per_unit, read_nifti_header, storage_of
from leuda_core.io.formats.sources import EXPORT_AGAIN
from leuda_core.io.formats.voxels import read_voxels

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

logger = logging.getLogger(__name__)

GZIP_LEVEL = 1
SHEAR_TOLERANCE = 1e-4  # largest cosine between two axes that still counts as perpendicular, as in ITK
_SCANNER = 1


def is_sheared(affine: np.ndarray) -> bool:
    """Return whether the voxel axes of an affine are not perpendicular."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > SHEAR_TOLERANCE)


def read_header(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Return the stored shape (any number of axes) and the affine (RAS mm) of a file.

    Raises:
        InputError: not a NIfTI file.
    """
    header = read_nifti_header(path)
    return storage_of(header, path).shape, _affine(header, path)


def read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return voxels (Fortran order, native dtype; float32 or float64 if scaled) and affine (RAS mm).

    Raises:
        InputError: not a NIfTI file, truncated or damaged.
    """
    header = read_nifti_header(path)
    affine = _affine(header, path)
    slope, inter = _scaling(header, path)
    return _scaled(read_voxels(storage_of(header, path)), slope, inter), affine


def _scaling(header: Nifti1Header, path: Path) -> tuple[float, float]:
    """Return slope and intercept; 1 and 0 if the header has none."""
    try:
        slope, inter = header.get_slope_inter()
    except Exception as error:
        raise InputError(f"'{path}' has a broken scaling of its values ({error})", EXPORT_AGAIN) from error
    return 1.0 if slope is None else slope, 0.0 if inter is None else inter


def _scaled(data: np.ndarray, slope: float, inter: float) -> np.ndarray:
    if (slope, inter) == (1, 0) or data.dtype.kind not in "iuf":
        return data
    exact = np.float32 if data.dtype.itemsize <= 2 or data.dtype == np.float32 else np.float64
    scaled = data.astype(exact, copy=False)
    with np.errstate(all="ignore"):  # what overflows is infinite, and refused as such
        scaled *= exact(slope)
        scaled += exact(inter)
    return scaled


def _affine(header: Nifti1Header, path: Path) -> np.ndarray:
    try:
        with np.errstate(all="ignore"):  # an affine that is not finite is refused by the caller
            affine, note = _choose_affine(header)
            affine = np.array(affine, dtype=np.float64)
            affine[:3] *= mm_per_unit(header)
            if header["dim"][0] == 2 and not affine[:3, 2].any():  # a 2-D picture
                affine[:3, 2] = np.cross(affine[:3, 0], affine[:3, 1]) / np.linalg.norm(affine[:3, 0])
    except Exception as error:
        raise InputError(f"'{path}' has a broken orientation ({error})", EXPORT_AGAIN) from error
    if note:
        logger.warning("'%s': %s", path, note)
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

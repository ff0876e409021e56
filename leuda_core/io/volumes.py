"""Reads and writes volumes and label maps, on exactly the same grid.

Formats: NIfTI (.nii, .nii.gz), NRRD (.nrrd, .seg.nrrd), MetaImage (.mha), DICOM (a folder with one series, or a
file). An array's axes are the voxel indices i, j, k; the affine maps them to RAS mm, for any direction cosines.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from leuda_core.errors import COPY_AGAIN, InputError
from leuda_core.io import nifti
from leuda_core.io.arrays import slabs
from leuda_core.io.dicom import series as dicom
from leuda_core.io.dicom.header import is_dicom
from leuda_core.io.digests import digest
from leuda_core.io.files import atomic_path, incomplete_error
from leuda_core.io.formats import images
from leuda_core.io.formats.headers import checked_affine
from leuda_core.io.formats.sources import cannot_read, open_regular
from leuda_core.io.formats.writers import write_metaimage, write_nrrd
from leuda_core.io.label_maps import with_labels
from leuda_core.io.names import EXTENSIONS, volume_extension
from leuda_core.io.segmentations import segmentation_header
from leuda_core.types import Label, LabelMap, Volume


@dataclass(frozen=True, eq=False)
class Grid:
    """A voxel grid: the number of voxels along each axis and the affine, voxel index to RAS mm."""

    shape: tuple[int, int, int]
    affine: np.ndarray


def read_volume(path: Path) -> Volume:
    """Read a scalar 3-D image in its native dtype; a 2-D image becomes one slice. The data may be read-only.

    Raises:
        InputError: the file is missing, damaged, not a scalar 3-D image, has NaN or infinite voxels, is constant, or
            has an affine that cannot be inverted.
    """
    path = Path(path)
    data, affine, _ = read_stored(path)
    _check_finite(data, path)
    first = data[0, 0, 0]
    if all((slab == first).all() for slab in slabs(data)):
        raise InputError(f"volume '{path}' is constant (every voxel is {first})", "check that it is the right image")
    return Volume(data, affine)


def read_grid(path: Path) -> Grid:
    """Read only the grid, without the voxels.

    Raises:
        InputError: the file is missing, not an image, not 3-D or has an affine that cannot be inverted.
    """
    path = Path(path)
    kind = _check_path(path)
    reader = {"nifti": nifti, "dicom": dicom, "text header": images}[kind]
    shape, affine = reader.read_header(path)
    return Grid(_three_axes(shape, path), checked_affine(affine, path))


def detached_files(path: Path) -> tuple[Path, ...]:
    """Return the files with the voxels of a volume, if its header is in a file of its own."""
    path = Path(path)
    if volume_extension(path).endswith((".nrrd", ".mha")) and path.is_file():
        with suppress(InputError):  # a header that cannot be read names no other files
            return images.detached(path)
    return ()


def volume_digest(path: Path) -> str:
    """Return the ``digest`` of all files of a volume.

    Raises:
        OSError: a file cannot be read.
    """
    return digest(path, detached_files(path))


class Stored(NamedTuple):
    """What a file holds: voxels ``(I, J, K)``, affine (RAS mm), and the key/value pairs of its header."""

    data: np.ndarray
    affine: np.ndarray
    header: Mapping[str, str]


def read_stored(path: Path) -> Stored:
    """Read a scalar 3-D image of any content.

    Raises:
        InputError: the file is missing, damaged, not a scalar 3-D image, or has an affine that cannot be inverted.
    """
    path = Path(path)
    kind = _check_path(path)
    header: Mapping[str, str] = {}
    if kind == "text header":
        data, affine, header = images.read_image(path)
    else:
        data, affine = nifti.read_nifti(path) if kind == "nifti" else dicom.read_series(path)
    if data.dtype.kind not in "iuf" or data.dtype.itemsize > 8:
        raise InputError(f"'{path}' has voxels of type {data.dtype}", "give a volume of real numbers")
    data = data.reshape(_three_axes(data.shape, path), order="F")
    return Stored(data, checked_affine(affine, path), header)


def read_label_map(path: Path, labels: Sequence[Label] | None) -> LabelMap:
    """Read a label map as the smallest unsigned dtype; whole numbers stored as float are accepted.

    The segments of a file that names them (.seg.nrrd) are matched with ``labels`` by name, as ``io.labels`` says; other
    files by value. With ``labels=None``, the labels are those that the file names, or else one for each value found.

    Raises:
        InputError: as for :func:`read_volume` (but it may be constant), or there are fractions, negative values,
            values without a label, segments with an unknown or repeated name or, with ``labels=None``, too many values.
    """
    return label_map_of(read_stored(path), labels, Path(path))


def label_map_of(stored: Stored, labels: Sequence[Label] | None, path: Path) -> LabelMap:
    """Return the label map of what a file holds, as ``read_label_map`` does; ``path`` is named in errors."""
    data, known = with_labels(stored.data, stored.header, labels, path)
    return LabelMap(data, stored.affine, known)


def write_label_map(label_map: LabelMap, path: Path) -> None:
    """Write a label map in the format of the extension, as the smallest unsigned dtype that holds its values.

    Raises:
        InputError: unknown extension, negative or fractional values. LeudaError: the disk is full.
    """
    path = Path(path)
    data = label_map.data
    if data.dtype.kind not in "uib" or data.min(initial=0) < 0:
        raise InputError(f"label map for '{path}' has values other than whole numbers from 0 ({data.dtype})")
    largest = max([int(data.max(initial=0)), *(label.value for label in label_map.labels)])
    data = data.astype(np.min_scalar_type(largest), copy=False)
    is_segmentation = path.name.lower().endswith(".seg.nrrd")
    header = segmentation_header(label_map.labels, label_map.shape) if is_segmentation else {}
    _write(data, label_map.affine, path, header)


def write_volume(volume: Volume, path: Path) -> None:
    """Write a volume in its dtype, in the format of the extension.

    Raises:
        InputError: unknown extension. LeudaError: the disk is full.
    """
    data = volume.data.astype(np.float32) if volume.data.dtype == np.float16 else volume.data
    _write(data, volume.affine, Path(path), {})


def same_grid(a: Grid | Volume, b: Grid | Volume, tolerance: float = 1e-4) -> bool:
    """Return whether two grids have the same shape and position.

    No corner of ``b`` may be further from that of ``a`` than ``tolerance`` times the longest side, in voxels of ``a``.
    The default allows for the rounding of single-precision headers.
    """
    if tuple(a.shape) != tuple(b.shape):
        return False
    corners = _corners(a.shape)
    shift = np.linalg.solve(a.affine, b.affine @ corners) - corners
    return bool(np.abs(shift).max() <= tolerance * max(a.shape))


def grid_gap_mm(a: Grid | Volume, b: Grid | Volume) -> float:
    """Return the largest distance in mm between corresponding corners of two grids of the same shape."""
    corners = _corners(a.shape)
    return float(np.linalg.norm(((a.affine - b.affine) @ corners)[:3], axis=0).max())


def _corners(shape: tuple[int, int, int]) -> np.ndarray:
    """Return the voxel indices of the corners of a grid, as columns ``(4, 8)`` for an affine."""
    corners = np.indices((2, 2, 2)).reshape(3, -1) * (np.array(shape)[:, None] - 1.0)
    return np.vstack([corners, np.ones(8)])


def _check_path(path: Path) -> str:
    """Return which reader to use for a path."""
    if os.path.isdir(path):
        return "dicom"
    try:
        with open_regular(path) as stream:
            is_empty = not stream.read(1)
    except OSError as error:
        raise cannot_read(path, error) from error
    if is_empty:
        raise InputError(f"'{path}' is empty (0 bytes)", COPY_AGAIN)
    extension = volume_extension(path)
    if not extension and (path.suffix.lower() == ".dcm" or is_dicom(path)):
        return "dicom"
    if not extension:
        raise InputError(f"'{path}' has an unknown extension", f"use one of {', '.join(EXTENSIONS)} or a DICOM folder")
    return "nifti" if extension.startswith(".nii") else "text header"


def _three_axes(shape: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    """Return a shape without trailing axes of one voxel, with one slice for a 2-D image."""
    full = (*shape, 1) if len(shape) == 2 else shape
    if len(full) < 3 or 0 in full or any(size != 1 for size in full[3:]):
        raise InputError(f"'{path}' is not one 3-D volume (its shape is {tuple(shape)})", "give one volume per file")
    return full[0], full[1], full[2]


def _check_finite(data: np.ndarray, path: Path) -> None:
    if data.dtype.kind != "f":
        return
    count = data.size - sum(int(np.isfinite(slab).sum()) for slab in slabs(data))
    if count:
        raise InputError(
            f"volume '{path}' has {count} NaN or infinite voxels", "replace them, for example by the background value"
        )


def _write(data: np.ndarray, affine: np.ndarray, path: Path, header: Mapping[str, str]) -> None:
    extension = volume_extension(path)
    if not extension:
        raise InputError(f"cannot write '{path}': unknown extension", f"use one of {', '.join(EXTENSIONS)}")
    with atomic_path(path) as temporary:
        if extension.startswith(".nii"):
            nifti.write_nifti(data, affine, temporary)
            return
        if extension.endswith(".nrrd"):
            write_nrrd(data, affine, temporary, header)
        else:
            write_metaimage(data, affine, temporary)
        if not images.holds(temporary, data.shape, affine):  # some file systems do not report a full disk
            raise incomplete_error(path)

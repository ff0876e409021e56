"""Reads and writes volumes and label maps, on exactly the same grid.

Formats: NIfTI (.nii, .nii.gz), NRRD (.nrrd, .seg.nrrd), MetaImage (.mha), DICOM (a folder with one series, or a .dcm
file). An array's axes are the voxel indices i, j, k; the affine maps them to RAS mm, for any direction cosines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leuda_core.errors import InputError
from leuda_core.io import dicom, itk, nifti
from leuda_core.io.files import atomic_path, incomplete_error
from leuda_core.io.names import EXTENSIONS, volume_extension
from leuda_core.io.segmentations import segmentation_header, segmentation_labels, values_by_name
from leuda_core.types import Label, LabelMap, Volume

MAX_VALUES = 256
"""Maximum number of values in a label map, including the background; an image given by mistake has more."""


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
    data, affine, _ = _read(Path(path))
    _check_finite(data, path)
    first = data[0, 0, 0]
    if all((slab == first).all() for slab in _slabs(data)):
        raise InputError(f"volume '{path}' is constant (every voxel is {first})", "check that it is the right image")
    return Volume(data, affine)


def read_grid(path: Path) -> Grid:
    """Read only the grid, without the voxels.

    Raises:
        InputError: the file is missing, not an image, not 3-D or has an affine that cannot be inverted.
    """
    path = Path(path)
    kind = _check_path(path)
    reader = {"nifti": nifti, "dicom": dicom, "itk": itk}[kind]
    shape, affine = reader.read_header(path)
    return Grid(_three_axes(shape, path), _checked_affine(affine, path))


def read_label_map(path: Path, labels: Sequence[Label] | None) -> LabelMap:
    """Read a label map as the smallest unsigned dtype; whole numbers stored as float are accepted.

    Segments of a .seg.nrrd file are matched with ``labels`` by name if all names are known. With ``labels=None``, the
    labels are those that the file describes, or else one for each value found.

    Raises:
        InputError: as for :func:`read_volume` (but it may be constant), or there are fractions, negative values,
            values without a label or, with ``labels=None``, more than ``MAX_VALUES`` values.
    """
    path = Path(path)
    data, affine, header = _read(path)
    counts = _count_values(data, path)
    stored = segmentation_labels(header)
    if labels is None:
        if len(counts) > MAX_VALUES:
            what = f"'{path}' has {len(counts)} different values, too many for a label map"
            raise InputError(what, "give the label map, not the image")
        labels = stored or tuple(Label(value, f"label {value}") for value in counts if value)
    elif mapping := values_by_name(stored, labels):
        data = _renumber(data, mapping)
        counts = {mapping.get(value, value): count for value, count in counts.items()}
    _check_known(counts, labels, path)
    largest = max([0, *counts, *(label.value for label in labels)])
    return LabelMap(data.astype(np.min_scalar_type(largest), copy=False), affine, tuple(labels))


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


def find_volumes(folder: Path) -> list[Path]:
    """Return the volumes directly in a folder, sorted by name: known files, and subfolders that contain .dcm files.

    Raises:
        InputError: not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"'{folder}' is not a folder", "give a folder with volumes")
    if dicom.has_series(folder):
        return [folder]
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]  # also skips unfinished files
    return sorted(filter(_is_volume, entries))


def _is_volume(entry: Path) -> bool:
    return dicom.has_series(entry) if entry.is_dir() else bool(volume_extension(entry))


def _corners(shape: tuple[int, int, int]) -> np.ndarray:
    """Return the voxel indices of the corners of a grid, as columns ``(4, 8)`` for an affine."""
    corners = np.indices((2, 2, 2)).reshape(3, -1) * (np.array(shape)[:, None] - 1.0)
    return np.vstack([corners, np.ones(8)])


def _check_path(path: Path) -> str:
    """Return which reader to use for a path."""
    if path.is_dir():
        return "dicom"
    if not path.exists():
        raise InputError(f"'{path}' does not exist", "check the path")
    try:
        with open(path, "rb") as stream:
            is_empty = not stream.read(1)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}", "check its permissions") from error
    if is_empty:
        raise InputError(f"'{path}' is empty (0 bytes)", "copy, download or export it again")
    extension = volume_extension(path) or (path.suffix.lower() if path.suffix.lower() == ".dcm" else "")
    if not extension:
        raise InputError(f"'{path}' has an unknown extension", f"use one of {', '.join(EXTENSIONS)} or a DICOM folder")
    return "nifti" if extension.startswith(".nii") else "itk"


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, Mapping[str, str]]:
    """Return voxels ``(I, J, K)``, affine and key/value pairs of a real, scalar, 3-D image."""
    kind = _check_path(path)
    header: Mapping[str, str] = {}
    if kind == "itk":
        data, affine, header = itk.read_image(path)
    else:
        data, affine = nifti.read_nifti(path) if kind == "nifti" else dicom.read_series(path)
    if data.dtype.kind not in "iuf":
        raise InputError(f"'{path}' has voxels of type {data.dtype}", "give a volume of real numbers")
    data = data.reshape(_three_axes(data.shape, path), order="F")
    return data, _checked_affine(affine, path), header


def _three_axes(shape: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    """Return a shape without trailing axes of one voxel, with one slice for a 2-D image."""
    full = (*shape, 1) if len(shape) == 2 else shape
    if len(full) < 3 or 0 in full or any(size != 1 for size in full[3:]):
        raise InputError(f"'{path}' is not one 3-D volume (its shape is {tuple(shape)})", "give one volume per file")
    return full[0], full[1], full[2]


def _checked_affine(affine: np.ndarray, path: Path) -> np.ndarray:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    sound = np.isfinite(affine).all() and lengths.min() > 0
    if not sound or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-6:
        rows = np.round(affine[:3], 6).tolist()
        raise InputError(f"'{path}' has an affine that cannot be inverted: {rows}", "export it with its orientation")
    return affine


def _slabs(data: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the volume slice by slice, so that no check copies a whole volume."""
    for index in range(data.shape[2]):
        yield data[:, :, index]


def _check_finite(data: np.ndarray, path: Path) -> None:
    if data.dtype.kind != "f":
        return
    count = data.size - sum(int(np.isfinite(slab).sum()) for slab in _slabs(data))
    if count:
        raise InputError(
            f"volume '{path}' has {count} NaN or infinite voxels", "replace them, for example by the background value"
        )


def _count_values(data: np.ndarray, path: Path) -> dict[int, int]:
    """Return the number of voxels for each value of a label map, sorted by value."""
    counts: dict[int, int] = {}
    broken = 0
    for slab in _slabs(data):
        if data.dtype.kind == "f":
            whole = np.isfinite(slab) & (slab == np.floor(slab))
            broken += slab.size - int(whole.sum())
            slab = slab[whole]
        for value, count in _slab_counts(slab):
            counts[value] = counts.get(value, 0) + count
    if broken:
        raise InputError(f"label map '{path}' has {broken} voxels that are not whole numbers", "give a label map")
    if negative := sorted(value for value in counts if value < 0):
        voxels = sum(counts[value] for value in negative)
        raise InputError(
            f"label map '{path}' has {voxels} negative voxels (down to {negative[0]})", "use labels from 0"
        )
    return dict(sorted(counts.items()))


def _slab_counts(slab: np.ndarray) -> list[tuple[int, int]]:
    if slab.size and slab.min() >= 0 and slab.max() < 2**16:  # bincount is many times faster than sorting
        counts = np.bincount(slab.ravel(order="K").astype(np.intp))
        return [(int(value), int(counts[value])) for value in np.flatnonzero(counts)]
    values, counts = np.unique(slab, return_counts=True)
    return [(int(value), int(count)) for value, count in zip(values, counts, strict=True)]


def _check_known(counts: Mapping[int, int], labels: Sequence[Label], path: Path) -> None:
    known = sorted({0, *(label.value for label in labels)})
    unknown = [value for value in counts if value not in known]
    if unknown:
        named = ", ".join(f"{value} ({counts[value]} voxels)" for value in unknown[:8])
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        table = ", ".join(map(str, known))
        raise InputError(f"label map '{path}' has values without a label: {named}{more}", f"the labels are {table}")


def _renumber(data: np.ndarray, mapping: Mapping[int, int]) -> np.ndarray:
    table = np.arange(max(int(data.max()), *mapping) + 1)
    table[list(mapping)] = list(mapping.values())
    return table.astype(np.min_scalar_type(int(table.max())))[data]


def _write(data: np.ndarray, affine: np.ndarray, path: Path, header: Mapping[str, str]) -> None:
    extension = volume_extension(path)
    if not extension:
        raise InputError(f"cannot write '{path}': unknown extension", f"use one of {', '.join(EXTENSIONS)}")
    with atomic_path(path) as temporary:
        if extension.startswith(".nii"):
            nifti.write_nifti(data, affine, temporary)
        else:
            _write_itk(data, affine, temporary, path, header)


def _write_itk(data: np.ndarray, affine: np.ndarray, temporary: Path, path: Path, header: Mapping[str, str]) -> None:
    temporary.touch()  # reports why a path cannot be written, which ITK does not
    try:
        itk.write_image(data, affine, temporary, header)
        itk.read_image(temporary)  # on a full disk, ITK may leave a truncated or empty file without an error
    except (RuntimeError, InputError) as error:
        raise incomplete_error(path) from error

"""How volumes are cut into slices. Needs only NumPy, so that Slicer can use the same rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leuda_core.types import Box, Plane

# World axis across the slices, then the world axes (sign: +1 towards R, A, S) along the rows and columns of a slice, as
# in the usual display: the patient's right on the left, anterior or superior on top.
_NAMED_PLANES = {
    "axial": (2, (1, -1), (0, -1)),
    "coronal": (1, (2, -1), (0, -1)),
    "sagittal": (0, (2, -1), (1, -1)),
}


@dataclass(frozen=True)
class SlicePlan:
    """How a volume is cut into slices: the array axes across the slices and along their rows and columns.

    ``row_axis`` is the array axis along which the row index grows; a flipped axis is traversed backwards. ``pixel_mm``
    is the (row, column) spacing.
    """

    axis: int
    row_axis: int
    column_axis: int
    flip_rows: bool
    flip_columns: bool
    n_slices: int
    pixel_mm: tuple[float, float]
    size: tuple[int, int]

    def view(self, data: np.ndarray) -> np.ndarray:
        """Return ``data`` of shape ``(I, J, K)`` as slices ``(n_slices, rows, columns)``, without a copy.

        Writing into the view writes into ``data``.
        """
        slices = data.transpose(self.axis, self.row_axis, self.column_axis)
        return slices[:, :: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def window(self, box: Box) -> tuple[slice, slice, slice]:
        """Return a box of voxels as ranges of slices, rows and columns of a ``view``."""
        rows, columns = box[self.row_axis], box[self.column_axis]
        return (
            slice(*box[self.axis]),
            slice(*(_flipped(rows, self.size[0]) if self.flip_rows else rows)),
            slice(*(_flipped(columns, self.size[1]) if self.flip_columns else columns)),
        )

    def working_size(self, spacing_mm: float) -> tuple[int, int]:
        """Return the (rows, columns) of a slice resampled to square pixels of ``spacing_mm``."""
        rows, columns = (max(1, round(n * mm / spacing_mm)) for n, mm in zip(self.size, self.pixel_mm, strict=True))
        return rows, columns


def _flipped(ends: tuple[int, int], length: int) -> tuple[int, int]:
    return length - ends[1], length - ends[0]


def plan_slices(shape: tuple[int, int, int], affine: np.ndarray, plane: Plane = "acquisition") -> SlicePlan:
    """Decide how to slice a volume.

    ``acquisition`` slices across the axis with the largest spacing and keeps the in-plane axes as stored: oblique
    acquisitions look similar as stored even if their closest anatomical axes differ. The named planes use the closest
    array axis and orient slices as in the usual display. A single-slice volume is sliced across its single-voxel axis.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if plane == "acquisition":
        axis = slicing_axis(shape, affine)
        column_axis, row_axis = (a for a in range(3) if a != axis)
        flip_rows = flip_columns = False
    else:
        from nibabel.orientations import io_orientation  # not in Slicer before packages are installed

        orientation = io_orientation(affine)
        world_axis, rows, columns = _NAMED_PLANES[plane]
        axis, _ = _array_axis(orientation, world_axis, 1)
        row_axis, flip_rows = _array_axis(orientation, *rows)
        column_axis, flip_columns = _array_axis(orientation, *columns)
    return SlicePlan(
        axis=axis,
        row_axis=row_axis,
        column_axis=column_axis,
        flip_rows=flip_rows,
        flip_columns=flip_columns,
        n_slices=shape[axis],
        pixel_mm=(float(spacing[row_axis]), float(spacing[column_axis])),
        size=(shape[row_axis], shape[column_axis]),
    )


def slicing_axis(shape: tuple[int, int, int], affine: np.ndarray) -> int:
    """Return the array axis across the slices of the plane ``acquisition``.

    This is the only axis with a single voxel, else the axis with the largest spacing. If spacings are equal within 1 %,
    it is the last of these axes, which is the slice axis in all common file formats.
    """
    singles = [axis for axis in range(3) if shape[axis] == 1]
    if len(singles) == 1:
        return singles[0]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return max(range(3), key=lambda axis: (round(float(spacing[axis]) / float(spacing.max()), 2), axis))


def _array_axis(orientation: np.ndarray, world_axis: int, sign: int) -> tuple[int, bool]:
    array_axis = int(np.flatnonzero(orientation[:, 0] == world_axis)[0])
    return array_axis, bool(orientation[array_axis, 1] != sign)

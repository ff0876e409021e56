"""How volumes are cut into slices. Needs only NumPy, so that Slicer can use the same rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leuda_core.errors import InputError
from leuda_core.types import Box, Plane

LARGEST_SLICE = 2**21
"""Pixels of an enlarged slice (1448 x 1448), which take 1 GB in a network of 16 channels. Slices of patients have at
most 1024 x 1024 pixels, and any slice may have four times its own number."""
CLEARLY = 1.25
"""A spacing that is this many times the others is the distance between slices; below, a volume is nearly isotropic."""

AS_STORED = "stored"
"""Nearly isotropic volumes are cut across their last array axis, the slice axis in all common file formats."""

_WORLD_AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}

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
    is the (row, column) spacing, ``step_mm`` the distance between slices.
    """

    axis: int
    row_axis: int
    column_axis: int
    flip_rows: bool
    flip_columns: bool
    n_slices: int
    pixel_mm: tuple[float, float]
    step_mm: float
    size: tuple[int, int]

    @property
    def side_mm(self) -> float:
        """The longer side of a slice."""
        return max(n * mm for n, mm in zip(self.size, self.pixel_mm, strict=True))

    def offsets(self, context: int, context_mm: float) -> tuple[int, ...]:
        """Return the places of the slices of a stack relative to its central slice.

        There are ``context`` neighbours on each side, in steps of the whole number of slices closest to ``context_mm``,
        at least one.
        """
        step = max(1, round(min(context_mm / self.step_mm, self.n_slices)))
        return tuple(step * place for place in range(-context, context + 1))

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

    def box(self, rows: tuple[int, int], columns: tuple[int, int]) -> Box:
        """Return ranges of rows and columns of a ``view`` as a box of voxels that contains all slices."""
        ends = [(0, self.n_slices)] * 3
        ends[self.row_axis] = _flipped(rows, self.size[0]) if self.flip_rows else rows
        ends[self.column_axis] = _flipped(columns, self.size[1]) if self.flip_columns else columns
        i, j, k = ends
        return i, j, k

    def working_size(self, spacing_mm: float, largest: int = LARGEST_SLICE) -> tuple[int, int]:
        """Return the (rows, columns) of a slice resampled to square pixels of ``spacing_mm``.

        Raises:
            InputError: it would have more than ``largest`` pixels, and more than four times its own.
        """
        sides = [n * mm / spacing_mm for n, mm in zip(self.size, self.pixel_mm, strict=True)]
        largest = max(largest, 4 * math.prod(self.size))
        if not math.prod(sides) <= largest:  # also if it is not a number
            own, working = (f"{side[0]:.6g} x {side[1]:.6g} pixels" for side in (self.size, sides))
            what = f"a slice of {own} would have {working} at the spacing of {spacing_mm:g} mm; the limit is {largest}"
            raise InputError(what, "check the voxel size of the volume, and use a model or a setting of its scale")
        rows, columns = (max(1, round(side)) for side in sides)
        return rows, columns


def stack_around(index: int, offsets: Sequence[int], n_slices: int) -> list[int]:
    """Return the slices at ``offsets`` from a slice; where there are none, the first or the last slice is repeated."""
    return [min(max(index + offset, 0), n_slices - 1) for offset in offsets]


def _flipped(ends: tuple[int, int], length: int) -> tuple[int, int]:
    return length - ends[1], length - ends[0]


def plan_slices(
    shape: tuple[int, int, int], affine: np.ndarray, plane: Plane = "acquisition", isotropic: str = ""
) -> SlicePlan:
    """Decide how to slice a volume.

    ``acquisition`` slices across the axis with the largest spacing and keeps the in-plane axes as stored: oblique
    acquisitions look similar as stored even if their closest anatomical axes differ. The named planes use the closest
    array axis and orient slices as in the usual display. A single-slice volume is sliced across its single-voxel axis.

    ``isotropic`` is for volumes of plane ``acquisition`` without a clearly largest spacing, of which a rounding error
    would decide the plane. Empty: like the others, as models of version 0.1. ``AS_STORED``: across the last array axis.
    Three letters such as ``SPL``: across the axis closest to S, rows towards P, columns towards L.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axis, rows, columns = _axes(shape, affine, plane, isotropic)
    (row_axis, flip_rows), (column_axis, flip_columns) = rows, columns
    return SlicePlan(
        axis=axis,
        row_axis=row_axis,
        column_axis=column_axis,
        flip_rows=flip_rows,
        flip_columns=flip_columns,
        n_slices=shape[axis],
        pixel_mm=(float(spacing[row_axis]), float(spacing[column_axis])),
        step_mm=float(spacing[axis]),
        size=(shape[row_axis], shape[column_axis]),
    )


def is_nearly_isotropic(affine: np.ndarray) -> bool:
    """Return whether no spacing is clearly larger than both others."""
    _, middle, largest = sorted(np.linalg.norm(affine[:3, :3], axis=0))
    return bool(largest <= CLEARLY * middle)


def isotropic_directions(rule: str) -> tuple[tuple[int, int], ...] | None:
    """Return (world axis, sign) across slices, along rows and along columns of a three-letter rule, else ``None``."""
    found = tuple(_WORLD_AXES[letter] for letter in rule if letter in _WORLD_AXES)
    return found if len(rule) == 3 and len({axis for axis, _ in found}) == 3 else None


_Axes = tuple[int, tuple[int, bool], tuple[int, bool]]  # across slices; along rows and columns, with their flips


def _axes(shape: tuple[int, int, int], affine: np.ndarray, plane: Plane, isotropic: str) -> _Axes:
    if plane != "acquisition":
        world_axis, rows, columns = _NAMED_PLANES[plane]
        return _anatomical_axes(affine, world_axis, rows, columns)
    if not isotropic or not is_nearly_isotropic(affine):
        return _stored_axes(slicing_axis(shape, affine))
    single = _single_axis(shape)
    if directions := isotropic_directions(isotropic):
        (world_axis, _), rows, columns = directions
        found = _anatomical_axes(affine, world_axis, rows, columns)
        if single in (None, found[0]):  # one slice of a volume lies as it does in the volume
            return found
    return _stored_axes(2 if single is None else single)


def _stored_axes(axis: int) -> _Axes:
    column_axis, row_axis = (a for a in range(3) if a != axis)
    return axis, (row_axis, False), (column_axis, False)


def _anatomical_axes(affine: np.ndarray, across: int, rows: tuple[int, int], columns: tuple[int, int]) -> _Axes:
    from nibabel.orientations import io_orientation  # not in Slicer before packages are installed

    orientation = io_orientation(affine)
    return (
        _array_axis(orientation, across, 1)[0],
        _array_axis(orientation, *rows),
        _array_axis(orientation, *columns),
    )


def _single_axis(shape: tuple[int, int, int]) -> int | None:
    """Return the only axis with a single voxel, if there is exactly one."""
    singles = [axis for axis in range(3) if shape[axis] == 1]
    return singles[0] if len(singles) == 1 else None


def slicing_axis(shape: tuple[int, int, int], affine: np.ndarray) -> int:
    """Return the array axis across the slices of the plane ``acquisition``.

    This is the only axis with a single voxel, else the axis with the largest spacing. If spacings are equal within 1 %,
    it is the last of these axes, which is the slice axis in all common file formats.
    """
    single = _single_axis(shape)
    if single is not None:
        return single
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return max(range(3), key=lambda axis: (round(float(spacing[axis]) / float(spacing.max()), 2), axis))


def _array_axis(orientation: np.ndarray, world_axis: int, sign: int) -> tuple[int, bool]:
    array_axis = int(np.flatnonzero(orientation[:, 0] == world_axis)[0])
    return array_axis, bool(orientation[array_axis, 1] != sign)

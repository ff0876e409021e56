"""Volumes of the worker: memory-mapped files in Slicer's array order, never read as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from leuda_core.data.geometry import plan_slices
from leuda_core.data.slices import intensity_range
from leuda_core.errors import InputError
from leuda_core.io.files import write_error
from leuda_core.types import Box, Normalization, Plane, Volume


def file_stamp(path: Path) -> tuple[object, ...]:
    """Return a value that changes when a file, or one in a folder, is replaced or rewritten; empty if none exists."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return tuple((str(file), s.st_mtime_ns, s.st_size, s.st_ino) for file in files for s in [os.stat(file)])
    except OSError:
        return ()


class MappedVolume:
    """A memory-mapped ``.npy`` file of shape ``(K, J, I)``. The file must not be written to while it is in use.

    Raises:
        InputError: it is not such a file, or not a 3-D array of real numbers. OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.stamp = path, file_stamp(path)
        remedy = "write the volume again with numpy.save"
        try:
            data = np.lib.format.open_memmap(path, mode="r")
        except (ValueError, EOFError) as error:
            raise InputError(f"volume {path} is not a readable array file ({error})", remedy) from error
        if data.ndim != 3 or data.dtype.kind not in "iuf" or not data.size:
            raise InputError(f"volume {path} is {data.dtype} {data.shape}: not 3-D, not real, or empty", remedy)
        self.data = np.asarray(data).T  # (I, J, K); a plain array, which is faster to slice than a memmap
        self._ranges: dict[Normalization, tuple[float, float]] = {}

    def at(self, affine: object) -> Volume:
        """Return the volume with an affine ``(4, 4)`` from voxel index (i, j, k) to RAS mm."""
        matrix = np.array(affine, dtype=float)
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        sound = np.isfinite(matrix).all() and lengths.min() > 0
        if not sound or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
            rows = np.round(matrix[:3], 6).tolist()
            raise InputError(f"the volume's affine cannot be inverted: {rows}", "correct its spacing and directions")
        return Volume(self.data, matrix)

    def intensities(self, normalization: Normalization) -> tuple[float, float]:
        """Return the intensity range, which is computed once."""
        if normalization not in self._ranges:
            self._ranges[normalization] = intensity_range(self.data, normalization)
        return self._ranges[normalization]


def clipped_box(box: Box | None, shape: tuple[int, int, int]) -> Box | None:
    """Return the part of a box that is inside a volume.

    Raises:
        InputError: the box is outside the volume.
    """
    if box is None:
        return None
    i, j, k = ((max(0, first), min(length, end)) for (first, end), length in zip(box, shape, strict=True))
    if any(first >= end for first, end in (i, j, k)):
        what = f"the region of interest {[list(ends) for ends in box]} contains no voxel of the volume {shape}"
        raise InputError(what, "move it onto the volume, or segment without it")
    return i, j, k


def slice_at(volume: Volume, plane: Plane, position: tuple[float, float, float]) -> tuple[int, int]:
    """Return array axis and index of the slice nearest to a RAS point (mm), which may be outside the volume."""
    axis = plan_slices(volume.shape, volume.affine, plane).axis
    voxel = np.linalg.solve(volume.affine, [*position, 1.0])
    return axis, int(np.clip(round(float(voxel[axis])), 0, volume.shape[axis] - 1))


def one_slice(volume: Volume, axis: int, index: int) -> Volume:
    """Return a slice as a volume that has the same slicing axis; its position is that of the first slice."""
    part = [slice(None)] * 3
    part[axis] = slice(index, index + 1)
    return Volume(volume.data[tuple(part)], volume.affine)


def save_array(path: Path, array: np.ndarray, check: Callable[[int, int], None]) -> None:
    """Write an array as ``.npy``, part by part along its first axis; an unfinished file is removed.

    Args:
        check: called before each part with the number of written parts and of all parts; it may raise to cancel.

    Raises:
        LeudaError: the disk is full. InputError: the file cannot be written.
    """
    try:
        with open(path, "wb") as stream:
            header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
            np.lib.format.write_array_header_2_0(stream, header)
            for done, part in enumerate(array):
                check(done, len(array))
                stream.write(np.ascontiguousarray(part).data)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise write_error(path, error) from error
        raise

"""Volumes of the worker: arrays in Slicer's order, read once from files that may change or vanish afterwards."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from leuda_core.data.geometry import plan_slices, stack_around
from leuda_core.data.intensities import intensity_range
from leuda_core.errors import InputError
from leuda_core.io.arrays import save_parts
from leuda_core.io.formats.headers import is_usable, rows_of
from leuda_core.types import Box, Normalization, Task, Volume


def file_stamp(path: Path) -> tuple[object, ...]:
    """Return a value that changes when a file, or one in a folder, is replaced or rewritten; empty if none exists."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return tuple((str(file), s.st_mtime_ns, s.st_size, s.st_ino) for file in files for s in [os.stat(file)])
    except OSError:
        return ()


class HeldVolume:
    """A volume of shape ``(K, J, I)`` from a ``.npy`` file, in memory.

    It is not mapped: where a mapped file is cut short, the process ends. It takes the memory of the voxels.

    Raises:
        InputError: it is not such a file, or not a 3-D array of real numbers. OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.stamp = path, file_stamp(path)
        self.data = _read_array(path).T  # (I, J, K)
        self._ranges: dict[Normalization, tuple[float, float]] = {}
        self._places: dict[tuple[str, bytes], Box | None] = {}

    def at(self, affine: object) -> Volume:
        """Return the volume with an affine ``(4, 4)`` from voxel index (i, j, k) to RAS mm."""
        matrix = np.array(affine, dtype=float)
        if not is_usable(matrix):
            what = f"the volume's affine cannot be inverted: {rows_of(matrix)}"
            raise InputError(what, "correct its spacing and directions")
        return Volume(self.data, matrix)

    def intensities(self, normalization: Normalization) -> tuple[float, float]:
        """Return the intensity range, which is computed once."""
        if normalization not in self._ranges:
            self._ranges[normalization] = intensity_range(self.data, normalization)
        return self._ranges[normalization]

    def place(self, model: str, volume: Volume, locate: Callable[[], Box | None]) -> Box | None:
        """Return where a model, known by its checksum, locates the structures; it is asked once for an affine."""
        key = (model, volume.affine.tobytes())
        if key not in self._places:
            self._places[key] = locate()
        return self._places[key]


def _read_array(path: Path) -> np.ndarray:
    remedy = "write the volume again with numpy.save"
    if path.exists() and not path.is_file():  # a named pipe would block for ever
        raise InputError(f"volume {path} is not a file", remedy)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers in an old notation
            stored = np.lib.format.open_memmap(path, mode="r")  # checks header and size, without reading voxels
    except (OSError, MemoryError):
        raise
    except Exception as error:  # the header is parsed as Python, with many kinds of errors
        raise InputError(f"volume {path} is not a readable array file ({error})", remedy) from error
    if stored.ndim != 3 or stored.dtype.kind not in "iuf" or not stored.size:
        raise InputError(f"volume {path} is {stored.dtype} {stored.shape}: not 3-D, not real, or empty", remedy)
    data = np.fromfile(path, stored.dtype, stored.size, offset=stored.offset)
    if data.size < stored.size:
        raise InputError(f"volume {path} was cut short while it was read ({data.size} of {stored.size} voxels)", remedy)
    return data.reshape(stored.shape, order="C" if stored.flags.c_contiguous else "F")


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


def slice_at(volume: Volume, task: Task, position: tuple[float, float, float]) -> tuple[int, int]:
    """Return array axis and index of the slice nearest to a RAS point (mm), which may be outside the volume.

    Raises:
        InputError: the point is NaN or infinite.
    """
    if not np.isfinite(position).all():
        raise InputError(f"the position {list(position)} is not a point", "send three numbers in mm")
    axis = plan_slices(volume.shape, volume.affine, task.plane, task.isotropic).axis
    voxel = np.linalg.solve(volume.affine, [*position, 1.0])
    return axis, round(float(np.clip(voxel[axis], 0, volume.shape[axis] - 1)))


def slab_around(volume: Volume, task: Task, index: int) -> tuple[Volume, Box]:
    """Return the part of a volume that segmenting a slice needs, with its neighbours, and the slice as a box of it.

    It has the same slicing axis; its position is that of the first slice.
    """
    plan = plan_slices(volume.shape, volume.affine, task.plane, task.isotropic)
    stack = stack_around(index, plan.offsets(task.context, task.context_mm), plan.n_slices)
    part, box = [slice(None)] * 3, [(0, length) for length in volume.shape]
    part[plan.axis] = slice(min(stack), max(stack) + 1)
    box[plan.axis] = index - min(stack), index - min(stack) + 1
    i, j, k = box
    return Volume(volume.data[tuple(part)], volume.affine), (i, j, k)


def save_array(path: Path, array: np.ndarray, check: Callable[[int, int], None]) -> None:
    """Write an array as ``.npy``, part by part along its first axis; an unfinished file is removed.

    Args:
        check: called before each part with the number of written parts and of all parts; it may raise to cancel.

    Raises:
        LeudaError: the disk is full. InputError: the file cannot be written.
    """

    def parts() -> Iterator[np.ndarray]:
        for done, part in enumerate(array):
            check(done, len(array))
            yield part

    save_parts(path, parts(), shape=array.shape, dtype=array.dtype)

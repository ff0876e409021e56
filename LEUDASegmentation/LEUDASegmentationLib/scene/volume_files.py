"""Copies of volumes as ``.npy`` files for the worker, one per content, written without blocking the window."""

from __future__ import annotations

import math
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, proxy

import numpy as np
import slicer
from slicer.i18n import tr as _

from leuda_core.errors import InputError
from leuda_core.io.files import write_error
from leuda_core.io.private import open_private
from LEUDASegmentationLib.processes.worker_client import WorkerClient

BYTES_AT_ONCE = 4 * 2**20  # a slab of this size takes milliseconds, so that the window keeps responding
UNUSED_COPIES = 2  # that are kept: for the volume of the panel and that of the live preview


def content_stamp(node: Any) -> tuple[int, int]:
    """Return a value that changes whenever the voxels change; it is unique to the volume within a session."""
    image = node.GetImageData()
    if image is None:
        return (0, 0)
    return image.GetMTime(), image.GetPointData().GetScalars().GetMTime()


def slabs(shape: tuple[int, ...], itemsize: int) -> list[slice]:
    """Return ranges of slices of an array (K, J, I), each small enough to process between two events."""
    step = max(1, BYTES_AT_ONCE // max(1, math.prod(shape[1:]) * itemsize))
    return [slice(first, min(first + step, shape[0])) for first in range(0, shape[0], step)]


@dataclass
class _Copy:
    stamp: tuple[int, int]
    path: str
    users: int = 0


class VolumeFiles:
    """The existing copies, in the private folder of the worker's client."""

    def __init__(self, worker: WorkerClient) -> None:
        self._worker = worker
        self._copies: list[_Copy] = []  # the most recently used copy is last

    def acquire(self, node: Any) -> Generator[float, None, str]:
        """Return (from a generator that yields the fraction done) the path of a copy; ``release`` it when done.

        Raises:
            LeudaError: the copy cannot be written. InputError: the volume changed or was deleted meanwhile.
        """
        copy = self._find(content_stamp(node))
        if copy is None:
            stamp, path = content_stamp(node), self._worker.new_path("volume.npy")
            try:
                yield from _write(node, stamp, path)
            except BaseException:  # also GeneratorExit: an incomplete copy must not stay
                self._worker.discard(path)
                raise
            copy = _Copy(stamp, path)
            self._copies.append(copy)
        copy.users += 1
        return copy.path

    def release(self, path: str) -> None:
        """Declare that a path from ``acquire`` is no longer read."""
        copy = next(copy for copy in self._copies if copy.path == path)
        copy.users -= 1
        self._copies.remove(copy)
        self._copies.append(copy)
        unused = [copy for copy in self._copies if not copy.users]
        for copy in unused[:-UNUSED_COPIES]:
            self._copies.remove(copy)
            self._worker.discard(copy.path)

    def _find(self, stamp: tuple[int, int]) -> _Copy | None:
        """Return the copy of a content, unless the client has removed its folder."""
        return next((copy for copy in self._copies if copy.stamp == stamp and os.path.exists(copy.path)), None)


def _write(node: Any, stamp: tuple[int, int], path: str) -> Generator[float, None, None]:
    array = slicer.util.arrayFromVolume(node)
    header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    try:
        with open_private(Path(path), "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for slab in slabs(array.shape, array.itemsize):
                if content_stamp(node) != stamp:
                    raise changed_meanwhile(node)
                file.write(array[slab].data)
                yield slab.stop / array.shape[0]
    except OSError as error:
        raise write_error(Path(path), error) from error


_files: WeakKeyDictionary[WorkerClient, VolumeFiles] = WeakKeyDictionary()


def files_of(worker: WorkerClient) -> VolumeFiles:
    """Return the copies in the folder of a worker's client: one set, whoever asks for it."""
    if worker not in _files:
        _files[worker] = VolumeFiles(proxy(worker))  # the copies do not keep the client alive
    return _files[worker]


def changed_meanwhile(node: Any) -> InputError:
    """Return the error for a volume whose voxels or position changed while it was being segmented."""
    return InputError(
        _("“{name}” was changed while it was being segmented").format(name=node.GetName()),
        _("nothing was written; segment it again"),
    )

"""The part of a volume that the model segments for the Segment Editor."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from leuda_core.bundle.store import ModelEntry
from leuda_core.data.geometry import plan_slices
from LEUDASegmentationLib.scene.geometry import RoiMask, ijk_to_ras, volume_shape
from LEUDASegmentationLib.scene.layers import layer_array, new_layer
from LEUDASegmentationLib.scene.volume_files import slabs

OUTSIDE, BACKGROUND = 0, 1
"""Values of an answer (see ``read_answer``); a label is its own value plus ``BACKGROUND``."""

Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Region:
    """Half-open voxel ranges along i, j and k, and within them only what is in a ROI, if there is one."""

    box: Box
    roi: RoiMask | None = None


def slice_axis(volume_node: Any, model: ModelEntry) -> int:
    """Return the axis of a volume (0 is i) across which a model cuts its slices."""
    plane = cast(Any, model.plane)  # a list of models keeps it as text
    return plan_slices(volume_shape(volume_node), ijk_to_ras(volume_node), plane, model.isotropic).axis


def slices_between(volume_node: Any, axis: int, first: int, last: int) -> Region:
    """Return the slices from ``first`` to ``last``, both included, in either order."""
    box = list(whole_volume(volume_node).box)
    low, high = sorted((first, last))
    box[axis] = max(0, low), min(high + 1, box[axis][1])
    return Region(tuple(box))


def whole_volume(volume_node: Any) -> Region:
    """Return all of a volume."""
    return Region(tuple((0, size) for size in volume_shape(volume_node)))


def inside_roi(volume_node: Any, roi_node: Any) -> Region:
    """Return the part of a volume in a ROI.

    Raises:
        InputError: they do not overlap.
    """
    roi = RoiMask(volume_node, roi_node)
    return Region(roi.box, roi)


def read_answer(path: str, region: Region, affine: np.ndarray, values: Sequence[int]) -> Generator[float, None, Any]:
    """Return (from a generator that yields the fraction done) what the model says about a region, as an image.

    Its extent is the box of the region. Voxels are ``OUTSIDE`` where the ROI excludes them, ``BACKGROUND``, or the
    value of a label plus ``BACKGROUND``.

    Args:
        path: a label map (K, J, I) of the whole volume, ``.npy``.
        affine: (4, 4), of the volume: voxel index to RAS mm.
        values: all that the label map can contain.
    """
    labels = np.load(path, mmap_mode="r")
    (i0, i1), (j0, j1), (k0, k1) = region.box
    dtype = np.min_scalar_type(max(values, default=0) + BACKGROUND)
    image = new_layer((i0, i1 - 1, j0, j1 - 1, k0, k1 - 1), dtype, affine)
    target = layer_array(image)
    for slab in slabs((k1 - k0, *labels.shape[1:]), dtype.itemsize):
        part = labels[k0 + slab.start : k0 + slab.stop].astype(dtype) + dtype.type(BACKGROUND)
        if region.roi is not None:
            region.roi.apply(part, k0 + slab.start)
        target[slab] = part[:, j0:j1, i0:i1]
        yield slab.stop / (k1 - k0)
    return image

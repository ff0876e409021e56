"""Surface distances in mm, computed by MONAI with fixed options."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np


def surface_distances_mm(a: np.ndarray, b: np.ndarray, spacing_mm: Sequence[float]) -> tuple[float, float]:
    """Return the 95th-percentile Hausdorff distance and the average surface distance of two non-empty masks.

    Both are symmetric: the larger of the two directed percentiles, and the mean over the surface voxels of both.
    A single-slice volume is measured in 2-D, because in 3-D every pixel would be a surface voxel.

    Shape:
        a, b: both ``(I, J, K)`` bool; ``spacing_mm``: three values.
    """
    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    long_axes = [axis for axis in range(a.ndim) if a.shape[axis] > 1]
    axes = long_axes if len(long_axes) == 2 else list(range(a.ndim))
    box = _bounding_box(a | b)
    masks = [
        torch.from_numpy(mask[box].reshape([mask[box].shape[axis] for axis in axes]))[None, None] for mask in (a, b)
    ]
    options = {"include_background": True, "spacing": [float(spacing_mm[axis]) for axis in axes]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # caused by MONAI's own calls; users cannot fix them
        hd95 = compute_hausdorff_distance(*masks, percentile=95, **options)
        asd = compute_average_surface_distance(*masks, symmetric=True, **options)
    return float(hd95), float(asd)


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    box = []
    for axis in range(mask.ndim):
        found = np.flatnonzero(mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis)))
        box.append(slice(int(found[0]), int(found[-1]) + 1))
    return tuple(box)

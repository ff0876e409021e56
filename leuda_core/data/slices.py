"""How slices become network input, with the intensity range of their volume.

Training and prediction both use this file and ``geometry``, so that slices are always prepared in the same way.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

MULTIPLE, SMALLEST = 16, 32  # the U-Net halves four times; its norm needs more than one pixel at the lowest level

SMALLEST_RANGE, LARGEST_RANGE = 1e-30, 1e30
"""Intensity ranges outside of these are beyond what float32 can divide by."""

LARGE_OFFSET = 64.0  # an offset of so many intensity ranges costs float32 a visible part of its precision


def to_working(slices: np.ndarray, size: tuple[int, int], intensities: tuple[float, float]) -> Tensor:
    """Normalise slices to [-1, 1] and resample them in plane.

    Shape:
        slices: ``(B, rows, columns)``, any real dtype; result ``(B, 1, *size)`` float32.
    """
    low, high = intensities
    if not SMALLEST_RANGE < high - low < LARGEST_RANGE:
        peak = max(abs(low), abs(high))
        with np.errstate(invalid="ignore"):  # of an infinite range, which the caller refuses
            slices, low, high = np.clip(slices, low, high, dtype=np.float64) / peak, low / peak, high / peak
    if slices.dtype.itemsize > 2 and slices.dtype != np.float32 and abs(low) > LARGE_OFFSET * (high - low):
        slices, low, high = np.subtract(slices, low, dtype=np.float64), 0.0, high - low
    with np.errstate(over="ignore"):  # single voxels far outside of the range are clipped
        images = torch.from_numpy(np.array(slices, dtype=np.float32, order="C")).unsqueeze(1)
    images = images.sub_(low).mul_(2.0 / (high - low)).sub_(1.0).clamp_(-1.0, 1.0)
    if images.shape[-2:] == size:
        return images
    # Antialiasing only has an effect, and a cost, if pixels get larger.
    shrinks = size[0] < images.shape[-2] or size[1] < images.shape[-1]
    return interpolate(images, size=size, mode="bilinear", antialias=shrinks)


def padding(length: int, patch_size: int) -> tuple[int, int]:
    """Return the pixels to add before and after a side of a slice, so that networks can take it."""
    wanted = max(-(-length // MULTIPLE) * MULTIPLE, patch_size, SMALLEST)
    before = (wanted - length) // 2
    return before, wanted - length - before


def in_padding(network: Callable[[Tensor], Tensor], images: Tensor, patch_size: int) -> Tensor:
    """Apply a network to slices of any size, padded with the lowest intensity as in training.

    Shape:
        images: ``(B, C, H, W)`` in [-1, 1]; result ``(B, channels of the network, H, W)``.
    """
    height, width = images.shape[-2:]
    (top, bottom), (left, right) = padding(height, patch_size), padding(width, patch_size)
    result = network(pad(images, (left, right, top, bottom), value=-1.0))
    return result[..., top : top + height, left : left + width]


def labels_to_working(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resample class indices ``(B, rows, columns)`` uint8 to ``size`` by nearest neighbour."""
    classes = torch.from_numpy(np.ascontiguousarray(labels)).unsqueeze(1)
    return interpolate(classes, size=size, mode="nearest-exact").squeeze(1).numpy()

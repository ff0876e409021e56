"""How slices become network input: intensity range and pixel size.

Training and prediction both use this file and ``geometry``, so that slices are always prepared in the same way.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from leuda_core.types import Normalization

MAX_SAMPLES = 2_000_000
"""Number of voxels for estimating percentiles; more would cost memory and time without changing the result."""


def intensity_range(data: np.ndarray, normalization: Normalization) -> tuple[float, float]:
    """Return the volume's two clipping percentiles, estimated from an even sample of at most ``MAX_SAMPLES`` voxels."""
    step = math.ceil(data.size / MAX_SAMPLES) | 1  # odd, so that it is not in step with rows of even length
    sample = data.ravel(order="K")[::step]
    low, high = np.percentile(sample, (normalization.lower_percentile, normalization.upper_percentile))
    if high <= low:  # almost all voxels are equal, such as a thin structure in a zero background
        low, high = float(sample.min()), float(sample.max())
    return float(low), float(high) if high > low else float(low) + 1.0


def to_working(slices: np.ndarray, size: tuple[int, int], intensities: tuple[float, float]) -> Tensor:
    """Normalise slices to [-1, 1] and resample them in plane.

    Shape:
        slices: ``(B, rows, columns)``, any real dtype; result ``(B, 1, *size)`` float32.
    """
    low, high = intensities
    images = torch.from_numpy(np.array(slices, dtype=np.float32, order="C")).unsqueeze(1)
    images = images.sub_(low).mul_(2.0 / (high - low)).sub_(1.0).clamp_(-1.0, 1.0)
    if images.shape[-2:] == size:
        return images
    # Antialiasing only has an effect, and a cost, if pixels get larger.
    shrinks = size[0] < images.shape[-2] or size[1] < images.shape[-1]
    return interpolate(images, size=size, mode="bilinear", antialias=shrinks)


def labels_to_working(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resample class indices ``(B, rows, columns)`` uint8 to ``size`` by nearest neighbour."""
    classes = torch.from_numpy(np.ascontiguousarray(labels)).unsqueeze(1)
    return interpolate(classes, size=size, mode="nearest-exact").squeeze(1).numpy()

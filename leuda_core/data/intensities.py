"""The intensity range of a volume: percentiles, or a window in Hounsfield units. Needs only NumPy.

Training and prediction both use this file, so that volumes are always normalised in the same way.
"""

from __future__ import annotations

import math

import numpy as np

from leuda_core.types import Normalization

MAX_SAMPLES = 2_000_000
"""Number of voxels for estimating percentiles; more would cost memory and time without changing the result."""

AIR, PADDING = -1024.0, -1250.0
"""The lowest value of a 12-bit CT, in HU; values below ``PADDING`` are too low for noisy air."""

PADDING_LEVELS, PADDING_SHARE, LEVEL = 3, 0.8, 4.0
"""Padding is a constant: this many levels, ``LEVEL`` wide, hold this share of all values below ``PADDING``. Several
scanners' constants may meet in one volume, and resampling and lossy compression blur them."""

DARKEST_SHARE, DARKEST = 0.1, -50.0
"""So many percent of a volume in Hounsfield units are below this value: fat has about -100 HU, and every crop of 16 or
more voxels along each axis shows some. Windowed, scaled or unsigned values and resampled MR stay above it."""

GAP = 100.0
"""A lowest value so far below all others is a constant for what is missing; air is next to noisy air."""

BYTES, CLIPPED, SCALED = (0, -128), 0.005, 20.0
"""Grey values that somebody mapped to one byte start at one of these, and at least this share is clipped to it. Values
that are scaled to about 1 stay below the last."""


def intensity_range(data: np.ndarray, normalization: Normalization) -> tuple[float, float]:
    """Return the two grey values of a volume that become -1 and 1.

    Those are the window, if there is one and the volume can be in Hounsfield units. Otherwise they are the volume's two
    clipping percentiles, estimated from an even sample of at most ``MAX_SAMPLES`` voxels.
    """
    if normalization.window and in_hounsfield(data):
        return normalization.window
    sample = _sample(data)
    if normalization.ignores_padding:
        sample = _without_padding(sample)
    low, high = np.percentile(sample, (normalization.lower_percentile, normalization.upper_percentile))
    if high <= low:  # almost all voxels are equal, such as a thin structure in a zero background
        low, high = float(sample.min()), float(sample.max())
    return float(low), float(high) if high > low else max(float(low) + 1.0, math.nextafter(low, math.inf))


def in_hounsfield(data: np.ndarray) -> bool:
    """Return whether the values of a CT can be Hounsfield units.

    Values that are windowed, scaled, or stored without a sign cannot, whatever constant fills the rest.
    """
    sample = _sample(data)
    padded = _padding_of(sample)
    values = sample if padded is None else sample[~padded]
    others = _without_fill(values)
    if _is_scaled(others):
        return False
    return bool(np.percentile(values, DARKEST_SHARE) <= DARKEST)


def _is_scaled(values: np.ndarray) -> bool:
    """Return whether values were mapped to one byte, or to about 1."""
    low, high = float(values.min()), float(values.max())
    if max(abs(low), abs(high)) <= SCALED:
        return True
    of_bytes = any(abs(low - first) <= 0.5 for first in BYTES)
    return of_bytes and 128 <= high - low <= 255 and float((values <= low + 1).mean()) >= CLIPPED


def _without_fill(values: np.ndarray) -> np.ndarray:
    """Return the values without the lowest one if it is far below all others, as a constant for what is missing is."""
    low = values.min()
    others = values[values > low]
    return others if others.size and float(others.min()) - float(low) > GAP else values


def _sample(data: np.ndarray) -> np.ndarray:
    step = math.ceil(data.size / MAX_SAMPLES) | 1  # odd, so that it is not in step with rows of even length
    return data.ravel(order="K")[::step]


def _without_padding(sample: np.ndarray) -> np.ndarray:
    """Return voxel values in which the padding of a CT has the value of air, or else of the darkest of the others.

    Replaced, not removed: a volume whose padding is air already has the same percentiles.
    """
    padded = _padding_of(sample)
    if padded is None:
        return sample
    darkest = float(np.percentile(sample[~padded], 0.5))
    return np.where(padded, AIR if darkest < 0 else darkest, sample)


def _padding_of(sample: np.ndarray) -> np.ndarray | None:
    """Return which voxel values are the padding of a CT; ``None`` if there is none."""
    low = float(sample.min())
    if not (math.isfinite(low) and low < PADDING):
        return None
    padded: np.ndarray = sample < PADDING
    counts = np.unique(np.floor(sample[padded] / LEVEL), return_counts=True)[1]
    if np.sort(counts)[-PADDING_LEVELS:].sum() < PADDING_SHARE * counts.sum() or padded.all():
        return None  # many different values, such as those of a phase image
    return padded

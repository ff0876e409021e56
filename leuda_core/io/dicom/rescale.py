"""Grey values from stored values: slope and intercept of each frame (DICOM PS3.3 C.11.1.1), in a type that holds them.

Real-world value maps are not applied: they offer further units, and other programs do not apply them either.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from leuda_core.io.dicom.frames import Frame

_INTEGERS = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32)
_FLOAT32_WHOLE = 1 << 24  # whole numbers up to here are exact in float32


def grey_dtype(frames: Sequence[Frame]) -> np.dtype[Any]:
    """Return the smallest type that holds all grey values that the frames can have; float64 if none is exact."""
    kinds = {frame.format.dtype for frame in frames}
    if len(kinds) == 1 and all((frame.slope, frame.intercept) == (1, 0) for frame in frames):
        return kinds.pop()
    low, high, unit = _range(frames)
    if unit == 1:
        for kind in _INTEGERS:
            if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                return np.dtype(kind)
    return np.dtype(np.float32 if max(-low, high) / unit <= _FLOAT32_WHOLE else np.float64)


def grey_values(stored: np.ndarray, frame: Frame, dtype: np.dtype[Any]) -> np.ndarray:
    """Return the grey values of a frame as ``dtype``, which :func:`grey_dtype` has chosen."""
    if (frame.slope, frame.intercept) == (1, 0):
        return stored.astype(dtype, copy=False)
    return (stored * np.float64(frame.slope) + frame.intercept).astype(dtype)


def _range(frames: Sequence[Frame]) -> tuple[Fraction, Fraction, Fraction]:
    """Return the smallest and largest possible grey value, and the unit whose multiples all of them are."""
    ends: list[Fraction] = []
    parts = 1
    for slope, intercept, bounds in {(frame.slope, frame.intercept, frame.format.bounds) for frame in frames}:
        exact = Fraction(slope), Fraction(intercept)
        ends += [bound * exact[0] + exact[1] for bound in bounds]
        parts = max(parts, exact[0].denominator, exact[1].denominator)
    return min(ends), max(ends), Fraction(1, parts)

"""Where the second look at a volume is: around the structures that the first one found."""

from __future__ import annotations

import numpy as np

from leuda_core.data.geometry import SlicePlan
from leuda_core.types import NOWHERE, Box

MARGIN = 0.15
"""Of the length of what was found, on each side: the first look may miss the ends of a structure. Our choice."""

SMALL = 0.1
"""Connected parts smaller than this share of the largest one are taken for mistakes. Our choice: the smaller of two
kidneys is half of the other one or more."""


def box_of_structures(found: np.ndarray, plan: SlicePlan, least_mm: float) -> Box:
    """Return the box around what was found, at least ``least_mm`` long in plane, with all slices of the volume.

    It is ``NOWHERE`` if nothing was found.

    Shape:
        found: ``(n_slices, h, w)`` bool, slices of ``plan`` at any pixel size.
    """
    from skimage.measure import label

    parts = label(found, connectivity=3)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    if not sizes.any():
        return NOWHERE
    kept = (sizes >= SMALL * sizes.max())[parts]
    ends = []
    for axis, (length, mm) in enumerate(zip(plan.size, plan.pixel_mm, strict=True), start=1):
        shown = np.flatnonzero(kept.any(axis=(0, 3 - axis)))
        pixel = length / found.shape[axis]
        ends.append(_widened(pixel * shown[0], pixel * (shown[-1] + 1), length, least_mm / mm))
    return plan.box(*ends)


def _widened(first: float, end: float, length: int, least: float) -> tuple[int, int]:
    """Add the margin to a range of pixels, and keep it within a side of ``length``."""
    wanted = min(length, round(max((1 + 2 * MARGIN) * (end - first), least)))
    start = min(max(round((first + end - wanted) / 2), 0), length - wanted)
    return start, start + wanted

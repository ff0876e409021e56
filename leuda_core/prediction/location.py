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

    It is around the largest connected part, and others that are near enough for a box of ``least_mm``: a plan leaves
    room for all structures in it, and a part that is further away is a mistake. On six whole hearts, where the stomach
    was taken for a ventricle, a box around all parts gave a mean Dice of 0.66, this one 0.71.

    Returns:
        ``NOWHERE`` if nothing was found.

    Shape:
        found: ``(n_slices, h, w)`` bool, slices of ``plan`` at any pixel size.
    """
    from skimage.measure import label, regionprops

    parts = sorted(regionprops(label(found, connectivity=3)), key=lambda part: -part.area)
    if not parts:
        return NOWHERE
    pixel = np.divide(plan.size, found.shape[1:])
    least = np.divide(least_mm, plan.pixel_mm)
    ends = np.reshape(parts[0].bbox, (2, 3))[:, 1:]
    for part in parts[1:]:
        more = np.reshape(part.bbox, (2, 3))[:, 1:]
        both = np.stack([np.minimum(ends[0], more[0]), np.maximum(ends[1], more[1])])
        if part.area >= SMALL * parts[0].area and (pixel * (both[1] - both[0]) <= least).all():
            ends = both
    rows, columns = (
        _widened(first, end, length, wanted)
        for (first, end), length, wanted in zip((ends * pixel).T, plan.size, least, strict=True)
    )
    return plan.box(rows, columns)


def _widened(first: float, end: float, length: int, least: float) -> tuple[int, int]:
    """Add the margin to a range of pixels, and keep it within a side of ``length``."""
    wanted = min(length, round(max((1 + 2 * MARGIN) * (end - first), least)))
    start = min(max(round((first + end - wanted) / 2), 0), length - wanted)
    return start, start + wanted

"""Keeps the largest connected component of each structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def keep_largest_components(
    label_map: np.ndarray, values: Sequence[int], on_label: Callable[[int, int], None] | None = None
) -> int:
    """Set all voxels outside the largest component of each label to 0, in place; return the number of these voxels.

    Components are 3-D and connected over faces, edges and corners, because thick slices shift structures by more
    than a face.

    ``on_label`` is called before each label with the number of finished and of all labels; it may raise to cancel.

    Shape:
        label_map: ``(I, J, K)`` unsigned integers.
    """
    from scipy.ndimage import find_objects
    from skimage.measure import label as label_components

    boxes = find_objects(label_map)
    removed = 0
    for done, value in enumerate(values):
        if on_label:
            on_label(done, len(values))
        box = boxes[value - 1] if value <= len(boxes) else None
        if box is None:
            continue
        region = label_map[box]
        components = label_components(region == value, connectivity=3)
        sizes = np.bincount(components.ravel())
        sizes[0] = 0
        smaller = (components > 0) & (components != sizes.argmax())
        removed += int(smaller.sum())
        region[smaller] = 0
    return removed

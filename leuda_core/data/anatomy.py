"""What the structures of labelled volumes have in common, and how a result differs from it: signs of an error.

Volumes, pieces and contacts of structures need no label of the target: patients differ less in them than a wrong answer
does. docs/RESULTS.md has the figures. A structure that reaches the edge of the volume may be cut off there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leuda_core.types import Anatomy, Label

SIZE = 2.0
"""How many times larger than the largest, or smaller than the smallest known one a structure may be."""

PIECES = 0.1
"""By how much the share of the largest piece of a structure may be less than the least known one."""

CONTACT, NO_CONTACT = 0.05, 0.005
"""Share of its surface over which a structure touches another one: as a sign of an error, and that counts as none."""


@dataclass(frozen=True)
class Shape:
    """One structure in one volume.

    ``ml`` is its volume; ``largest`` the share of its largest connected component; ``cut`` whether it reaches the edge
    of the volume. ``contacts`` maps the values of other structures to the share of its surface that touches them.
    """

    ml: float
    largest: float
    cut: bool
    contacts: Mapping[int, float]


def shapes_of(data: np.ndarray, affine: np.ndarray, values: Sequence[int]) -> dict[int, Shape]:
    """Measure the structures of a label map ``(I, J, K)``; those that are absent are left out.

    Args:
        affine: (4, 4), voxel index to RAS mm. values: those of the structures.
    """
    from scipy.ndimage import find_objects

    voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
    boxes = find_objects(data, max(values, default=0))
    return {
        value: _shape(data, value, box, voxel_ml)
        for value in values
        if value <= len(boxes) and (box := boxes[value - 1]) is not None
    }


def _shape(data: np.ndarray, value: int, box: tuple[slice, ...], voxel_ml: float) -> Shape:
    from skimage.measure import label as label_components

    around = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
    region = data[around]
    inside = region == value
    sizes = np.bincount(label_components(inside, connectivity=3).ravel())[1:]
    cut = any(
        side.start == 0 or side.stop == length for side, length in zip(box, data.shape, strict=True) if length > 1
    )
    return Shape(voxel_ml * float(sizes.sum()), float(sizes.max() / sizes.sum()), cut, _contacts(region, inside))


def _contacts(region: np.ndarray, inside: np.ndarray) -> dict[int, float]:
    """Return the share of the faces of a structure's surface that lie at each other structure."""
    faces = np.zeros(int(region.max()) + 1, np.int64)
    for axis in range(3):
        own, other = (np.moveaxis(each, axis, 0) for each in (inside, region))
        for here, there in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            neighbours = other[there][own[here] & ~own[there]]
            faces += np.bincount(neighbours.ravel(), minlength=len(faces))
    surface = max(1, int(faces.sum()))
    return {int(value): float(faces[value] / surface) for value in np.flatnonzero(faces) if value}


def anatomy_of(volumes: Iterable[Mapping[int, Shape]], labels: Sequence[Label]) -> tuple[Anatomy, ...]:
    """Return what is common to the structures of completely labelled volumes, in the order of the labels."""
    known = list(volumes)
    return tuple(_common([shapes[label.value] for shapes in known if label.value in shapes], labels, len(known)) for label in labels)

"""Views: squares of whole slices, turned, scaled and shifted at random, in one resampling.

A view that is cut from a patch instead would lack what lies beside the patch after a rotation. A view is drawn anywhere
in the slice, or around a pixel of a structure where slices are much larger than a view.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from leuda_core.config import Augmentation
from leuda_core.data.batches.augment import resample, sampling_grid

Point = tuple[float, float]

TOGETHER = 2
"""Slices up to so many times the side of a view are resampled together."""


@dataclass(frozen=True)
class Limits:
    """How far views differ: rotation in degrees, scaling as a factor, shift beyond the slice as a share of the side."""

    rotation_deg: float
    scaling: float
    shift: float


LIMITS: dict[Augmentation, Limits] = {"paper": Limits(10.0, 1.1, 0.0), "strong": Limits(45.0, 1.25, 0.1)}
"""``paper``: the rotations and scalings of MT-UDA's released code. ``strong``: our choice."""


@dataclass(frozen=True)
class View:
    """A square of ``side`` pixels in a slice of ``size``: its centre, from that of the slice, its angle and scale.

    ``centre`` is (row, column) in pixels, ``angle`` in radians; at ``scale`` 2, structures are twice as large.
    """

    size: tuple[int, int]
    side: int
    centre: Point
    angle: float = 0.0
    scale: float = 1.0

    def offset(self) -> tuple[int, int]:
        """Return the corner of the nearest square of whole pixels that is upright and within the slice."""
        row, column = (_offset(n, self.side, at) for n, at in zip(self.size, self.centre, strict=True))
        return row, column

    def matrix(self) -> Tensor:
        """Return the map from positions in the view to positions in the slice, ``(2, 3)`` as for ``affine_grid``."""
        (row, column), (height, width) = self.centre, self.size
        return self._matrix((2 * column / width, 2 * row / height), (self.side / width, self.side / height))

    def upright_matrix(self) -> Tensor:
        """Return the map from positions in the view to those in the upright square at ``offset``."""
        corner = [at - (n - self.side) / 2 for at, n in zip(self.offset(), self.size, strict=True)]
        row, column = (2 * (at - there) / self.side for at, there in zip(self.centre, corner, strict=True))
        return self._matrix((column, row), (1.0, 1.0))

    def _matrix(self, shift: Point, stretch: Point) -> Tensor:
        cos, sin = math.cos(self.angle) / self.scale, math.sin(self.angle) / self.scale
        rows = (cos * stretch[0], -sin * stretch[0], shift[0]), (sin * stretch[1], cos * stretch[1], shift[1])
        return torch.tensor(rows, dtype=torch.float32)


def _offset(length: int, side: int, centre: float) -> int:
    if length <= side:
        return -((side - length) // 2)
    return min(max(round(centre + (length - side) / 2), 0), length - side)


def random_view(
    rng: np.random.Generator, size: tuple[int, int], side: int, limits: Limits, around: Point | None = None
) -> View:
    """Draw a view of a slice of ``size``, with ``around`` (row, column in pixels) somewhere in its inner half.

    Its centre is never further out than that of views which are drawn anywhere.
    """
    angle = math.radians(limits.rotation_deg) * (2 * rng.random() - 1)
    scale = limits.scaling ** (2 * rng.random() - 1)
    moves = [2 * rng.random() - 1 for _ in range(2)]
    reach = [max(n - side, 0) / 2 + limits.shift * side for n in size]
    if around is None:
        row, column = (move * far for move, far in zip(moves, reach, strict=True))
    else:
        wished = [at - (n - 1) / 2 + move * side / 4 for at, n, move in zip(around, size, moves, strict=True)]
        row, column = (min(max(at, -far), far) for at, far in zip(wished, reach, strict=True))
    return View(size, side, (row, column), angle, scale)


def cut_views(
    views: Sequence[View], stacks: Sequence[np.ndarray], labels: Sequence[np.ndarray] | None = None
) -> tuple[Tensor, Tensor | None]:
    """Resample stacks and their labels; pixels from outside get the lowest intensity and ``IGNORE``.

    Shape:
        stacks: ``(C, H, W)`` in [-1, 1], not all of one size; labels: the same, uint8; results ``(B, C, side, side)``
        float32 and int64.
    """
    side, alike = views[0].side, defaultdict[tuple[int, ...], list[int]](list)
    for index, stack in enumerate(stacks):  # small ones together, which is faster; large ones not, for the memory
        alike[stack.shape if stack[0].size <= (TOGETHER * side) ** 2 else (index,)].append(index)
    parts = []
    for chosen in alike.values():
        images = torch.from_numpy(np.stack([stacks[index] for index in chosen])).float()
        classes = None if labels is None else torch.from_numpy(np.stack([labels[index] for index in chosen])).long()
        parts.append(resample(images, classes, torch.stack([views[index].matrix() for index in chosen]), side))
    back = torch.tensor([index for chosen in alike.values() for index in chosen]).argsort()
    shown, found = torch.cat([images for images, _ in parts])[back], [one for _, one in parts if one is not None]
    return shown, torch.cat(found)[back] if found else None


def cut_square(stack: np.ndarray, offset: Sequence[int], side: int, fill: float) -> np.ndarray:
    """Cut squares at ``offset`` from slices ``(C, H, W)``; smaller slices are centred and padded with ``fill``."""
    top, left = (max(at, 0) for at in offset)
    part = stack[:, top : top + side, left : left + side]
    missing = [side - n for n in part.shape[1:]]
    if not any(missing):
        return part
    return np.pad(part, [(0, 0), *((m // 2, m - m // 2) for m in missing)], constant_values=fill)


def into_views(maps: Tensor, matrices: Tensor) -> Tensor:
    """Resample maps of upright squares into their views; 0 where a view shows what the square does not.

    Shape:
        maps: ``(B, K, side, side)``; matrices: ``(B, 2, 3)``, the views' ``upright_matrix``.
    """
    grid = sampling_grid(matrices, maps.shape[2:])
    seen = torch.cat([maps, torch.ones_like(maps[:, :1])], dim=1)
    moved = grid_sample(seen, grid, align_corners=False)
    return moved[:, :-1] * (moved[:, -1:] > 0.999)

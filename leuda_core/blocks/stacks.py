"""Stacks: every slice with its neighbours as channels, ``(B, C, H, W)``, the slice itself in the centre.

Only the segmenter sees whole stacks. All other networks work on single slices: they are trained on the central ones and
applied to every slice of a stack. ``C`` is 1 without neighbours; nothing depends on this.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def central(stacks: Tensor) -> Tensor:
    """Return the central slices of stacks of images or class indices, ``(B, 1, H, W)``."""
    middle = stacks.shape[1] // 2
    return stacks[:, middle : middle + 1]


def slice_by_slice(network: Callable[[Tensor], Tensor], stacks: Tensor) -> Tensor:
    """Apply a network for slices ``(B, 1, H, W)`` to every slice of stacks; the result is ``(B, C, H, W)``.

    One slice of all stacks after another, so that the memory does not depend on the size of the stacks.
    """
    return torch.cat([network(slices) for slices in stacks.split(1, dim=1)], dim=1)

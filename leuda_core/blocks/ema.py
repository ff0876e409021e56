"""Exponential moving average of a network's weights: the teacher of the self-ensembling methods."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def averaged_copy(network: Network) -> Network:
    """Return a copy in evaluation mode, without gradients."""
    return copy.deepcopy(network).requires_grad_(False).eval()


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, updates: int) -> None:
    """Move ``average`` towards ``network``: ``a <- d a + (1 - d) w`` with ``d = min(1 - 1 / (updates + 1), decay)``.

    ``updates`` is the number of earlier calls. The first call copies the weights, so that the random initial weights
    have no influence. Group norm has no buffers; those of batch norm are already averages and are copied.
    """
    decay = min(1 - 1 / (updates + 1), decay)
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)

"""How weights of losses and moving averages change over a run."""

from __future__ import annotations

import math


def sigmoid_ramp(progress: float) -> float:
    """Return ``exp(-5 (1 - progress)^2)``, rising from 0.007 to 1 (Laine and Aila, ICLR 2017)."""
    return math.exp(-5 * (1 - min(max(progress, 0.0), 1.0)) ** 2)


def delayed_ramp(progress: float, start: float) -> float:
    """Return 0 before ``start``, then ``sigmoid_ramp`` over the whole run (MT-UDA: 30 of 150 epochs without)."""
    return 0.0 if progress < start else sigmoid_ramp(progress)


def decayed(rate: float, progress: float) -> float:
    """Return a learning rate that is constant for half of a phase and then falls to 0 (CycleGAN)."""
    return rate * min(1.0, 2 * (1 - progress))

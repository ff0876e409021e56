"""Small problems on which each method shows its own effect: discs that look otherwise in the target."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from leuda_core.config import make_config
from leuda_core.methods import METHODS
from leuda_core.methods.base import Method
from leuda_core.types import Batch, Label, Task

SIDE = 32
TASK = Task(labels=(Label(1, "disc"),), spacing_mm=1.0, patch_size=SIDE)
BRIDGE = {"translator_channels": 4, "translator_blocks": 1, "translator_steps": 30, "ramp_start": 0.0}
"""Settings of a small translator."""

Looks = Callable[[Tensor], Tensor]


def discs(count: int, generator: torch.Generator, radius: float = 0.45, spread: float = 0.5) -> tuple[Tensor, Tensor]:
    """Return noisy slices ``(count, 1, 32, 32)`` of a bright disc somewhere, and their labels."""
    grid = torch.linspace(-1, 1, SIDE)
    centre = spread * (2 * torch.rand(count, 2, 1, 1, generator=generator) - 1)
    labels = ((grid[:, None] - centre[:, 0]) ** 2 + (grid[None] - centre[:, 1]) ** 2 < radius**2).long()
    noise = 0.05 * torch.randn(count, 1, SIDE, SIDE, generator=generator)
    return (labels.unsqueeze(1) - 0.5 + noise).clamp(-1, 1), labels


class Problem:
    """Discs in the source, and discs that look otherwise (and may be of another size) in the target."""

    def __init__(self, looks: Looks = lambda x: x, target_radius: float = 0.45, spread: float = 0.5) -> None:
        self._looks, self._target_radius, self._spread = looks, target_radius, spread

    def source(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        return discs(count, torch.Generator().manual_seed(seed), spread=self._spread)

    def target(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed + 10_000)
        images, labels = discs(count, generator, self._target_radius, self._spread)
        return self._looks(images), labels

    def batch(self, step: int, count: int = 4) -> Batch:
        images, labels = self.source(count, 2 * step)
        return Batch(images, labels, self.source(count, 2 * step + 1)[0], self.target(count, step)[0])


def train(name: str, problem: Problem, steps: int = 60, **settings: object) -> Method:
    """Train a small method on a problem; the same weights and batches whatever the settings."""
    kind = METHODS[name]
    torch.manual_seed(0)
    small = {"base_channels": 4, "patch_size": SIDE, "augmentation": "paper", "learning_rate": 5e-3, "ema_decay": 0.9}
    method = kind(TASK, make_config(kind.Config, {**small, **settings}))
    method.train()
    method.teacher.eval()
    index = 0
    for phase in method.phases(steps):
        for step in range(phase.steps):
            torch.manual_seed(index)
            phase.take(step, problem.batch(index))
            index += 1
    return method.eval()


def dice(method: Method, images: Tensor, labels: Tensor) -> float:
    found = method.predict(images).argmax(1) == 1
    return float(2 * (found & (labels == 1)).sum() / (found.sum() + (labels == 1).sum()).clamp(min=1))


def darker(images: Tensor) -> Tensor:
    return 0.4 * images - 0.5


def inverted(images: Tensor) -> Tensor:
    return -images


def striped(images: Tensor) -> Tensor:
    return images + 0.4 * torch.arange(SIDE).mul(2.0).sin()


def noisier(images: Tensor) -> Tensor:
    return images + 0.4 * torch.randn(images.shape, generator=torch.Generator().manual_seed(5))

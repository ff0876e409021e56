"""Networks whose answer is known, and volumes to segment with them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from leuda_core.types import Label, Task, Volume

LABELS = (Label(3, "vessel"), Label(300, "organ"))
OBLIQUE = np.array([[0.6, -0.5, 1.5, -40.0], [0.5, 0.6, -2.0, 25.0], [-0.3, 0.6, 3.2, 310.0], [0, 0, 0, 1.0]])
AXIAL = np.diag([-1.0, -1.0, 3.0, 1.0])
NO_MEMORY = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 12345 bytes"


class Threshold(nn.Module):
    """Class 1 where the slice is brighter than the middle of its range, class 2 in the brightest tenth."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(images), 10 * images, 100 * (images - 0.8)], dim=1)


class FirstColumns(nn.Module):
    """Class 1 on the left half of every slice, whatever it shows."""

    def forward(self, images: Tensor) -> Tensor:
        left = torch.linspace(1, -1, images.shape[-1]).expand_as(images)
        return torch.cat([torch.zeros_like(images), left, torch.full_like(images, -9.0)], dim=1)


class Hungry(Threshold):
    """Fails for more than ``limit`` slices at once, as if memory had run out."""

    limit = 1
    error: Exception = RuntimeError(NO_MEMORY)

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.limit:
            raise self.error
        return super().forward(images)


def task(spacing_mm: float = 1.0, plane: str = "acquisition", patch_size: int = 32) -> Task:
    return Task(labels=LABELS, spacing_mm=spacing_mm, patch_size=patch_size, plane=plane)


def blob(shape: tuple[int, int, int], affine: np.ndarray, dtype: str = "int16", order: str = "F") -> Volume:
    """A bright, lopsided ellipsoid in the dark: no symmetry hides a flip or a transposition."""
    axes = np.meshgrid(*(np.linspace(0, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
    distance = sum(((x - c) / r) ** 2 for x, c, r in zip(axes, (0.3, 0.6, 0.4), (0.2, 0.3, 0.6), strict=True))
    data = (1000 * np.exp(-(distance**4))).astype(dtype)
    return Volume(np.asarray(data, order=order), affine)


def expected_threshold(volume: Volume) -> np.ndarray:
    low, high = np.percentile(volume.data, (0.5, 99.5))
    return volume.data > (low + high) / 2

"""Augmentation of slices: one joint geometric transform of image and labels, and random appearances.

There are two levels. ``paper`` is the mild affine transform of MT-UDA's released code. ``strong`` has larger ranges and
adds random appearances, similar to causality-inspired and location-scale augmentation (Ouyang et al., IEEE TMI 2022; Su
et al., AAAI 2023): a segmenter trained on many contrasts depends less on a translator, and one that has seen two organs
with the same contrast learns to use their shapes. Parameter ranges are our choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample, interpolate, one_hot, pad

from leuda_core.config import Augmentation
from leuda_core.types import IGNORE

MAX_ROTATION_DEG = {"paper": 10.0, "strong": 45.0}
MAX_SCALING = {"paper": 0.1, "strong": 0.25}


def random_affine(
    images: Tensor, labels: Tensor | None = None, level: Augmentation = "paper"
) -> tuple[Tensor, Tensor | None]:
    """Rotate and scale stacks within the range of the level, images and labels together in one resampling.

    Pixels from outside get the lowest intensity in images and ``IGNORE`` in labels.

    Shape:
        images: ``(B, C, H, W)`` in [-1, 1]; labels: ``(B, H, W)`` or ``(B, C, H, W)`` int64.
    """
    count = len(images)
    angle = (2 * torch.rand(count) - 1) * math.radians(MAX_ROTATION_DEG[level])
    scale = 1 + (2 * torch.rand(count) - 1) * MAX_SCALING[level]
    cos, sin, zero = angle.cos() / scale, angle.sin() / scale, torch.zeros(count)
    # Normalised coordinates scale with the sides of the slice; the ratio keeps the rotation rigid in pixels.
    ratio = images.shape[-2] / images.shape[-1]
    matrices = torch.stack([cos, -sin * ratio, zero, sin / ratio, cos, zero], dim=1).view(count, 2, 3)
    return resample(images, labels, matrices)


def sampling_grid(matrices: Tensor, size: Sequence[int]) -> Tensor:
    """Return the places ``(B, rows, columns, 2)`` where ``grid_sample`` reads, for maps ``(B, 2, 3)`` and a size.

    As ``affine_grid`` does, which takes several times as long for single slices, and which autocast would let round
    every place to the nearest of a few hundred.
    """
    y, x = ((2 * torch.arange(n, device=matrices.device) + 1) / n - 1 for n in size)
    a, b, shift = matrices.float()[:, :, None, None].unbind(-1)
    return (a * x + (b * y[:, None] + shift)).movedim(1, -1)


def resample(
    images: Tensor, labels: Tensor | None, matrices: Tensor, side: int | None = None
) -> tuple[Tensor, Tensor | None]:
    """Transform slices and their labels by affine maps; pixels from outside get the values of ``random_affine``.

    Shape:
        images: ``(B, C, H, W)`` in [-1, 1]; labels: ``(B, H, W)`` or ``(B, C, H, W)`` int64; matrices: ``(B, 2, 3)``,
        as for affine_grid. Results have the same sizes or, with ``side``, are squares of it.
    """
    rows, columns = images.shape[2:] if side is None else (side, side)
    grid = sampling_grid(matrices, (rows, columns))
    # Shifted by one, so that grid_sample's zero padding means the lowest intensity and no label.
    moved = grid_sample(images + 1, grid, align_corners=False) - 1
    if labels is None:
        return moved, None
    shifted = torch.where(labels == IGNORE, 0, labels + 1).to(images.dtype)
    shifted = shifted.reshape(len(images), -1, *images.shape[2:])
    nearest = grid_sample(shifted, grid, mode="nearest", align_corners=False).round().long()
    nearest = nearest.reshape(*labels.shape[:-2], rows, columns)
    return moved, torch.where(nearest == 0, IGNORE, nearest - 1)


def random_appearance(images: Tensor, labels: Tensor | None = None, n_classes: int = 0) -> Tensor:
    """Give each stack a random appearance: contrast curve, inversion, bias field, blur, noise. Stays in [-1, 1].

    All slices of a stack get the same one. With labels, half of the stacks first get a different contrast curve for
    each structure, by the labels of each slice: those of the central one would show its structures in its neighbours.

    Shape:
        images: ``(B, C, H, W)`` in [-1, 1]; labels: ``(B, C, H, W)`` int64, or ``(B, H, W)`` if C is 1. The geometry
        does not change.
    """
    if labels is not None:
        images = _some(images, _contrast_by_structure(images, labels, n_classes), 0.5)
    images = _random_contrast(images)
    images = _some(images, -images, 0.25)
    images = _random_bias(images)
    images = _some(images, _random_blur(images), 0.3)
    noise = 0.1 * torch.rand(len(images), 1, 1, 1, device=images.device) * torch.randn_like(images)
    return (images + noise).clamp(-1, 1)


def _some(images: Tensor, changed: Tensor, probability: float) -> Tensor:
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < probability
    return torch.where(chosen, changed, images)


def _random_contrast(images: Tensor, knots: int = 7) -> Tensor:
    """Map intensities through a random piecewise linear curve, blended with the identity.

    Half of the curves are increasing, the others arbitrary: the order of tissue intensities differs between modalities,
    and a segmenter trained only with increasing curves would still rely on it.
    """
    count, device = len(images), images.device
    steps = torch.rand(count, knots - 1, device=device).pow(2) + 0.02
    rising = torch.cat([torch.zeros(count, 1, device=device), steps.cumsum(1)], dim=1)
    rising = 2 * rising / rising[:, -1:] - 1
    any_order = 2 * torch.rand(count, knots, device=device) - 1
    heights = torch.where(torch.rand(count, 1, device=device) < 0.5, rising, any_order)
    position = (images.flatten(1).clamp(-1, 1) + 1) / 2 * (knots - 1)
    left = position.floor().clamp(max=knots - 2).long()
    slope = heights.gather(1, left + 1) - heights.gather(1, left)
    curved = (heights.gather(1, left) + (position - left) * slope).view_as(images)
    blend = torch.rand(count, 1, 1, 1, device=device)
    return images + blend * (curved - images)


def _contrast_by_structure(images: Tensor, labels: Tensor, n_classes: int, sigma: float = 1.0) -> Tensor:
    """Map each structure and the background of a stack through its own random curve (Su et al., AAAI 2023, local part).

    Structures are blended over about ``sigma`` pixels: a segmenter would learn sharp seams instead of organs.
    """
    curved = _random_contrast(images.repeat_interleave(n_classes, dim=0))  # (B * n_classes, C, H, W)
    shares = one_hot(torch.where(labels == IGNORE, 0, labels), n_classes).movedim(-1, 1).to(images.dtype)
    shares = _blur(shares.reshape(curved.shape), images.new_full((len(curved), 1), sigma))
    return (shares * curved).unflatten(0, (-1, n_classes)).sum(1)


def _random_bias(images: Tensor) -> Tensor:
    """Multiply by a smooth field between about 0.7 and 1.4, as coil sensitivity does."""
    coarse = 0.15 * torch.randn(len(images), 1, 3, 3, device=images.device)
    field = interpolate(coarse, size=images.shape[-2:], mode="bicubic", align_corners=True).exp()
    return (images + 1) * field - 1


def _random_blur(images: Tensor) -> Tensor:
    """Blur each stack with its own Gaussian, sigma 0.3 to 1.5 pixels."""
    return _blur(images, 0.3 + 1.2 * torch.rand(len(images), 1, device=images.device))


def _blur(images: Tensor, sigma: Tensor, radius: int = 3) -> Tensor:
    """Convolve each stack ``(B, C, H, W)`` with a Gaussian in plane; ``sigma`` is ``(B, 1)`` in pixels."""
    count = len(images)
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    stacked = pad(images.transpose(0, 1), [radius] * 4, mode="replicate")
    rows = conv2d(stacked, kernel.view(count, 1, -1, 1), groups=count)
    return conv2d(rows, kernel.view(count, 1, 1, -1), groups=count).transpose(0, 1)

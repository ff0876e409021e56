"""Bilinear and nearest-neighbour warps by a displacement field, differentiable any number of times.

Implemented with ``gather`` instead of ``grid_sample``: meta-learning through a warp needs second derivatives, which
``grid_sample`` does not have in every version and on every device.

Shape:
    images: ``(B, C, H, W)``; displacement: ``(B, 2, H, W)``, rows then columns, in pixels: the result at ``x`` is the
    image at ``x + displacement(x)``. Outside the image, border values are repeated.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from leuda_core.types import IGNORE


def positions(displacement: Tensor) -> tuple[Tensor, Tensor]:
    """Return the position that each pixel is sampled from: row and column, each ``(B, H, W)`` float32."""
    rows, columns = displacement.shape[-2:]
    device = displacement.device
    row = torch.arange(rows, device=device).view(1, rows, 1) + displacement[:, 0].float()
    column = torch.arange(columns, device=device).view(1, 1, columns) + displacement[:, 1].float()
    return row, column


def warp(images: Tensor, displacement: Tensor) -> Tensor:
    """Return images warped by a displacement, with bilinear interpolation."""
    row, column = positions(displacement)
    row, column = row.clamp(0, images.shape[-2] - 1), column.clamp(0, images.shape[-1] - 1)
    top = row.detach().floor().clamp(max=images.shape[-2] - 2)
    left = column.detach().floor().clamp(max=images.shape[-1] - 2)
    down, right = (row - top).unsqueeze(1), (column - left).unsqueeze(1)
    top, left = top.long(), left.long()
    upper = _pick(images, top, left) * (1 - right) + _pick(images, top, left + 1) * right
    lower = _pick(images, top + 1, left) * (1 - right) + _pick(images, top + 1, left + 1) * right
    return upper * (1 - down) + lower * down


def warp_labels(labels: Tensor, displacement: Tensor) -> Tensor:
    """Return class indices warped by a displacement (nearest neighbour; outside: ``IGNORE``).

    Shape:
        labels and result: ``(B, H, W)`` or ``(B, C, H, W)``.
    """
    row, column = (position.detach().round().long() for position in positions(displacement))
    nearest = row.clamp(0, labels.shape[-2] - 1), column.clamp(0, labels.shape[-1] - 1)
    moved = _pick(labels.reshape(len(labels), -1, *labels.shape[-2:]), *nearest)
    return torch.where(inside(displacement).unsqueeze(1), moved, IGNORE).reshape(labels.shape)


def inside(displacement: Tensor) -> Tensor:
    """Return whether each pixel is sampled from inside the image, ``(B, H, W)`` bool."""
    row, column = positions(displacement.detach())
    rows, columns = displacement.shape[-2:]
    return (row >= -0.5) & (row <= rows - 0.5) & (column >= -0.5) & (column <= columns - 0.5)


def _pick(images: Tensor, row: Tensor, column: Tensor) -> Tensor:
    index = (row * images.shape[-1] + column).flatten(1).unsqueeze(1).expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).view(*images.shape[:2], *row.shape[1:])


def affine_displacement(matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """Return displacements of affine maps ``(B, 2, 3)`` about the centre; shifts in half sides."""
    rows, columns = size
    y = torch.arange(rows, device=matrices.device) - (rows - 1) / 2
    x = torch.arange(columns, device=matrices.device) - (columns - 1) / 2
    place = torch.stack([y.view(-1, 1).expand(rows, columns), x.expand(rows, columns)]).flatten(1)
    half = matrices.new_tensor([rows / 2, columns / 2]).view(1, 2, 1)
    # Not a matrix product: autocast would round positions to bfloat16.
    moved = (matrices[:, :, :2, None] * place.to(matrices)).sum(2) + matrices[:, :, 2:] * half
    return (moved - place.to(matrices)).view(-1, 2, rows, columns)


def smoothness_loss(displacement: Tensor) -> Tensor:
    """Mean squared difference of neighbouring displacements, averaged over the axes (VoxelMorph)."""
    down = (displacement[:, :, 1:] - displacement[:, :, :-1]).square().mean()
    right = (displacement[..., 1:] - displacement[..., :-1]).square().mean()
    return 0.5 * (down + right)


def correlation_loss(first: Tensor, second: Tensor, window: int = 9) -> Tensor:
    """Return minus the mean squared local correlation of images ``(B, 1, H, W)``, independent of linear contrast.

    Local normalised cross correlation of VoxelMorph (Balakrishnan et al., IEEE TMI 2019) over ``window`` squared
    pixels.
    """
    first, second = first.float(), second.float()

    def mean(images: Tensor) -> Tensor:
        return avg_pool2d(images, window, stride=1)

    mean_1, mean_2 = mean(first), mean(second)
    covariance = mean(first * second) - mean_1 * mean_2
    variances = (mean(first * first) - mean_1**2) * (mean(second * second) - mean_2**2)
    return -(covariance**2 / (variances.clamp(min=0) + 1e-5)).mean()


def most_alike(images: Tensor, candidates: Tensor) -> Tensor:
    """Return for each image the candidate with the largest absolute correlation, ``(B, 1, H, W)``.

    Slices of different patients correspond only at a similar height; the most similar slice is the likeliest match.
    """

    def looks(batch: Tensor) -> Tensor:
        flat = interpolate(batch.float(), size=(16, 16), mode="area").flatten(1)
        flat = flat - flat.mean(1, keepdim=True)
        return flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-6)

    return candidates[(looks(images) @ looks(candidates).T).abs().argmax(1)]

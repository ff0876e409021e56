"""Networks that register one slice to another or change its appearance.

``FlowNet`` is the U-Net of VoxelMorph (Balakrishnan et al., IEEE TMI 2019) at a small size; ``IntensityNet`` and
``AffineNet`` are the two halves of an image-and-spatial transformer (Lee et al., 2019; Robinson et al., MICCAI 2020).
All are initialised to the identity.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, max_pool2d, relu

from leuda_core.blocks.stacks import slice_by_slice
from leuda_core.blocks.warp import affine_displacement

DOWN, UP = (8, 16, 16), (16, 16, 16)


class FlowNet(nn.Module):
    """Predict the displacement that moves one slice onto another and, with ``intensity``, a change of its intensities.

    Shape:
        moving, fixed: ``(B, 1, H, W)``, multiples of 8; displacement ``(B, 2, H, W)`` in pixels; change
        ``(B, 1, H, W)`` within (-0.5, 0.5), zero unless ``intensity``.
    """

    def __init__(self, *, intensity: bool = False) -> None:
        super().__init__()
        self.down = nn.ModuleList(_convolution(before, after) for before, after in pairwise((2, *DOWN, DOWN[-1])))
        self.up = nn.ModuleList(
            _convolution(below + skip, width)
            for below, skip, width in zip((DOWN[-1], *UP), DOWN[::-1], UP, strict=False)
        )
        self.flow = nn.Conv2d(UP[-1], 2, 3, padding=1)
        self.change = nn.Conv2d(UP[-1], 1, 3, padding=1) if intensity else None
        for head in filter(None, (self.flow, self.change)):
            _begin_at_zero(head)

    def forward(self, moving: Tensor, fixed: Tensor) -> tuple[Tensor, Tensor]:
        x, skips = torch.cat([moving, fixed], dim=1), []
        for layer in self.down[:-1]:
            x = leaky_relu(layer(x), 0.2)
            skips.append(x)
            x = max_pool2d(x, 2)
        x = leaky_relu(self.down[-1](x), 0.2)
        for layer, skip in zip(self.up, reversed(skips), strict=True):
            x = leaky_relu(layer(torch.cat([interpolate(x, scale_factor=2.0), skip], dim=1)), 0.2)
        change = 0.5 * self.change(x).tanh() if self.change else torch.zeros_like(moving)
        return self.flow(x).float(), change.float()


class IntensityNet(nn.Module):
    """Change the intensities of every slice of a stack: a small residual encoder-decoder, additive skip connections.

    Shape:
        input, output: ``(B, C, H, W)`` in [-1, 1], multiples of 4.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(_convolution(1, 4), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(4, 8, 2, stride=2), nn.ReLU(), _convolution(8, 8), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 16, 2, stride=2), nn.ReLU(), _convolution(16, 16), nn.ReLU())
        self.rise = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.surface = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.last = _convolution(4, 1)
        _begin_at_zero(self.last)

    def forward(self, images: Tensor) -> Tensor:
        return (images + slice_by_slice(self._change, images).float()).clamp(-1, 1)

    def _change(self, slices: Tensor) -> Tensor:
        fine = self.first(slices)
        coarse = self.middle(fine)
        coarse = relu(self.rise(self.deep(coarse)) + coarse)
        return self.last(relu(self.surface(coarse) + fine))


class AffineNet(nn.Module):
    """Predict a bounded affine map for each slice: shift, rotation, scale and shear.

    Shape:
        input: ``(B, 1, H, W)``; output: displacement ``(B, 2, H, W)`` in pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(layer for before, after in ((1, 8), (8, 16), (16, 32))
              for layer in (nn.Conv2d(before, after, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2))),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(32 * 16, 32),
            nn.ReLU(),
        )  # fmt: skip
        self.parameters_of_map = nn.Linear(32, 6)
        nn.init.zeros_(self.parameters_of_map.weight)
        nn.init.zeros_(self.parameters_of_map.bias)

    def forward(self, images: Tensor) -> Tensor:
        shift, turn, scale, shear = self.parameters_of_map(self.features(images)).float().tanh().split([2, 1, 2, 1], 1)
        angle, log_scale, slant = math.pi / 4 * turn, 0.2 * scale, math.pi / 4 * shear
        cos, sin = angle.cos(), angle.sin()
        rotation = torch.stack([torch.cat([cos, -sin], 1), torch.cat([sin, cos], 1)], dim=1)
        sheared = torch.stack([torch.cat([torch.ones_like(slant), slant], 1),
                               torch.cat([torch.zeros_like(slant), torch.ones_like(slant)], 1)], dim=1)  # fmt: skip
        # Not a matrix product: autocast would round the map to bfloat16.
        linear = (rotation.unsqueeze(3) * sheared.unsqueeze(1)).sum(2) * log_scale.exp().unsqueeze(1)
        matrices = torch.cat([linear, 0.1 * shift.unsqueeze(2)], dim=2)
        return affine_displacement(matrices, (images.shape[-2], images.shape[-1]))


def _begin_at_zero(layer: nn.Conv2d) -> None:
    """Initialise a layer to almost zero output; exact zeros would block the gradient to earlier layers."""
    nn.init.normal_(layer.weight, std=1e-5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _convolution(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)

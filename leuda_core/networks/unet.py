"""The segmenter of all methods: a 2-D U-Net (Ronneberger et al., MICCAI 2015) with two convolutions per level.

Widths double from ``base_channels`` over five levels, as in the released code of MT-UDA. Norm is GroupNorm with one
group per channel, that is instance normalisation without running statistics: a batch can mix domains without mixing
their statistics, and a moving average of the weights needs no buffers. On a CPU, train in PyTorch's contiguous layout:
the gradient of GroupNorm is many times slower in channels-last. Batch norm is available for the methods that adapt its
statistics.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

# The released code also drops 5 and 10 % on the two finest levels; left out here, because it took 8 % of a step.
DROPOUT = (0.0, 0.0, 0.2, 0.3, 0.5)
LEVELS = len(DROPOUT)


Norm = Literal["group", "batch"]


def norm(channels: int, kind: Norm = "group") -> nn.Module:
    """Instance normalisation with a learned scale and shift, written as GroupNorm; or batch normalisation."""
    return nn.GroupNorm(channels, channels) if kind == "group" else nn.BatchNorm2d(channels)


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the layers of a network that have running statistics."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


class Block(nn.Sequential):
    """Two 3x3 convolutions, each with norm and LeakyReLU; dropout between them in the encoder."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0, kind: Norm = "group") -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            norm(out_channels, kind),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Dropout(dropout) if dropout else nn.Identity(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            norm(out_channels, kind),
            nn.LeakyReLU(0.01, inplace=True),
        )


def halved(maps: Tensor) -> Tensor:
    """Return the maximum of every square of two by two pixels.

    On a CPU, PyTorch's pooling is several times slower than two maxima, whose gradient is slower in turn.
    """
    if maps.device.type != "cpu" or (maps.requires_grad and torch.is_grad_enabled()):
        return max_pool2d(maps, 2)
    rows = torch.maximum(maps[..., ::2, :], maps[..., 1::2, :])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])


class UNet(nn.Module):
    """Segment the central slices of stacks of ``in_channels`` slices.

    Shape:
        input: ``(B, in_channels, H, W)`` with ``H`` and ``W`` multiples of 16.
        output: logits ``(B, n_classes, H, W)``.
    """

    def __init__(self, n_classes: int, base_channels: int = 16, kind: Norm = "group", in_channels: int = 1) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList(
            Block(before, after, rate, kind)
            for before, after, rate in zip([in_channels, *widths], widths, DROPOUT, strict=False)
        )
        reverse = widths[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(before, after, 2, stride=2) for before, after in pairwise(reverse))
        self.merge = nn.ModuleList(Block(2 * width, width, kind=kind) for width in reverse[1:])
        self.head = nn.Conv2d(base_channels, n_classes, 3, padding=1)

    def encode(self, images: Tensor, levels: int = LEVELS) -> list[Tensor]:
        """Return the encoder's feature maps from full resolution downwards, by default to the bottleneck."""
        maps = []
        x = images
        for level, block in enumerate(self.down[:levels]):
            x = block(x if level == 0 else halved(x))
            maps.append(x)
        return maps

    def decode(self, encoded: list[Tensor]) -> list[Tensor]:
        """Return the decoder's feature maps from the bottleneck to full resolution; the last one feeds the head."""
        x = encoded[-1]
        maps = [x]
        for up, merge, skip in zip(self.up, self.merge, encoded[-2::-1], strict=True):
            x = merge(torch.cat([skip, up(x)], dim=1))
            maps.append(x)
        return maps

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the decoder's feature maps for slices, from the bottleneck to full resolution."""
        return self.decode(self.encode(images))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images)[-1])


def auxiliary_head(base_channels: int, n_classes: int) -> nn.Conv2d:
    """Return a segmentation head for the second-to-last decoder block, at half the resolution."""
    return nn.Conv2d(2 * base_channels, n_classes, 1)


def two_level_logits(network: UNet, auxiliary: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits at full resolution from the network's own head and from an ``auxiliary_head``."""
    *_, coarse, fine = network.features(images)
    logits = interpolate(auxiliary(coarse), scale_factor=2, mode="bilinear")
    return network.head(fine), logits

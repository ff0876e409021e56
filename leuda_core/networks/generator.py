"""The generator of CycleGAN (Zhu et al., ICCV 2017): a ResNet that predicts a change of the image.

The input is added before the final tanh, as in SIFA (Chen et al., TMI 2020): the anatomy is preserved unless the
network learns to change it. This matters most when there are few training slices.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from leuda_core.blocks.stacks import slice_by_slice
from leuda_core.networks.unet import norm


class ToImage(nn.Conv2d):
    """A 7x7 convolution with reflection padding to a single channel, computed one kernel row at a time.

    CPU libraries compute output channels in blocks, and a single channel uses only one element of a block. Here each
    row of the kernel is one output channel, and the results are shifted and added: the same sum in another order, in a
    third of the time on a CPU, forward and backward.

    Shape:
        input: ``(B, in_channels, H, W)``; output: ``(B, 1, H, W)``, float32.
    """

    bias: nn.Parameter

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels, 1, 7)

    def forward(self, x: Tensor) -> Tensor:
        height, kernel = x.shape[-2], self.weight[0].transpose(0, 1).unsqueeze(2)  # (rows, in_channels, 1, columns)
        rows = conv2d(pad(x, (3, 3, 3, 3), mode="reflect"), kernel).float()  # bfloat16 would round every partial sum
        shifted = (rows[:, i : i + 1, i : i + height] for i in range(len(kernel)))
        return self.bias + reduce(torch.add, shifted)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with reflection padding and a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=False),
            norm(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=False),
            norm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Generator(nn.Module):
    """Translate slices from one domain to the other, every slice of a stack by itself.

    Shape:
        input, output: ``(B, C, H, W)`` in [-1, 1], ``H`` and ``W`` multiples of 4.
    """

    def __init__(self, base_channels: int = 16, blocks: int = 4) -> None:
        super().__init__()
        c = base_channels
        self.layers = nn.Sequential(
            nn.Conv2d(1, c, 7, padding=3, padding_mode="reflect", bias=False),
            norm(c),
            nn.ReLU(inplace=True),
            nn.Conv2d(c, 2 * c, 3, stride=2, padding=1, bias=False),
            norm(2 * c),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * c, 4 * c, 3, stride=2, padding=1, bias=False),
            norm(4 * c),
            nn.ReLU(inplace=True),
            *(ResidualBlock(4 * c) for _ in range(blocks)),
            *_draw(c),
        )

    def forward(self, images: Tensor) -> Tensor:
        return (images + slice_by_slice(self.layers, images)).tanh()


class ImageDecoder(nn.Module):
    """Decode features at a quarter of the resolution into a change of the slice they were computed from (SIFA).

    Shape:
        features: ``(B, in_channels, H / 4, W / 4)``; images and output: ``(B, 1, H, W)`` in [-1, 1].
    """

    def __init__(self, in_channels: int, blocks: int = 2) -> None:
        super().__init__()
        c = in_channels // 4
        self.layers = nn.Sequential(*(ResidualBlock(4 * c) for _ in range(blocks)), *_draw(c))

    def forward(self, features: Tensor, images: Tensor) -> Tensor:
        return (images + self.layers(features)).tanh()


def _draw(c: int) -> list[nn.Module]:
    """Return the layers that turn ``4 c`` channels at a quarter of the resolution into a slice."""
    return [
        nn.ConvTranspose2d(4 * c, 2 * c, 4, stride=2, padding=1, bias=False),
        norm(2 * c),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(2 * c, c, 4, stride=2, padding=1, bias=False),
        norm(c),
        nn.ReLU(inplace=True),
        ToImage(c),
    ]

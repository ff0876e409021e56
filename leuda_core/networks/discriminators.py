"""Discriminators without a final nonlinearity (least-squares GAN).

Patch discriminators (Isola et al., CVPR 2017) score each patch of an image or probability map. Feature discriminators
(as in ADDA) score each position of a feature map independently.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from leuda_core.networks.unet import norm


class PatchDiscriminator(nn.Module):
    """Score patches as real or fake.

    A patch has 34 pixels a side with two layers that halve the size, 70 with three, as in the paper.

    Shape:
        input: ``(B, in_channels, H, W)``; output: ``(B, 1, H / 2**halvings - 2, W / 2**halvings - 2)`` scores.
    """

    def __init__(self, in_channels: int = 1, base_channels: int = 16, halvings: int = 2) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(halvings + 1)]
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, base_channels, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            *(
                layer
                for before, after in pairwise(widths)
                for layer in (
                    nn.Conv2d(before, after, 4, stride=1 if after == widths[-1] else 2, padding=1, bias=False),
                    norm(after),
                    nn.LeakyReLU(0.2, inplace=True),
                )
            ),
            nn.Conv2d(widths[-1], 1, 4, stride=1, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class FeatureDiscriminator(nn.Module):
    """Score each position of a feature map with 1x1 convolutions.

    Shape:
        input: ``(B, in_channels, h, w)``; output: ``(B, 1, h, w)`` scores.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        c = max(in_channels // 4, 4)
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, c, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(c, c // 2, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(c // 2, 1, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)

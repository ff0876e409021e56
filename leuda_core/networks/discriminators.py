"""Discriminators without a final nonlinearity (least-squares GAN).

Patch discriminators (Isola et al., CVPR 2017) score each patch of an image or probability map. Feature discriminators
(as in ADDA) score each position of a feature map independently.
"""

from __future__ import annotations

from torch import Tensor, nn

from leuda_core.networks.unet import norm


class PatchDiscriminator(nn.Module):
    """Score patches as real or fake.

    Shape:
        input: ``(B, in_channels, H, W)``; output: ``(B, 1, H / 4 - 2, W / 4 - 2)`` scores.
    """

    def __init__(self, in_channels: int = 1, base_channels: int = 16) -> None:
        super().__init__()
        c = base_channels
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, c, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(c, 2 * c, 4, stride=2, padding=1, bias=False),
            norm(2 * c),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * c, 4 * c, 4, stride=1, padding=1, bias=False),
            norm(4 * c),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(4 * c, 1, 4, stride=1, padding=1),
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

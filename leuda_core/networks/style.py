"""Small networks that split a slice into content and style and recombine them (Huang et al., ECCV 2018).

Content is a map of the anatomy, shared by both domains; style is a short vector that describes the appearance.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import instance_norm, interpolate, relu

from leuda_core.networks.generator import ResidualBlock, ToImage
from leuda_core.networks.unet import norm


class ContentEncoder(nn.Module):
    """Encode the content of slices: ``(B, 1, H, W)`` to ``(B, 4 * base_channels, H / 4, W / 4)``."""

    def __init__(self, base_channels: int = 8, blocks: int = 2) -> None:
        super().__init__()
        c = base_channels
        self.layers = nn.Sequential(
            *_down(1, c, 7, 1),
            *_down(c, 2 * c, 4, 2),
            *_down(2 * c, 4 * c, 4, 2),
            *(ResidualBlock(4 * c) for _ in range(blocks)),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class StyleEncoder(nn.Module):
    """Encode the style of slices: ``(B, 1, H, W)`` to ``(B, size)``. No norm layers: they would remove the style."""

    def __init__(self, base_channels: int = 8, size: int = 8) -> None:
        super().__init__()
        c = base_channels
        self.layers = nn.Sequential(
            nn.Conv2d(1, c, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Conv2d(c, 2 * c, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * c, 4 * c, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * c, size),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class StyledDecoder(nn.Module):
    """Decode content in a given style: ``(B, 4 * base_channels, h, w)`` and ``(B, size)`` to ``(B, 1, 4 h, 4 w)``."""

    def __init__(self, base_channels: int = 8, size: int = 8, blocks: int = 2) -> None:
        super().__init__()
        c = base_channels
        widths = [(4 * c, 4 * c)] * blocks + [(4 * c, 2 * c), (2 * c, c)]
        self.convolutions = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in widths)
        self.styles = nn.ModuleList(
            nn.Sequential(nn.Linear(size, 8 * size), nn.ReLU(inplace=True), nn.Linear(8 * size, 2 * after))
            for _, after in widths
        )
        self.blocks = blocks
        self.last = ToImage(c)

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        x = content
        for index, (convolution, parameters) in enumerate(zip(self.convolutions, self.styles, strict=True)):
            rises = index >= self.blocks
            y = convolution(interpolate(x, scale_factor=2.0) if rises else x)
            scale, shift = parameters(style)[..., None, None].chunk(2, dim=1)
            y = relu(instance_norm(y) * (1 + scale) + shift)  # adaptive instance normalisation
            x = y if rises else x + y
        return self.last(x).tanh()


def _down(before: int, after: int, kernel: int, stride: int) -> list[nn.Module]:
    padding = kernel // 2 if stride == 1 else 1
    return [
        nn.Conv2d(before, after, kernel, stride=stride, padding=padding, bias=False),
        norm(after),
        nn.LeakyReLU(0.2, inplace=True),
    ]

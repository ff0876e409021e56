"""A history of translated images for a discriminator, so that it does not only know the latest ones.

Shrivastava et al., CVPR 2017, with the 50 images and the probability of CycleGAN (Zhu et al., ICCV 2017).
"""

from __future__ import annotations

import torch
from torch import Tensor

from leuda_core.blocks.counters import Counting

POOL_SIZE = 50


class ImagePool(Counting):
    """Keeps ``POOL_SIZE`` images; they are part of every checkpoint."""

    images: Tensor
    count: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(POOL_SIZE, 1, side, side))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Keep images and return as many: each is itself or, with a probability of 1/2, one that was kept before.

        Shape:
            images and result: ``(B, 1, side, side)``.
        """
        shown = images.detach().clone()
        for index, image in enumerate(images):
            kept = int(self.count)
            if kept < POOL_SIZE:
                self.images[kept] = image
                self.count += 1
            elif torch.rand(()) < 0.5:
                place = int(torch.randint(POOL_SIZE, ()))
                shown[index] = self.images[place]
                self.images[place] = image
        return shown

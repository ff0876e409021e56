"""ISTN: image and spatial transformers learn explainable changes that make source slices look like target slices.

Lee et al., 2019; Robinson et al., MICCAI 2020. The image transformer (``itn``) changes the intensities, the spatial
transformer (``stn``) applies an affine map, which is also applied to the labels. The segmenter learns from the
transformed slices; target slices are segmented without transformation.

    x' = stn(itn(x_s)),   y' = y_s moved by the same map
    transformers:  (D(x') - 1)^2 + w | itn(x_s) - x_s |
    D:             1/2 [(D(x_t) - 1)^2 + D(x')^2]

Designed for classification of brain MR. Its use for segmentation, in one direction and with affine maps, is our choice.
"""

from __future__ import annotations

from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from leuda_core.blocks.losses import adversarial_loss, cycle_loss, discriminator_loss
from leuda_core.blocks.stacks import central
from leuda_core.blocks.warp import warp, warp_labels
from leuda_core.config import MethodConfig
from leuda_core.methods.base import Losses, Method, Phase, detached
from leuda_core.networks.discriminators import PatchDiscriminator
from leuda_core.networks.registration import AffineNet, IntensityNet
from leuda_core.types import Batch


class Istn(Method):
    """Supervised learning on source slices transformed to look like target slices."""

    title = "ISTN"
    summary = "Makes source slices target-like by changing their intensities and pose, and learns from them."
    paper = "Robinson et al., MICCAI 2020"

    class Config(MethodConfig, frozen=True):
        transformer_steps: Annotated[int, Meta(ge=0, description="training steps of the transformers")] = 500
        transformer_learning_rate: Annotated[
            float, Meta(gt=0, le=1, description="learning rate of the transformers")
        ] = 1e-3
        identity_weight: Annotated[
            float, Meta(ge=0, description="weight of the loss that keeps intensities unchanged")
        ] = 0.5

    settings: Config

    def build(self) -> None:
        super().build()
        self.itn, self.stn, self.discriminator = IntensityNet(), AffineNet(), PatchDiscriminator()
        rate = self.settings.transformer_learning_rate
        self.add_optimizer("transformers", [self.itn, self.stn], lr=rate, betas=(0.5, 0.999))
        self.add_optimizer("discriminator", [self.discriminator], lr=rate / 4, betas=(0.5, 0.999))

    def plan(self, steps: int) -> list[Phase]:
        return [Phase("transform", self.settings.transformer_steps, self.transformer_step), *super().plan(steps)]

    def transform(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return target-like slices, the displacement for their labels, and the slices before the displacement."""
        recoloured = self.itn(images)
        displacement = self.stn(central(recoloured))
        return warp(recoloured, displacement), displacement, recoloured

    def transformer_step(self, batch: Batch, progress: float) -> Losses:
        source, target = central(batch.source_unlabelled), central(batch.target)
        fake, _, recoloured = self.transform(source)
        adversarial, identity = adversarial_loss(self.discriminator(fake)), cycle_loss(source, recoloured)
        self.minimize(adversarial + self.settings.identity_weight * identity, "transformers")
        discrimination = discriminator_loss(self.discriminator(target), self.discriminator(fake.detach()))
        self.minimize(discrimination, "discriminator")
        return detached(adversarial=adversarial, identity=identity, discriminator=discrimination)

    def training_step(self, batch: Batch, progress: float) -> Losses:
        with torch.no_grad():
            images, displacement, _ = self.transform(batch.source)
        return self.supervised_step(images, warp_labels(batch.source_structures, displacement))

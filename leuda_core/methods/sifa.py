"""SIFA: synergistic image and feature alignment, with an encoder shared by segmentation and translation.

Chen et al., AAAI 2019 and IEEE TMI 2020. A generator translates source slices to the target domain, and the segmenter
learns from the result. The encoder of the segmenter, with a separate decoder, also serves as the generator back to the
source. Discriminators score the images of each domain, the origin of source-like images (cycled or fake) and the
segmentation maps at two depths.

    generator:   L_cyc + L_adv(target image)
    decoder:     L_cyc + L_adv(source image)
    segmenter:   L_seg(x_st, y_s) + 0.1 L_seg at the auxiliary head + 0.1 (L_cyc + L_adv(source image))
                 (L_seg is the sum of cross entropy and Dice loss here)
                 + 0.1 L_adv(maps) + 0.01 L_adv(auxiliary maps) + 0.1 L_adv(origin)

Images and maps that are compared come from all slices of both domains: labelled slices, which show structures, would
teach the discriminators to expect structures everywhere.

Our choice: the segmenter is the U-Net of all methods here, the decoder uses its encoder down to a quarter of the
resolution, and the auxiliary head is on the second-to-last decoder block. Target slices are segmented without
translation. With neighbouring slices, the shared encoder sees the whole stack, from which the decoder draws the central
slice; the generator translates every slice by itself. All images that are compared are central slices.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor, nn

from leuda_core.blocks.losses import adversarial_loss, cycle_loss, discriminator_loss, segmentation_loss, total
from leuda_core.blocks.stacks import central
from leuda_core.config import MethodConfig
from leuda_core.methods.base import Losses, Method, detached
from leuda_core.networks.discriminators import PatchDiscriminator
from leuda_core.networks.generator import Form, Generator, ImageDecoder
from leuda_core.networks.unet import auxiliary_head, two_level_logits
from leuda_core.types import Batch

LEVEL = 2  # of the encoder, at a quarter of the resolution: the input of the image decoder


class Images(NamedTuple):
    """Slices of both domains, each translated to the other domain (fake) and back again (cycled).

    All are ``(B, 1, H, W)``, but for ``painted``: whole stacks of fake target slices.
    """

    source: Tensor
    target: Tensor
    painted: Tensor
    fake_target: Tensor
    fake_source: Tensor
    cycled_source: Tensor
    cycled_target: Tensor


class Maps(NamedTuple):
    """Logits at full resolution, from the output and from the auxiliary head."""

    output: Tensor
    auxiliary: Tensor


class Sifa(Method):
    """Supervised learning on target-like source slices, with adversarial alignment of images and maps."""

    title = "SIFA"
    summary = "Aligns images and features together; segmenter and translator share an encoder."
    paper = "Chen et al., IEEE TMI 2020"

    class Config(MethodConfig, frozen=True):
        batch_size: Annotated[int, Meta(ge=1, le=256, description="labelled slices per step")] = 4
        generator_channels: Annotated[
            int, Meta(ge=4, le=128, description="channels in the first layer of the generator")
        ] = 16
        generator_blocks: Annotated[int, Meta(ge=1, le=12, description="residual blocks of the generator")] = 4
        generator_form: Annotated[
            Form,
            Meta(description="how images are changed; change: from none on, and not in air; sum: as in version 0.1"),
        ] = "change"
        generator_halvings: Annotated[
            int, Meta(ge=1, le=4, description="layers of the image discriminators that halve the size of an image")
        ] = 2
        gan_learning_rate: Annotated[
            float, Meta(gt=0, le=1, description="learning rate of all networks except the segmenter")
        ] = 4e-4
        cycle_weight: Annotated[float, Meta(ge=0, description="weight of the cycle-consistency loss")] = 10.0
        shared_weight: Annotated[
            float, Meta(ge=0, description="weight of the translation losses in the shared encoder")
        ] = 0.1
        maps_weight: Annotated[
            float, Meta(ge=0, description="weight of the adversarial loss on maps; a tenth of it at the auxiliary head")
        ] = 0.1
        origin_weight: Annotated[
            float, Meta(ge=0, description="weight of the adversarial loss between fake and cycled source images")
        ] = 0.1
        auxiliary_weight: Annotated[
            float, Meta(ge=0, description="weight of the segmentation loss at the auxiliary head")
        ] = 0.1

    settings: Config

    def build(self) -> None:
        s, classes = self.settings, self.task.n_classes
        self.auxiliary_head = auxiliary_head(s.base_channels, classes)
        self.add_optimizer("segmenter", [self.segmenter, self.auxiliary_head])
        rate, betas = s.gan_learning_rate, (0.5, 0.999)
        self.generator = Generator(s.generator_channels, s.generator_blocks, s.generator_form)
        self.add_optimizer("generator", [self.generator], lr=rate, betas=betas)
        self.decoder = ImageDecoder(s.base_channels * 2**LEVEL, form=s.generator_form)
        self.add_optimizer("decoder", [self.decoder], lr=rate, betas=betas)
        self.discriminators = nn.ModuleDict(
            {
                "target": self._image_discriminator(),
                "source": self._image_discriminator(),
                "origin": self._image_discriminator(),
                "maps": PatchDiscriminator(classes),
                "auxiliary": PatchDiscriminator(classes),
            }
        )
        self.add_optimizer("discriminators", [self.discriminators], lr=rate, betas=betas)

    def _image_discriminator(self) -> PatchDiscriminator:
        return PatchDiscriminator(1, self.settings.generator_channels, self.settings.generator_halvings)

    def training_step(self, batch: Batch, progress: float) -> Losses:
        s, d = self.settings, self.discriminators
        images = self.translate(batch.source_unlabelled, batch.target)
        with torch.no_grad():  # of the segmentation loss, the generator gets no gradient
            painted = self.generator(batch.source)
            source_maps = self.segment(self.appearance(images.painted))
        labelled_maps = self.segment(self.appearance(painted, batch.source_structures))
        target_maps = self.segment(self.appearance(batch.target))

        # Images: cycle consistency, and translated slices look like the other domain.
        cycle = cycle_loss(images.source, images.cycled_source) + cycle_loss(images.target, images.cycled_target)
        cycle = s.cycle_weight * cycle
        target_image = adversarial_loss(d["target"](images.fake_target))
        source_image = adversarial_loss(d["source"](images.fake_source))
        # Features: maps of target slices look like those of source slices, fake source slices like cycled ones.
        maps = adversarial_loss(d["maps"](target_maps.output))
        maps = maps + 0.1 * adversarial_loss(d["auxiliary"](target_maps.auxiliary))
        alignment = s.maps_weight * maps + s.origin_weight * adversarial_loss(d["origin"](images.fake_source))
        segmentation = 2 * segmentation_loss(labelled_maps.output, batch.source_labels)
        auxiliary = 2 * segmentation_loss(labelled_maps.auxiliary, batch.source_labels)
        segmentation = segmentation + s.auxiliary_weight * auxiliary

        self.minimize_together(
            {
                "generator": cycle + target_image,
                "decoder": cycle + source_image,
                "segmenter": segmentation + s.shared_weight * (cycle + source_image) + alignment,
            }
        )
        discrimination = self._discrimination(images, source_maps, target_maps)
        self.minimize(discrimination, "discriminators")
        self.update_teacher()
        return detached(segmentation=segmentation, cycle=cycle, alignment=alignment, discriminator=discrimination)

    def translate(self, source: Tensor, target: Tensor) -> Images:
        """Translate stacks of both domains to the other domain and back."""
        painted = self.generator(source)
        cycled_source, fake_source = self.to_source(painted), self.to_source(target)
        return Images(
            source=central(source),
            target=central(target),
            painted=painted,
            fake_target=central(painted),
            fake_source=fake_source,
            cycled_source=cycled_source,
            cycled_target=self.generator(fake_source),
        )

    def to_source(self, stacks: Tensor) -> Tensor:
        """Translate the central slices of target-like stacks to the source domain with the segmenter's encoder."""
        return self.decoder(self.segmenter.encode(stacks, LEVEL + 1)[LEVEL], central(stacks))

    def segment(self, images: Tensor) -> Maps:
        return Maps(*two_level_logits(self.segmenter, self.auxiliary_head, images))

    def _discrimination(self, images: Images, source: Maps, target: Maps) -> Tensor:
        """Return the loss of all discriminators; each pair is (real, fake)."""
        pairs = {
            "target": (images.target, images.fake_target),
            "source": (images.source, images.fake_source),
            "origin": (images.cycled_source, images.fake_source),
            "maps": (source.output, target.output),
            "auxiliary": (source.auxiliary, target.auxiliary),
        }
        return total(
            discriminator_loss(self.discriminators[name](real.detach()), self.discriminators[name](fake.detach()))
            for name, (real, fake) in pairs.items()
        )

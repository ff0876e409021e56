"""SIFA: image and feature alignment at once, around one encoder that segments and translates.

Chen et al., AAAI 2019 and IEEE TMI 2020. A generator makes source slices target-like; the segmenter learns from those.
The encoder of the segmenter, with a decoder of its own, also is the generator back to the source. Discriminators judge
images of either domain, the source-like images' origin (cycled or fake) and the maps of two depths.

    generator:   L_cyc + L_adv(target image)
    decoder:     L_cyc + L_adv(source image)
    segmenter:   L_seg(x_st, y_s) + 0.1 L_seg at the auxiliary head + 0.1 (L_cyc + L_adv(source image))
                 + 0.1 L_adv(maps) + 0.01 L_adv(auxiliary maps) + 0.1 L_adv(origin)

Our choice: the segmenter is the U-Net of all methods here, its encoder down to a quarter of the resolution serves the
decoder, and the auxiliary head sits on the last but one decoder block. Target slices are segmented as they are.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from torch import Tensor, nn
from torch.nn.functional import interpolate

from leuda_core.blocks.losses import adversarial_loss, cycle_loss, discriminator_loss, segmentation_loss
from leuda_core.config import MethodConfig
from leuda_core.methods.base import Losses, Method, detached
from leuda_core.networks.discriminators import PatchDiscriminator
from leuda_core.networks.generator import Generator, ImageDecoder
from leuda_core.types import Batch

LEVEL = 2  # of the encoder, at a quarter of the resolution: what the decoder of images starts from


class Sifa(Method):
    """Supervised learning on target-like source slices, with images and maps of both domains made alike."""

    title = "SIFA"
    summary = "Translates, segments and aligns at once; segmenter and translator share an encoder."
    paper = "Chen et al., IEEE TMI 2020"

    class Config(MethodConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        batch_size: Annotated[int, Meta(ge=1, le=256, description="labelled slices in one step")] = 4
        generator_channels: Annotated[int, Meta(ge=4, le=128, description="channels of its first layer")] = 16
        generator_blocks: Annotated[int, Meta(ge=1, le=12, description="residual blocks of the generator")] = 4
        gan_learning_rate: Annotated[float, Meta(gt=0, le=1, description="step size of all but the segmenter")] = 4e-4
        cycle_weight: Annotated[float, Meta(ge=0, description="weight of the cycle terms")] = 10.0
        shared_weight: Annotated[float, Meta(ge=0, description="weight of translation in the shared encoder")] = 0.1
        maps_weight: Annotated[float, Meta(ge=0, description="weight of alike maps; a tenth at the auxiliary head")] = (
            0.1
        )
        origin_weight: Annotated[float, Meta(ge=0, description="weight of alike fake and cycled source images")] = 0.1
        auxiliary_weight: Annotated[float, Meta(ge=0, description="weight of the auxiliary segmentation loss")] = 0.1

    def build(self) -> None:
        s, classes = self.settings, self.task.n_classes
        self.auxiliary_head = nn.Conv2d(2 * s.base_channels, classes, 1)
        self.add_optimizer("segmenter", [self.segmenter, self.auxiliary_head])
        rate, betas = s.gan_learning_rate, (0.5, 0.999)
        self.generator = Generator(s.generator_channels, s.generator_blocks)
        self.add_optimizer("generator", [self.generator], lr=rate, betas=betas)
        self.decoder = ImageDecoder(s.base_channels * 2**LEVEL)
        self.add_optimizer("decoder", [self.decoder], lr=rate, betas=betas)
        self.judges = nn.ModuleDict(
            {"target": PatchDiscriminator(), "source": PatchDiscriminator(), "origin": PatchDiscriminator(),
             "maps": PatchDiscriminator(classes), "auxiliary": PatchDiscriminator(classes)}
        )  # fmt: skip
        self.add_optimizer("judges", [self.judges], lr=rate, betas=betas)

    def training_step(self, batch: Batch, progress: float) -> Losses:
        s, j, source, target = self.settings, self.judges, batch.source, batch.target
        fake_target = self.generator(source)
        cycled_source, fake_source = self.draw_source(fake_target), self.draw_source(target)
        logits, auxiliary = self._maps(self.appearance(fake_target, batch.source_labels))
        target_logits, target_auxiliary = self._maps(self.appearance(target))
        cycle = cycle_loss(source, cycled_source) + cycle_loss(target, self.generator(fake_source))
        cycle = s.cycle_weight * cycle
        to_target, to_source = adversarial_loss(j["target"](fake_target)), adversarial_loss(j["source"](fake_source))
        maps = adversarial_loss(j["maps"](target_logits)) + 0.1 * adversarial_loss(j["auxiliary"](target_auxiliary))
        origin = adversarial_loss(j["origin"](fake_source))
        segmentation = segmentation_loss(logits, batch.source_labels)
        segmentation = segmentation + s.auxiliary_weight * segmentation_loss(auxiliary, batch.source_labels)
        alignment = s.maps_weight * maps + s.origin_weight * origin
        self.minimize_together(
            {
                "generator": cycle + to_target,
                "decoder": cycle + to_source,
                "segmenter": segmentation + s.shared_weight * (cycle + to_source) + alignment,
            }
        )
        judged = self._judge(
            {
                "target": (target, fake_target),
                "source": (source, fake_source),
                "origin": (cycled_source, fake_source),
                "maps": (logits, target_logits),
                "auxiliary": (auxiliary, target_auxiliary),
            }
        )
        self.minimize(judged, "judges")
        self.update_teacher()
        return detached(segmentation=segmentation, cycle=cycle, alignment=alignment, discriminator=judged)

    def draw_source(self, images: Tensor) -> Tensor:
        """Return target-like slices as source slices, by way of the segmenter's encoder."""
        return self.decoder(self.segmenter.encode(images, LEVEL + 1)[LEVEL], images)

    def _maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits at full resolution from the output and from the auxiliary head."""
        *_, coarse, fine = self.segmenter.features(images)
        auxiliary = interpolate(self.auxiliary_head(coarse), scale_factor=2, mode="bilinear")
        return self.segmenter.head(fine), auxiliary

    def _judge(self, pairs: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        """Return the loss of all discriminators, each with what is real to it and what is fake."""
        return sum(
            discriminator_loss(self.judges[name](real.detach()), self.judges[name](fake.detach()))
            for name, (real, fake) in pairs.items()
        )

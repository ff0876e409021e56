"""ADDA: an encoder for target slices is trained adversarially so that its features match those of source slices.

Tzeng et al., CVPR 2017, applied to the bottleneck of the segmenter. The network trained on the source is frozen and
provides the reference features; a copy of it is adapted.

    D:       1/2 [(D(e_s(x_s)) - 1)^2 + D(e_t(x_t))^2]
    adapted: w_adv (D(e_t(x_t)) - 1)^2 + w_anchor L_seg(f_t(x_s), y_s)

Our choice: least squares instead of cross entropy, and the anchor loss, without which features and classes drift
apart. ``anchor_weight`` 0 corresponds to the paper.
"""

from __future__ import annotations

from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from leuda_core.blocks.ema import averaged_copy, update_average
from leuda_core.blocks.losses import adversarial_loss, discriminator_loss, segmentation_loss
from leuda_core.config import MethodConfig
from leuda_core.methods.base import Losses, Method, Phase, detached
from leuda_core.networks.discriminators import FeatureDiscriminator
from leuda_core.types import Batch


class Adda(Method):
    """Supervised learning on source slices, then adversarial adaptation of the features of target slices."""

    title = "ADDA"
    summary = "Trains on the source, then adapts a copy so that target features match source features."
    paper = "Tzeng et al., CVPR 2017"

    class Config(MethodConfig, frozen=True):
        align_steps: Annotated[int, Meta(ge=1, description="training steps of the alignment")] = 400
        align_learning_rate: Annotated[
            float, Meta(gt=0, le=1, description="learning rate of the adapted network and the discriminator")
        ] = 1e-4
        adversarial_weight: Annotated[float, Meta(ge=0, description="weight of the adversarial loss on features")] = (
            0.05
        )
        anchor_weight: Annotated[
            float, Meta(ge=0, description="weight of the source segmentation loss during the alignment")
        ] = 1.0

    settings: Config
    alignments: Tensor

    def build(self) -> None:
        super().build()
        self.adapted = self.new_segmenter()
        self.average = averaged_copy(self.adapted)
        self.discriminator = FeatureDiscriminator(self.settings.base_channels * 16)
        rate = self.settings.align_learning_rate
        self.add_optimizer("adapted", [self.adapted], lr=rate)
        self.add_optimizer("discriminator", [self.discriminator], lr=rate)
        self.register_buffer("alignments", torch.zeros((), dtype=torch.long))

    def plan(self, steps: int) -> list[Phase]:
        align = Phase("align", self.settings.align_steps, self.alignment_step, self.start_from_source)
        return [*super().plan(steps), align]

    def start_from_source(self) -> None:
        """Initialise the adapted network with the weights trained on the source."""
        self.adapted.load_state_dict(self.teacher.state_dict())

    def alignment_step(self, batch: Batch, progress: float) -> Losses:
        # Both domains as they are, without dropout and from all slices: the discriminator shall see only the domain.
        with torch.no_grad():
            example = self.teacher.encode(batch.source_unlabelled)[-1]
        self.adapted.eval()
        features = self.adapted.encode(batch.target)[-1]
        self.adapted.train()

        s, adversarial = self.settings, adversarial_loss(self.discriminator(features))
        anchor = self._anchor(self.appearance(batch.source, batch.source_structures), batch.source_labels)
        self.minimize(s.adversarial_weight * adversarial + s.anchor_weight * anchor, "adapted")
        discrimination = discriminator_loss(self.discriminator(example), self.discriminator(features.detach()))
        self.minimize(discrimination, "discriminator")
        update_average(self.average, self.adapted, s.ema_decay, int(self.alignments))
        self.alignments += 1
        return detached(adversarial=adversarial, anchor=anchor, discriminator=discrimination)

    def _anchor(self, source: Tensor, labels: Tensor) -> Tensor:
        return segmentation_loss(self.adapted(source), labels)

    def final_weights(self) -> dict[str, Tensor]:
        return (self.average if self.alignments else self.teacher).state_dict()

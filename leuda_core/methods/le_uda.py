"""LE-UDA: MT-UDA with adversarial learning between the student and its teachers, at two depths of the decoder.

Zhao et al., IEEE TMI 2022. Discriminators, one per teacher and level, learn to distinguish the teacher's maps (real)
from the student's (fake), and the student learns to fool them.

    L = L_seg + w_intra L_intra + w_inter L_inter + ramp(t) sum over teachers k, levels m of v_m (D_k,m(map_m) - 1)^2

The levels are the class probabilities of the output (a) and of an auxiliary head on the second-to-last decoder block
(b). The code was never released: the levels follow the paper's figure; adversarial weights and discriminators are our
choice.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from leuda_core.blocks.ema import averaged_copy, update_average
from leuda_core.blocks.losses import (
    adversarial_loss,
    consistency_loss,
    discriminator_loss,
    segmentation_loss,
    structure_loss,
    total,
)
from leuda_core.blocks.schedules import delayed_ramp
from leuda_core.methods.base import Losses, detached
from leuda_core.methods.mean_teacher import with_noise
from leuda_core.methods.mt_uda import MtUda
from leuda_core.networks.discriminators import PatchDiscriminator
from leuda_core.networks.unet import auxiliary_head, two_level_logits
from leuda_core.types import STREAMS, Batch, Stream

Levels = Sequence[Tensor]
"""Maps at the output and at the auxiliary head, each ``(B, n_classes, H, W)``."""


class LeUda(MtUda):
    """MT-UDA with dual self-ensembling adversarial learning."""

    title = "LE-UDA"
    summary = "MT-UDA, plus discriminators that make the student's maps similar to those of its two teachers."
    paper = "Zhao et al., IEEE TMI 2022"

    class Config(MtUda.Config, frozen=True):
        adversarial_weight: Annotated[float, Meta(ge=0, description="weight of the adversarial loss at the output")] = (
            1e-3
        )
        auxiliary_adversarial_weight: Annotated[
            float, Meta(ge=0, description="weight of the adversarial loss at the auxiliary head")
        ] = 2e-4
        auxiliary_weight: Annotated[
            float, Meta(ge=0, description="weight of the segmentation loss at the auxiliary head")
        ] = 0.1

    settings: Config

    def build(self) -> None:
        super().build()
        self.auxiliary_head = auxiliary_head(self.settings.base_channels, self.task.n_classes)
        self.auxiliary_teacher = averaged_copy(self.auxiliary_head)
        self.add_optimizer("segmenter", [self.segmenter, self.auxiliary_head])
        self.intra_discriminators = self._new_discriminators()
        self.inter_discriminators = self._new_discriminators()
        both = [self.intra_discriminators, self.inter_discriminators]
        self.add_optimizer("map_discriminators", both, lr=1e-4, betas=(0.9, 0.99))

    def _new_discriminators(self) -> nn.ModuleList:
        """Return one discriminator per level."""
        return nn.ModuleList(PatchDiscriminator(self.task.n_classes) for _ in range(2))

    def streams(self, progress: float) -> Set[Stream]:
        return STREAMS  # the discriminators learn from the first step on

    def training_step(self, batch: Batch, progress: float) -> Losses:
        views, s = self.views(batch), self.settings
        images = torch.cat([self.appearance(views.labelled, views.structures), self.appearance(views.student)])
        maps = two_level_logits(self.segmenter, self.auxiliary_head, images)
        labelled, student = _split(maps, [len(views.labelled), len(views.student)])
        with torch.no_grad():
            shown = with_noise(torch.cat([views.intra, views.inter]))
            maps = two_level_logits(self.teacher, self.auxiliary_teacher, shown)
            intra, inter = _split(maps, [len(views.intra), len(views.inter)])
        student_intra = [views.intra_pairs(level) for level in student]
        student_inter, inter = zip(*map(views.inter_pairs, student, inter), strict=True)

        # The losses are means over batches of 2, 2 and 4 streams; the paper sums over the streams.
        segmentation = 2 * segmentation_loss(labelled[0], views.labels)
        auxiliary = 2 * segmentation_loss(labelled[1], views.labels)
        intra_consistency = 2 * consistency_loss(student_intra[0], intra[0])
        inter_consistency = 4 * structure_loss(student_inter[0], inter[0])
        adversarial_intra = self._adversarial(self.intra_discriminators, student_intra)
        adversarial = adversarial_intra + self._adversarial(self.inter_discriminators, student_inter)
        ramp = delayed_ramp(progress, s.ramp_start)
        teachers = s.intra_weight * intra_consistency + s.inter_weight * inter_consistency + adversarial
        self.minimize(segmentation + s.auxiliary_weight * auxiliary + ramp * teachers, "segmenter")

        discrimination = _discrimination(self.intra_discriminators, intra, student_intra)
        discrimination = discrimination + _discrimination(self.inter_discriminators, inter, student_inter)
        self.minimize(discrimination, "map_discriminators")
        self.update_teacher()
        return detached(
            segmentation=segmentation,
            intra=intra_consistency,
            inter=inter_consistency,
            adversarial=adversarial,
            discriminator=discrimination,
        )

    def _adversarial(self, discriminators: nn.ModuleList, student: Levels) -> Tensor:
        """Return the weighted adversarial loss of the student over all levels."""
        weights = (self.settings.adversarial_weight, self.settings.auxiliary_adversarial_weight)
        return total(
            weight * adversarial_loss(discriminator(logits.float().softmax(1)))
            for weight, discriminator, logits in zip(weights, discriminators, student, strict=True)
        )

    def update_teacher(self) -> None:
        update_average(self.auxiliary_teacher, self.auxiliary_head, self.settings.ema_decay, int(self.updates))
        super().update_teacher()


def _split(levels: Levels, sizes: list[int]) -> list[Levels]:
    """Split the batch of every level."""
    return list(zip(*(level.split(sizes) for level in levels), strict=True))


def _discrimination(discriminators: nn.ModuleList, teacher: Levels, student: Levels) -> Tensor:
    """Return the discriminators' loss: the teacher's maps are real, the student's are fake."""
    return total(
        discriminator_loss(discriminator(real.float().softmax(1)), discriminator(fake.detach().float().softmax(1)))
        for discriminator, real, fake in zip(discriminators, teacher, student, strict=True)
    )

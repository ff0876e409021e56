"""LE-UDA: MT-UDA whose student is also trained to be taken for its teachers, at two depths of the decoder.

Zhao et al., IEEE TMI 2022. Discriminators learn to tell the teacher's maps (real) from the student's (fake), one
family for each teacher, one discriminator for each level; the student learns to pass for the teacher.

    L = L_seg + w_intra L_intra + w_inter L_inter + ramp(t) sum over teachers k, levels m of v_m (D_k,m(map_m) - 1)^2

Levels are the class probabilities of the output (a) and of an auxiliary head on the last but one decoder block (b).
The code was never released: levels follow the paper's figure, adversarial weights and discriminators are our choice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn.functional import interpolate

from leuda_core.blocks.ema import averaged_copy, update_average
from leuda_core.blocks.losses import (
    adversarial_loss,
    consistency_loss,
    discriminator_loss,
    segmentation_loss,
    structure_loss,
)
from leuda_core.blocks.schedules import delayed_ramp
from leuda_core.methods.base import Losses, detached
from leuda_core.methods.mean_teacher import with_noise
from leuda_core.methods.mt_uda import MtUda
from leuda_core.networks.discriminators import PatchDiscriminator
from leuda_core.networks.unet import UNet
from leuda_core.types import Batch

Levels = tuple[Tensor, Tensor]


class LeUda(MtUda):
    """MT-UDA with dual self-ensembling adversarial learning."""

    title = "LE-UDA"
    summary = "MT-UDA plus discriminators that pull the student's maps towards those of its two teachers."
    paper = "Zhao et al., IEEE TMI 2022"

    class Config(MtUda.Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
        adversarial_weight: Annotated[
            float, Meta(ge=0, description="weight of passing for a teacher at the output")
        ] = 1e-3
        auxiliary_adversarial_weight: Annotated[
            float, Meta(ge=0, description="the same at the auxiliary head, one block earlier")
        ] = 2e-4
        auxiliary_weight: Annotated[
            float, Meta(ge=0, description="weight of the auxiliary head's segmentation loss")
        ] = 0.1

    def build(self) -> None:
        super().build()
        self.auxiliary_head = nn.Conv2d(2 * self.settings.base_channels, self.task.n_classes, 1)
        self.auxiliary_teacher = averaged_copy(self.auxiliary_head)
        self.add_optimizer("segmenter", [self.segmenter, self.auxiliary_head])
        self.intra_judges = self._judges()
        self.inter_judges = self._judges()
        self.add_optimizer("judges", [self.intra_judges, self.inter_judges], lr=1e-4, betas=(0.9, 0.99))

    def _judges(self) -> nn.ModuleList:
        return nn.ModuleList(PatchDiscriminator(self.task.n_classes) for _ in range(2))

    def training_step(self, batch: Batch, progress: float) -> Losses:
        views, s = self.views(batch), self.settings
        images = torch.cat([self.appearance(views.labelled, views.labels), self.appearance(views.student)])
        sizes = [len(views.labelled), len(views.student)]
        labelled, student = _split(_levels(self.segmenter, self.auxiliary_head, images), sizes)
        with torch.no_grad():
            shown = with_noise(torch.cat([views.intra, views.inter]))
            intra, inter = _split(
                _levels(self.teacher, self.auxiliary_teacher, shown), [len(views.intra), len(views.inter)]
            )
        faces_intra = tuple(map(views.intra_pairs, student))
        faces_inter, inter = zip(*map(views.inter_pairs, student, inter), strict=True)

        # The losses are means over a batch that joins 2, 2 and 4 streams; the paper sums over the streams.
        segmentation = 2 * segmentation_loss(labelled[0], views.labels)
        auxiliary = 2 * segmentation_loss(labelled[1], views.labels)
        intra_consistency = 2 * consistency_loss(faces_intra[0], intra[0])
        inter_consistency = 4 * structure_loss(faces_inter[0], inter[0])
        adversarial = self._adversarial(self.intra_judges, faces_intra) + self._adversarial(
            self.inter_judges, faces_inter
        )
        ramp = delayed_ramp(progress, s.ramp_start)
        teachers = s.intra_weight * intra_consistency + s.inter_weight * inter_consistency + adversarial
        self.minimize(segmentation + s.auxiliary_weight * auxiliary + ramp * teachers, "segmenter")

        judged = _judge(self.intra_judges, intra, faces_intra) + _judge(self.inter_judges, inter, faces_inter)
        self.minimize(judged, "judges")
        self.update_teacher()
        return detached(
            segmentation=segmentation,
            intra=intra_consistency,
            inter=inter_consistency,
            adversarial=adversarial,
            discriminator=judged,
        )

    def _adversarial(self, judges: nn.ModuleList, student: Levels) -> Tensor:
        weights = (self.settings.adversarial_weight, self.settings.auxiliary_adversarial_weight)
        return sum(
            weight * adversarial_loss(judge(logits.float().softmax(1)))
            for weight, judge, logits in zip(weights, judges, student, strict=True)
        )

    def update_teacher(self) -> None:
        update_average(self.auxiliary_teacher, self.auxiliary_head, self.settings.ema_decay, int(self.updates))
        super().update_teacher()


def _levels(network: UNet, auxiliary_head: nn.Module, images: Tensor) -> Levels:
    """Return logits at full resolution from the output and from the last but one decoder block."""
    *_, coarse, fine = network.features(images)
    auxiliary = interpolate(auxiliary_head(coarse), scale_factor=2, mode="bilinear")
    return network.head(fine), auxiliary


def _split(levels: Levels, sizes: list[int]) -> Iterable[Levels]:
    """Cut the batch of every level."""
    return zip(*(level.split(sizes) for level in levels), strict=True)


def _judge(judges: nn.ModuleList, teacher: Levels, student: Levels) -> Tensor:
    """Return the discriminators' loss: the teacher's maps are real, the student's fake."""
    return sum(
        discriminator_loss(judge(real.float().softmax(1)), judge(fake.detach().float().softmax(1)))
        for judge, real, fake in zip(judges, teacher, student, strict=True)
    )

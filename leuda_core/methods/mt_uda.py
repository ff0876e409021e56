"""MT-UDA: a student learns from two teachers, with images that a CycleGAN translates between the modalities.

Zhao et al., MICCAI 2021. The student only sees source-like slices. The intra-domain teacher also sees source-like
slices and transfers semantic knowledge (predictions must agree). The inter-domain teacher sees target-like slices and
transfers structural knowledge (self-information maps must agree). Target slices are translated to the source domain
before they are segmented.

    L = L_seg(x_s) + L_seg(x_sts) + w_intra(t) L_intra + w_inter(t) L_inter
    L_intra = sum over x in {x_s, x_ts} of          || f(x) - sg f'(x + noise) ||^2
    L_inter = sum over (a, b) of                    || I(f(a)) - sg I(f'(b + noise)) ||^2,   I(p) = p log2 p
              (a, b) in {(x_s, x_st), (x_sts, x_st), (x_ts, x_t), (x_ts, x_tst)}

Both teachers are moving averages of the student. In the released code they differ only in their batch-norm statistics.
The group norm used here has none, so one network serves as both teachers; they differ only in their inputs.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Annotated, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor

from leuda_core.blocks.losses import consistency_loss, segmentation_loss, structure_loss
from leuda_core.blocks.schedules import delayed_ramp
from leuda_core.blocks.stacks import central
from leuda_core.methods.base import Losses, detached
from leuda_core.methods.cyclegan import TranslatingMethod, TranslatorConfig
from leuda_core.methods.mean_teacher import with_noise
from leuda_core.types import STREAMS, Batch, Stream


class Views(NamedTuple):
    """The inputs of the student and the two teachers in one step, each slice once.

    ``student`` concatenates the streams x_s, x_ts and x_sts, ``intra`` x_s and x_ts, ``inter`` x_st, x_t and x_tst.
    ``sizes`` are the numbers of source and target slices.
    """

    labelled: Tensor
    structures: Tensor
    student: Tensor
    intra: Tensor
    inter: Tensor
    sizes: tuple[int, int]

    @property
    def labels(self) -> Tensor:
        """Class indices of the labelled slices, without their neighbours."""
        return central(self.structures).squeeze(1)

    def intra_pairs(self, student: Tensor) -> Tensor:
        """Return the student's maps in the order of the intra-domain teacher's."""
        return student[: sum(self.sizes)]

    def inter_pairs(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Return student and inter-domain teacher maps slice by slice: s-st, sts-st, ts-t, ts-tst."""
        n_s, n_t = self.sizes
        s, ts, sts = student.split([n_s, n_t, n_s])
        st, t, tst = teacher.split([n_s, n_t, n_t])
        return torch.cat([s, sts, ts, ts]), torch.cat([st, st, t, tst])


class MtUda(TranslatingMethod):
    """Supervised learning on original and cycled source slices, and consistency with two teachers."""

    title = "MT-UDA"
    summary = "Translates between the modalities and learns from two teachers, one for each side."
    paper = "Zhao et al., MICCAI 2021"

    class Config(TranslatorConfig, frozen=True):
        batch_size: Annotated[
            int,
            Meta(
                ge=1,
                le=256,
                description="labelled slices per step; each is also used after translation to the target and back",
            ),
        ] = 4
        intra_weight: Annotated[
            float, Meta(ge=0, description="weight of the consistency loss with the intra-domain teacher")
        ] = 1.0
        inter_weight: Annotated[
            float, Meta(ge=0, description="weight of the consistency loss with the inter-domain teacher")
        ] = 0.1
        ramp_start: Annotated[
            float, Meta(ge=0, le=1, description="fraction of the run before the teachers' losses start")
        ] = 0.2

    settings: Config

    def views(self, batch: Batch) -> Views:
        """Arrange the slices of the student and the teachers for one step."""
        x_t, labelled = batch.target, len(batch.source)
        streams = self.translator.streams(torch.cat([batch.source, batch.source_unlabelled]), x_t)
        x_s, x_st, x_sts = (
            batch.source_unlabelled,
            streams.source_to_target[labelled:],
            streams.source_cycled[labelled:],
        )
        x_ts, x_tst = streams.target_to_source, streams.target_cycled
        return Views(
            labelled=torch.cat([batch.source, streams.source_cycled[:labelled]]),
            structures=_twice(batch.source_structures),
            student=torch.cat([x_s, x_ts, x_sts]),
            intra=torch.cat([x_s, x_ts]),
            inter=torch.cat([x_st, x_t, x_tst]),
            sizes=(len(x_s), len(x_t)),
        )

    def streams(self, progress: float) -> Set[Stream]:
        return STREAMS if delayed_ramp(progress, self.settings.ramp_start) else {"source"}

    def training_step(self, batch: Batch, progress: float) -> Losses:
        ramp = delayed_ramp(progress, self.settings.ramp_start)
        if not ramp:
            return self.labelled_step(batch)
        views = self.views(batch)
        images = torch.cat([self.appearance(views.labelled, views.structures), self.appearance(views.student)])
        labelled_logits, student_logits = self.segmenter(images).split([len(views.labelled), len(views.student)])
        with torch.no_grad():
            shown = with_noise(torch.cat([views.intra, views.inter]))
            intra_logits, inter_logits = self.teacher(shown).split([len(views.intra), len(views.inter)])

        # The losses are means over batches of 2, 2 and 4 streams; the paper sums over the streams.
        segmentation = 2 * segmentation_loss(labelled_logits, views.labels)
        intra = 2 * consistency_loss(views.intra_pairs(student_logits), intra_logits)
        inter = 4 * structure_loss(*views.inter_pairs(student_logits, inter_logits))
        loss = segmentation + ramp * (self.settings.intra_weight * intra + self.settings.inter_weight * inter)
        self.minimize(loss, "segmenter")
        self.update_teacher()
        return detached(segmentation=segmentation, intra=intra, inter=inter)

    def labelled_step(self, batch: Batch) -> Losses:
        """Learn from the labelled slices alone, while nothing is learnt from the teachers."""
        with torch.no_grad():
            cycled = self.translator.to_source(self.translator.to_target(batch.source))
        structures = _twice(batch.source_structures)
        logits = self.segmenter(self.appearance(torch.cat([batch.source, cycled]), structures))
        segmentation = 2 * segmentation_loss(logits, central(structures).squeeze(1))
        self.minimize(segmentation, "segmenter")
        self.update_teacher()
        return detached(segmentation=segmentation)


def _twice(structures: Tensor) -> Tensor:
    """Return the class indices of slices as they are and of the same slices after both translations."""
    return torch.cat([structures, structures])

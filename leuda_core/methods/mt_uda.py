"""MT-UDA: one student between two teachers, over images that a CycleGAN made to bridge the modalities.

Zhao et al., MICCAI 2021. The student only ever sees source-looking slices. An intra-domain teacher sees the same
kind and transfers meaning (predictions agree); an inter-domain teacher sees target-looking ones and transfers
structure (self-information maps agree). A target slice is translated to the source before it is segmented.

    L = L_seg(x_s) + L_seg(x_sts) + w_intra(t) L_intra + w_inter(t) L_inter
    L_intra = sum over x in {x_s, x_ts} of          || f(x) - sg f'(x + noise) ||^2
    L_inter = sum over (a, b) of                    || I(f(a)) - sg I(f'(b + noise)) ||^2,   I(p) = p log2 p
              (a, b) in {(x_s, x_st), (x_sts, x_st), (x_ts, x_t), (x_ts, x_tst)}

Both teachers are moving averages of the one student. In the released code they differ by their batch-norm statistics
alone; the group norm used here has none, so one network plays both parts, told apart by what it is shown.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor

from leuda_core.blocks.losses import consistency_loss, segmentation_loss, structure_loss
from leuda_core.blocks.schedules import delayed_ramp
from leuda_core.methods.base import Losses, detached
from leuda_core.methods.cyclegan import TranslatingMethod, TranslatorConfig
from leuda_core.methods.mean_teacher import with_noise
from leuda_core.types import Batch


class Views(NamedTuple):
    """What the student and the two teachers are shown in one step, each slice once.

    ``student`` joins the streams x_s, x_ts and x_sts, ``inter`` joins x_st, x_t and x_tst, both of ``sizes``;
    ``intra`` joins x_s and x_ts.
    """

    labelled: Tensor
    labels: Tensor
    student: Tensor
    intra: Tensor
    inter: Tensor
    sizes: tuple[int, int]

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
    """Supervised on source and cycled source slices, consistent with an intra- and an inter-domain teacher."""

    title = "MT-UDA"
    summary = "Bridges the modalities by translation, and learns from two teachers, one on either side."
    paper = "Zhao et al., MICCAI 2021"

    class Config(TranslatorConfig, frozen=True):
        batch_size: Annotated[
            int, Meta(ge=1, le=256, description="labelled slices in one step, each also seen translated there and back")
        ] = 4
        intra_weight: Annotated[float, Meta(ge=0, description="weight of agreement with the intra-domain teacher")] = (
            1.0
        )
        inter_weight: Annotated[float, Meta(ge=0, description="weight of agreement with the inter-domain teacher")] = (
            0.1
        )
        ramp_start: Annotated[float, Meta(ge=0, le=1, description="share of the run without the teachers")] = 0.2

    settings: Config

    def views(self, batch: Batch) -> Views:
        """Lay out the student's and the teachers' slices of one step."""
        x_t, labelled = batch.target, len(batch.source)
        streams = self.translator.streams(torch.cat([batch.source, batch.source_unlabeled]), x_t)
        x_s, x_st, x_sts = batch.source_unlabeled, streams.source_to_target[labelled:], streams.source_cycled[labelled:]
        x_ts, x_tst = streams.target_to_source, streams.target_cycled
        return Views(
            labelled=torch.cat([batch.source, streams.source_cycled[:labelled]]),
            labels=torch.cat([batch.source_labels, batch.source_labels]),
            student=torch.cat([x_s, x_ts, x_sts]),
            intra=torch.cat([x_s, x_ts]),
            inter=torch.cat([x_st, x_t, x_tst]),
            sizes=(len(x_s), len(x_t)),
        )

    def training_step(self, batch: Batch, progress: float) -> Losses:
        views = self.views(batch)
        images = torch.cat([self.appearance(views.labelled, views.labels), self.appearance(views.student)])
        labelled_logits, student_logits = self.segmenter(images).split([len(views.labelled), len(views.student)])
        with torch.no_grad():
            shown = with_noise(torch.cat([views.intra, views.inter]))
            intra_logits, inter_logits = self.teacher(shown).split([len(views.intra), len(views.inter)])

        # The losses are means over a batch that joins 2, 2 and 4 streams; the paper sums over the streams.
        segmentation = 2 * segmentation_loss(labelled_logits, views.labels)
        intra = 2 * consistency_loss(views.intra_pairs(student_logits), intra_logits)
        inter = 4 * structure_loss(*views.inter_pairs(student_logits, inter_logits))
        ramp = delayed_ramp(progress, self.settings.ramp_start)
        loss = segmentation + ramp * (self.settings.intra_weight * intra + self.settings.inter_weight * inter)
        self.minimize(loss, "segmenter")
        self.update_teacher()
        return detached(segmentation=segmentation, intra=intra, inter=inter)

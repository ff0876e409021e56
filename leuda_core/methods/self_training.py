"""Self-training between two looks: a network's own confident answers teach it on slices that nobody labelled.

A combination of ours: a CycleGAN gives every slice a second look, that of the other domain; labelled slices are learnt
in either; and on unlabelled slices of both domains the student, shown one look in a random appearance, must give the
answer that its moving average gives to both looks as they are (mean teacher, Tarvainen and Valpola, NeurIPS 2017; from
weak to strong and where it is confident, as in FixMatch, Sohn et al., NeurIPS 2020).

    L = L_seg(f(a(look(x_s))), y_s) + w(t) L_pseudo(f(a(look(x_u))), p),   p = sg mean over both looks of f'(x_u)

``look`` picks one of the two at random, ``a`` is the random appearance. A target slice is translated to the source
before it is segmented.
"""

from __future__ import annotations

from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from leuda_core.blocks.losses import pseudo_label_loss, segmentation_loss
from leuda_core.blocks.schedules import delayed_ramp
from leuda_core.methods.base import Losses, detached
from leuda_core.methods.cyclegan import TranslatingMethod, TranslatorConfig
from leuda_core.types import Batch


class SelfTraining(TranslatingMethod):
    """Supervised on labelled slices in both looks, self-trained on unlabelled slices of both domains."""

    title = "Self-training between two looks"
    summary = "Shows every slice in the looks of both modalities, and learns from its own confident answers."
    paper = "our combination of CycleGAN, mean teacher and FixMatch"

    default_steps = 1500  # what it gains over plain random contrasts comes late

    class Config(TranslatorConfig, frozen=True):
        pseudo_label_weight: Annotated[float, Meta(ge=0, description="weight of the network's own answers")] = 1.0
        confidence: Annotated[
            float, Meta(ge=0, lt=1, description="probability above which an answer is learnt from")
        ] = 0.7
        ramp_start: Annotated[float, Meta(ge=0, le=1, description="share of the run without own answers")] = 0.2

    settings: Config

    def training_step(self, batch: Batch, progress: float) -> Losses:
        labels, count = batch.source_labels, len(batch.source)
        with torch.no_grad():
            painted = self.translator.to_target(batch.source)
        shown = [self.appearance(one_of(batch.source, painted), labels)]
        weight = self.settings.pseudo_label_weight * delayed_ramp(progress, self.settings.ramp_start)
        if weight:
            looks = self.looks(batch.source_unlabeled, batch.target)
            with torch.no_grad():
                answer = self.teacher(torch.cat(looks)).float().softmax(1).unflatten(0, (len(looks), -1)).mean(0)
            shown.append(self.appearance(one_of(looks[0], looks[-1])))
        logits = self.segmenter(torch.cat(shown))

        segmentation = segmentation_loss(logits[:count], labels)
        own = pseudo_label_loss(logits[count:], answer, self.settings.confidence) if weight else logits.new_zeros(())
        self.minimize(segmentation + weight * own, "segmenter")
        self.update_teacher()
        return detached(segmentation=segmentation, own=own)

    @torch.no_grad()
    def looks(self, source: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        """Return slices of both domains as they are and, with a translator, each translated to the other domain."""
        plain = torch.cat([source, target])
        if not self.translates:
            return (plain,)
        return plain, torch.cat([self.translator.to_target(source), self.translator.to_source(target)])


def one_of(first: Tensor, second: Tensor) -> Tensor:
    """Pick one of the two looks of each slice at random."""
    return torch.where(torch.rand(len(first), 1, 1, 1, device=first.device) < 0.5, first, second)

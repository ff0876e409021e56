"""Self-training between two looks: confident pseudo-labels, on unlabelled slices in the appearances of both domains.

Our combination of known methods. A CycleGAN translates every slice to the other domain, so that each slice has two
looks: the original and the translation. On labelled slices, the student learns from either look. On unlabelled slices
of both domains, the teacher (the student's moving average) predicts pseudo-labels from both looks without augmentation,
and the student learns them from one look with a random appearance (mean teacher, Tarvainen and Valpola, NeurIPS 2017;
weak to strong augmentation and a confidence threshold as in FixMatch, Sohn et al., NeurIPS 2020).

    L = L_seg(f(a(look(x_s))), y_s) + w(t) L_pseudo(f(a(look(x_u))), p),   p = sg mean over both looks of f'(x_u)

``look`` picks one of the two looks at random, ``a`` is the random appearance. Target slices are translated to the
source domain before they are segmented.
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
    """Supervised learning on labelled slices in both looks, and self-training on unlabelled slices of both domains."""

    title = "Self-training between two looks"
    summary = "Uses every slice in the appearance of both modalities and learns from its own confident pseudo-labels."
    paper = "our combination of CycleGAN, mean teacher and FixMatch"

    default_steps = 1500  # its gain over random contrasts alone comes late

    class Config(TranslatorConfig, frozen=True):
        pseudo_label_weight: Annotated[float, Meta(ge=0, description="weight of the pseudo-label loss")] = 1.0
        confidence: Annotated[float, Meta(ge=0, lt=1, description="minimum probability of a pseudo-label")] = 0.7
        ramp_start: Annotated[float, Meta(ge=0, le=1, description="fraction of the run before pseudo-labels start")] = (
            0.2
        )

    settings: Config

    def training_step(self, batch: Batch, progress: float) -> Losses:
        labels, count = batch.source_labels, len(batch.source)
        with torch.no_grad():
            painted = self.translator.to_target(batch.source)
        shown = [self.appearance(one_of(batch.source, painted), batch.source_structures)]
        weight = self.settings.pseudo_label_weight * delayed_ramp(progress, self.settings.ramp_start)
        if weight:
            looks = self.looks(batch.source_unlabelled, batch.target)
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
        """Return slices of both domains and, with a translator, the same slices translated to the other domain."""
        plain = torch.cat([source, target])
        if not self.translates:
            return (plain,)
        return plain, torch.cat([self.translator.to_target(source), self.translator.to_source(target)])


def one_of(first: Tensor, second: Tensor) -> Tensor:
    """Pick one of the two looks of each slice at random."""
    return torch.where(torch.rand(len(first), 1, 1, 1, device=first.device) < 0.5, first, second)

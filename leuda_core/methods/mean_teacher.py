"""Mean teacher: on unlabelled slices, the student must agree with the teacher, its own moving average.

Tarvainen and Valpola, NeurIPS 2017, in the form for segmentation (Yu et al., MICCAI 2019). Unlabelled slices of both
domains are used without translation.

    L = L_seg(f(x_s), y_s) + w(t) || f(x_u) - sg f'(x_u + noise) ||^2,   f' the moving average of f
"""

from __future__ import annotations

from collections.abc import Set
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from leuda_core.blocks.losses import consistency_loss, segmentation_loss
from leuda_core.blocks.schedules import delayed_ramp
from leuda_core.config import MethodConfig
from leuda_core.methods.base import Losses, Method, detached
from leuda_core.types import STREAMS, Batch, Stream


def with_noise(images: Tensor) -> Tensor:
    """Add Gaussian noise with standard deviation 0.1, clipped at 0.2, as the released codes do for their teachers."""
    return images + (0.1 * torch.randn_like(images)).clamp(-0.2, 0.2)


class MeanTeacher(Method):
    """Supervised learning on source slices, and consistency with the teacher on unlabelled slices of both domains."""

    title = "Mean teacher"
    summary = "Learns from labelled source slices and, on unlabelled ones, from agreement with its moving average."
    paper = "Tarvainen and Valpola, NeurIPS 2017"

    class Config(MethodConfig, frozen=True):
        consistency_weight: Annotated[float, Meta(ge=0, description="weight of the consistency loss")] = 1.0
        ramp_start: Annotated[
            float, Meta(ge=0, le=1, description="fraction of the run before the consistency loss starts")
        ] = 0.2

    settings: Config

    def streams(self, progress: float) -> Set[Stream]:
        return STREAMS if self.weight(progress) else {"source"}

    def training_step(self, batch: Batch, progress: float) -> Losses:
        weight = self.weight(progress)
        if not weight:
            return self.supervised_step(batch.source, batch.source_structures)
        unlabelled = torch.cat([batch.source_unlabelled, batch.target])
        images = torch.cat([self.appearance(batch.source, batch.source_structures), self.appearance(unlabelled)])
        labelled_logits, unlabelled_logits = self.segmenter(images).split([len(batch.source), len(unlabelled)])
        with torch.no_grad():
            teacher_logits = self.teacher(with_noise(unlabelled))

        segmentation = segmentation_loss(labelled_logits, batch.source_labels)
        consistency = consistency_loss(unlabelled_logits, teacher_logits)
        self.minimize(segmentation + weight * consistency, "segmenter")
        self.update_teacher()
        return detached(segmentation=segmentation, consistency=consistency)

    def weight(self, progress: float) -> float:
        """Return the weight of the consistency loss; while it is 0, unlabelled slices are not computed."""
        return self.settings.consistency_weight * delayed_ramp(progress, self.settings.ramp_start)

"""Histogram matching: labelled source slices get the grey-value distribution of random target slices.

A classical way to make images of one scanner look like those of another, and the control for learned translators.
"""

from __future__ import annotations

import torch
from skimage.exposure import match_histograms
from torch import Tensor

from leuda_core.methods.base import Losses, Method
from leuda_core.types import Batch


def match_slices(images: Tensor, references: Tensor) -> Tensor:
    """Match the histogram of each stack to the reference at the same index; references repeat if there are fewer.

    Shape:
        images: ``(B, C, H, W)``; references: ``(R, C, H, W)``; result: as ``images``.
    """
    matched = [
        torch.from_numpy(match_histograms(image.numpy(), references[i % len(references)].cpu().numpy()))
        for i, image in enumerate(images.cpu())
    ]
    return torch.stack(matched).to(images)


class HistogramMatching(Method):
    """Supervised learning on source slices with target histograms."""

    title = "Histogram matching"
    summary = "Learns from labelled source slices with the grey-value histograms of target slices."
    paper = "classical; Nyul et al., IEEE TMI 2000, for MR"

    def training_step(self, batch: Batch, progress: float) -> Losses:
        order = torch.randperm(len(batch.target))
        return self.supervised_step(match_slices(batch.source, batch.target[order]), batch.source_structures)

"""Histogram matching: labelled source slices take the grey-value distribution of random target slices.

The oldest way to make one scanner look like another, and the control that a learned translator must beat.
"""

from __future__ import annotations

import torch
from skimage.exposure import match_histograms
from torch import Tensor

from leuda_core.methods.base import Losses, Method
from leuda_core.types import Batch


def match_slices(images: Tensor, references: Tensor) -> Tensor:
    """Give each slice the histogram of the reference at its position; references repeat if there are fewer.

    Shape:
        images: ``(B, 1, H, W)``; references: ``(R, 1, H, W)``; result like ``images``.
    """
    matched = [
        torch.from_numpy(match_histograms(image.numpy(), references[i % len(references)].cpu().numpy()))
        for i, image in enumerate(images.cpu())
    ]
    return torch.stack(matched).to(images)


class HistogramMatching(Method):
    """Supervised learning on source slices with target histograms."""

    title = "Histogram matching"
    summary = "Learns from labelled source slices that borrow the grey values of target slices."
    paper = "classical; Nyul et al., IEEE TMI 2000, for MR"

    def training_step(self, batch: Batch, progress: float) -> Losses:
        order = torch.randperm(len(batch.target))
        return self.supervised_step(match_slices(batch.source, batch.target[order]), batch.source_labels)

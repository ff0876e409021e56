"""Histogram matching: labelled source slices get the grey-value distribution of random target slices.

A classical way to make images of one scanner look like those of another, and the control for learned translators.
"""

from __future__ import annotations

from collections.abc import Set
from itertools import cycle

import torch
from skimage.exposure import match_histograms
from torch import Tensor

from leuda_core.methods.base import Losses, Method
from leuda_core.types import Batch, Stream


def match_slices(images: Tensor, references: Tensor) -> Tensor:
    """Match the histogram of each stack to the reference at the same index; references repeat if there are fewer.

    Only what is not black counts: how much padding and air a view shows depends on where it lies.

    Shape:
        images: ``(B, C, H, W)`` in [-1, 1]; references: ``(R, C, H, W)``; result: as ``images``.
    """
    matched = images.cpu().clone()
    for image, reference in zip(matched, cycle(references.cpu()), strict=False):
        shown, wanted = image > -1, reference > -1
        if shown.any() and wanted.any():
            image[shown] = torch.from_numpy(match_histograms(image[shown].numpy(), reference[wanted].numpy())).float()
    return matched.to(images)


class HistogramMatching(Method):
    """Supervised learning on source slices with target histograms."""

    title = "Histogram matching"
    summary = "Learns from labelled source slices with the grey-value histograms of target slices."
    paper = "classical; Nyul et al., IEEE TMI 2000, for MR"

    def streams(self, progress: float) -> Set[Stream]:
        return {"source", "target"}

    def training_step(self, batch: Batch, progress: float) -> Losses:
        order = torch.randperm(len(batch.target))
        return self.supervised_step(match_slices(batch.source, batch.target[order]), batch.source_structures)

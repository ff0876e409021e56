"""Supervised on the target: the upper bound, and the only method that may read target labels."""

from __future__ import annotations

from collections.abc import Set

from leuda_core.methods.base import Losses, Method
from leuda_core.types import Batch, Stream


class TargetSupervised(Method):
    """Supervised learning on labelled target slices."""

    title = "Supervised on the target"
    summary = "Learns from labelled target slices; the upper bound for adaptation methods."
    paper = "U-Net, Ronneberger et al., MICCAI 2015"
    reads_target_labels = True

    def streams(self, progress: float) -> Set[Stream]:
        return {"target"}

    def training_step(self, batch: Batch, progress: float) -> Losses:
        return self.supervised_step(batch.target, batch.target_structures)

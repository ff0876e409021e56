"""AdaBN: after training on the source, the statistics of batch norm are re-estimated on target slices.

Li et al., Pattern Recognition 2018. The weights do not change. It is the control for methods whose networks process
target slices in training mode, which has the same effect.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
from msgspec import Meta

from leuda_core.config import MethodConfig
from leuda_core.methods.base import Losses, Method, Phase, detached
from leuda_core.networks.predictor import PredictorSpec
from leuda_core.networks.unet import batch_norms
from leuda_core.types import Batch


class AdaBn(Method):
    """Supervised learning on source slices with batch norm, then statistics of the target."""

    title = "AdaBN"
    summary = "Learns from labelled source slices, then re-estimates the statistics of batch norm on target slices."
    paper = "Li et al., Pattern Recognition 2018"

    class Config(MethodConfig, frozen=True):
        statistics_steps: Annotated[
            int,
            Meta(ge=0, description="batches of target slices used for the estimate; 0: keep the source's statistics"),
        ] = 50

    fixed_steps = frozenset({"statistics_steps"})  # a mean; more slices do not change it

    settings: Config

    def predictor_spec(self) -> PredictorSpec:
        return msgspec.structs.replace(super().predictor_spec(), norm="batch")

    def plan(self, steps: int) -> list[Phase]:
        adapt = Phase("statistics", self.settings.statistics_steps, self.statistics_step, self.forget_statistics)
        return [*super().plan(steps), adapt]

    def forget_statistics(self) -> None:
        """Discard the statistics of the source."""
        for norm in batch_norms(self.teacher):
            norm.reset_running_stats()

    @torch.no_grad()
    def statistics_step(self, batch: Batch, progress: float) -> Losses:
        """Add a batch of target slices to the statistics; all batches have equal weight."""
        norms = batch_norms(self.teacher)
        for norm in norms:
            norm.momentum = None  # the mean over all batches instead of a moving average
            norm.train()
        probabilities = self.teacher(batch.upright_target).float().softmax(1)
        for norm in norms:
            norm.eval()
        entropy = -(probabilities * probabilities.clamp(min=1e-8).log()).sum(1).mean()
        return detached(target_entropy=entropy)

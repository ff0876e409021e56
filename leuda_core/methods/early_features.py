"""Self-training of early features: the first layers are adapted to the target with the network's own final output.

Sheikh and Schultz, MIDL 2022. After training on the source, a small head learns to segment from the features of the
first layers. These layers are then refined on target slices so that the head agrees with the final output of the
network; everything else is frozen.

    phase train:   L_seg(f(x_s), y_s)
    phase head:    L_seg(h(e(x_s)), y_s),              f frozen
    phase refine:  - mean p log h(e(x_t)),  p = softmax f(x_t),   e trained, h and the rest of f frozen

As in the released code, gradients also flow through the pseudo-labels ``p``, and the statistics of batch norm adapt to
the target slices, which by itself is AdaBN; ``norm=group`` and ``adapt_statistics=false`` separate the two effects. Our
choice: a fixed number of refinement steps; the released code stops when head and output agree about as much as one
epoch earlier. The method was designed for a shift between scanners: if the early head cannot match the output on the
target, refinement does not help.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn.functional import interpolate

from leuda_core.blocks.losses import segmentation_loss
from leuda_core.config import MethodConfig
from leuda_core.methods.base import Losses, Method, Phase, detached
from leuda_core.networks.predictor import PredictorSpec
from leuda_core.networks.unet import Norm, batch_norms
from leuda_core.types import Batch


class EarlyFeatures(Method):
    """Supervised learning on source slices, then self-training of the first layers on target slices."""

    title = "Self-training of early features"
    summary = "Refines the first layers on target slices so that an early head agrees with the final output."
    paper = "Sheikh and Schultz, MIDL 2022"

    class Config(MethodConfig, frozen=True):
        head_steps: Annotated[int, Meta(ge=1, description="training steps of the early head")] = 200
        refine_steps: Annotated[int, Meta(ge=1, description="refinement steps on target slices")] = 200
        refine_learning_rate: Annotated[float, Meta(gt=0, le=1, description="learning rate of the refinement")] = 1e-3
        level: Annotated[int, Meta(ge=0, le=1, description="0: refine the first level; 1: also the second")] = 0
        detach: Annotated[bool, Meta(description="stop gradients at the pseudo-labels")] = False
        norm: Annotated[Norm, Meta(description="normalisation of the segmenter: batch (as in the paper) or group")] = (
            "batch"
        )
        adapt_statistics: Annotated[
            bool, Meta(description="with batch norm: adapt its statistics to the target during the refinement")
        ] = True

    fixed_steps = frozenset({"refine_steps"})  # the released code stops early; longer refinement loses structures

    settings: Config
    refinements: Tensor

    def predictor_spec(self) -> PredictorSpec:
        return msgspec.structs.replace(super().predictor_spec(), norm=self.settings.norm)

    def build(self) -> None:
        super().build()
        s = self.settings
        self.head = early_head(s.base_channels * 2**s.level, self.task.n_classes)
        self.add_optimizer("head", [self.head])
        self.adapted = self.new_segmenter().eval()
        self.add_optimizer("early", [self.adapted.down[: s.level + 1]], lr=s.refine_learning_rate)
        self.register_buffer("refinements", torch.zeros((), dtype=torch.long))

    def train(self, mode: bool = True) -> EarlyFeatures:
        """Switch all networks except the adapted one, which has no dropout; refinement switches its statistics."""
        super().train(mode)
        self.adapted.eval()
        return self

    def plan(self, steps: int) -> list[Phase]:
        head = Phase("head", self.settings.head_steps, self.head_step)
        refine = Phase("refine", self.settings.refine_steps, self.refinement_step, self.start_from_source)
        return [*super().plan(steps), head, refine]

    def start_from_source(self) -> None:
        """Initialise the adapted network with the weights trained on the source."""
        self.adapted.load_state_dict(self.teacher.state_dict())

    def head_step(self, batch: Batch, progress: float) -> Losses:
        """Train the head to segment source slices from their early features."""
        with torch.no_grad():
            encoded = self.teacher.encode(self.appearance(batch.source, batch.source_structures))
        loss = segmentation_loss(self._early_logits(encoded), batch.source_labels)
        self.minimize(loss, "head")
        return detached(early_segmentation=loss)

    def refinement_step(self, batch: Batch, progress: float) -> Losses:
        """Update the early layers so that the early head agrees with the final output."""
        for norm in batch_norms(self.adapted):
            norm.train(self.settings.adapt_statistics)
        encoded = self.adapted.encode(batch.upright_target)
        final = self.adapted.head(self.adapted.decode(encoded)[-1])
        loss = agreement_loss(self._early_logits(encoded), final.detach() if self.settings.detach else final)
        self.minimize(loss, "early")
        self.adapted.eval()
        self.refinements += 1
        return detached(agreement=loss)

    def _early_logits(self, encoded: list[Tensor]) -> Tensor:
        logits = self.head(encoded[self.settings.level])
        return interpolate(logits, encoded[0].shape[-2:], mode="bilinear") if self.settings.level else logits

    def final_weights(self) -> dict[str, Tensor]:
        return (self.adapted if self.refinements else self.teacher).state_dict()


def early_head(in_channels: int, n_classes: int) -> nn.Sequential:
    """Return the small head: three 3x3 convolutions with ReLU between them."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 12, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(12, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, n_classes, 3, padding=1),
    )


def agreement_loss(early_logits: Tensor, final_logits: Tensor) -> Tensor:
    """Cross entropy of the early prediction, with the final one as soft label; mean over pixels and classes."""
    return -(early_logits.float().log_softmax(1) * final_logits.float().softmax(1)).mean()

"""VoxelMorph as augmentation: labelled slices are registered to unlabelled ones, and their labels are warped with them.

Balakrishnan et al., IEEE TMI 2019: a network learns to register slices without labels. Here, as in the comparison of
Meta-Hallucinator (Zhao et al., MICCAI 2022), it generates more labelled slices, with the anatomy of unlabelled
patients.

    phase register: - NCC(x_s o (id + u), x_u) + w |grad u|^2,   u = r(x_s, x_u)
    phase train:    L_seg on (x_s, y_s) and on (x_s o (id + u), y_s o (id + u))

How that comparison paired slices is not published. Our choice: each labelled slice is paired with the slice of the
batch, from both domains, with which it correlates most, by a similarity that does not depend on contrast.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor

from leuda_core.blocks.stacks import central
from leuda_core.blocks.warp import correlation_loss, most_alike, smoothness_loss, warp, warp_labels
from leuda_core.config import MethodConfig
from leuda_core.methods.base import Losses, Method, Phase, detached
from leuda_core.networks.registration import FlowNet
from leuda_core.types import Batch


class VoxelMorph(Method):
    """Supervised learning on source slices, and on the same slices warped to unlabelled ones."""

    title = "VoxelMorph"
    summary = "Registers labelled slices to unlabelled ones and also learns from the warped slices and labels."
    paper = "Balakrishnan et al., IEEE TMI 2019"

    class Config(MethodConfig, frozen=True):
        registration_steps: Annotated[int, Meta(ge=0, description="training steps of the registration")] = 500
        registration_learning_rate: Annotated[
            float, Meta(gt=0, le=1, description="learning rate of the registration")
        ] = 1e-3
        smoothness_weight: Annotated[
            float, Meta(ge=0, description="weight of the smoothness loss of displacements")
        ] = 1.0
        references: Annotated[
            Literal["both", "source", "target"], Meta(description="domain of the slices to register to")
        ] = "both"

    settings: Config

    def build(self) -> None:
        super().build()
        self.registration = FlowNet()
        self.add_optimizer("registration", [self.registration], lr=self.settings.registration_learning_rate)

    def plan(self, steps: int) -> list[Phase]:
        return [Phase("register", self.settings.registration_steps, self.registration_step), *super().plan(steps)]

    def registration_step(self, batch: Batch, progress: float) -> Losses:
        moving, fixed = self._pairs(batch)
        displacement, _ = self.registration(moving, fixed)
        similarity = correlation_loss(warp(moving, displacement), fixed)
        smoothness = smoothness_loss(displacement)
        self.minimize(similarity + self.settings.smoothness_weight * smoothness, "registration")
        return detached(similarity=similarity, smoothness=smoothness)

    def training_step(self, batch: Batch, progress: float) -> Losses:
        with torch.no_grad():
            displacement, _ = self.registration(*self._pairs(batch))
        images = torch.cat([batch.source, warp(batch.source, displacement)])
        structures = torch.cat([batch.source_structures, warp_labels(batch.source_structures, displacement)])
        return self.supervised_step(images, structures)

    def _pairs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return labelled slices and the unlabelled slices they are registered to.

        Of both domains, unless most source slices are labelled: these show no other anatomy than the moving ones.
        """
        domains = {"source": [batch.source_unlabelled], "target": [batch.target]}
        both = [batch.target] if batch.source_is_labelled else [batch.source_unlabelled, batch.target]
        chosen = domains.get(self.settings.references, both)
        moving = central(batch.source)
        return moving, most_alike(moving, central(torch.cat(chosen)))

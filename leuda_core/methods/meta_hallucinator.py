"""Meta-Hallucinator: a network learns to deform slices so that a segmenter trained on them generalises better.

Zhao et al., MICCAI 2022. Hallucinator and segmenter are trained together in episodes: a simulated step on meta-train
volumes should reduce the loss on other, meta-test volumes; gradients are computed through that step.

    meta-train  J_1 = L_seg(x, y) + L_seg(H(x, r)) + w_trans L_trans                       at (psi, theta)
    inner step  (psi', theta') = (psi, theta) - (a grad_psi, b grad_theta) J_1
    meta-test   J_2 = the same at (psi', theta') + w_con(t) || f'(H(x_u)) - W(teacher(x_u)) ||^2
    outer       Adam on J_1 + J_2

H(x, r) warps x towards a reference r of either domain; W is only its warp. L_trans consists of similarity to r and
smoothness. The code was never released: the form of the hallucinator (spatial, or image and spatial by a setting),
L_trans, step sizes and weights are our choice, such that every arrow in the paper's figure is implemented.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor
from torch.func import functional_call

from leuda_core.blocks.losses import segmentation_loss
from leuda_core.blocks.schedules import delayed_ramp
from leuda_core.blocks.stacks import central
from leuda_core.blocks.warp import correlation_loss, inside, smoothness_loss, warp, warp_labels
from leuda_core.config import MethodConfig
from leuda_core.methods.base import Losses, Method, detached
from leuda_core.networks.registration import FlowNet
from leuda_core.types import Batch

Weights = dict[str, Tensor]


class Half(NamedTuple):
    """One half of an episode: labelled source slices, and unlabelled slices of both domains."""

    images: Tensor
    structures: Tensor
    unlabelled: Tensor


class MetaHallucinator(Method):
    """Supervised learning on original and hallucinated slices, in episodes that simulate the domain shift."""

    title = "Meta-Hallucinator"
    summary = "Learns to deform slices so that training on some volumes generalises to others."
    paper = "Zhao et al., MICCAI 2022"
    draws_episodes = True

    class Config(MethodConfig, frozen=True):
        hallucination: Annotated[
            Literal["spatial", "image-and-spatial"],
            Meta(description="what the hallucinator changes: shape, or intensities and shape"),
        ] = "spatial"
        meta: Annotated[bool, Meta(description="train with an inner step; off: train jointly on both halves")] = True
        second_order: Annotated[bool, Meta(description="compute gradients through the gradient of the inner step")] = (
            True
        )
        inner_rate: Annotated[
            float, Meta(gt=0, le=1, description="learning rate of the inner step, for both networks")
        ] = 1e-2
        transformation_weight: Annotated[float, Meta(ge=0, description="weight of the hallucinator's loss")] = 1.0
        smoothness_weight: Annotated[
            float, Meta(ge=0, description="weight of the smoothness loss within the hallucinator's loss")
        ] = 1.0
        intensity_weight: Annotated[
            float, Meta(ge=0, description="weight of the loss on intensity changes within the hallucinator's loss")
        ] = 0.1
        consistency_weight: Annotated[
            float, Meta(ge=0, description="weight of the consistency loss with the teacher")
        ] = 1.0

    settings: Config

    def build(self) -> None:
        self.hallucinator = FlowNet(intensity=self.settings.hallucination == "image-and-spatial")
        self.add_optimizer("segmenter", [self.segmenter, self.hallucinator])

    def training_step(self, batch: Batch, progress: float) -> Losses:
        train, test = _halves(batch)
        theta: Weights = dict(self.segmenter.named_parameters())
        psi: Weights = dict(self.hallucinator.named_parameters())
        first = self._supervised(train, theta, psi)
        stepped = self._inner_step(first, theta, psi) if self.settings.meta else (theta, psi)
        second = self._supervised(test, *stepped)
        consistency = self._consistency(test, *stepped)
        weight = self.settings.consistency_weight * delayed_ramp(progress, 0.0)
        self.minimize(first + second + weight * consistency, "segmenter")
        self.update_teacher()
        return detached(meta_train=first, meta_test=second, consistency=consistency)

    def _supervised(self, half: Half, theta: Weights, psi: Weights) -> Tensor:
        """Return the segmentation loss on original and hallucinated slices plus the transformation loss."""
        s, references = self.settings, _shuffled_to(central(half.unlabelled), len(half.images))
        hallucinated, displacement, change = self._hallucinate(half.images, references, psi)
        moved = warp_labels(half.structures, displacement)
        images = torch.cat([self.appearance(half.images, half.structures), self.appearance(hallucinated, moved)])
        logits, moved_logits = functional_call(self.segmenter, theta, images).chunk(2)
        labels, moved_labels = (central(structures).squeeze(1) for structures in (half.structures, moved))
        loss = segmentation_loss(logits, labels) + segmentation_loss(moved_logits, moved_labels)
        bounds = s.smoothness_weight * smoothness_loss(displacement) + s.intensity_weight * change.abs().mean()
        return loss + s.transformation_weight * (correlation_loss(central(hallucinated), references) + bounds)

    def _inner_step(self, loss: Tensor, theta: Weights, psi: Weights) -> tuple[Weights, Weights]:
        """Return the weights of both networks after one gradient step, differentiable in the current weights."""
        both = [*theta.values(), *psi.values()]
        create_graph = self.settings.second_order
        used = torch.autograd.grad(loss, both, create_graph=create_graph, retain_graph=True)
        moved = [weight - self.settings.inner_rate * gradient for weight, gradient in zip(both, used, strict=True)]
        return dict(zip(theta, moved, strict=False)), dict(zip(psi, moved[len(theta) :], strict=True))

    def _consistency(self, half: Half, theta: Weights, psi: Weights) -> Tensor:
        """Return the mean squared difference of the student on hallucinated slices and the teacher's warped maps."""
        images = half.unlabelled
        references = central(images)[torch.randperm(len(images))]
        hallucinated, displacement, _ = self._hallucinate(images, references, psi)
        student = functional_call(self.segmenter, theta, self.appearance(hallucinated)).float().softmax(1)
        with torch.no_grad():
            expected = warp(self.teacher(images).float().softmax(1), displacement)
            valid = inside(displacement).unsqueeze(1)
        return ((student - expected).square() * valid).sum() / (valid.sum().clamp(min=1) * student.shape[1])

    def _hallucinate(self, images: Tensor, references: Tensor, psi: Weights) -> tuple[Tensor, Tensor, Tensor]:
        """Return stacks changed so that their central slices resemble references, displacement, intensity change."""
        displacement, change = functional_call(self.hallucinator, psi, (central(images), references))
        return warp(images, displacement) + change, displacement, change


def _halves(batch: Batch) -> tuple[Half, Half]:
    """Split a batch into meta-train and meta-test; a single slice is in both."""
    streams = (batch.source, batch.source_structures, batch.source_unlabelled, batch.target)
    parts = [x.tensor_split(2) if len(x) > 1 else (x, x) for x in streams]
    train, test = (
        Half(images, structures, torch.cat([source, target]))
        for images, structures, source, target in zip(*parts, strict=True)
    )
    return train, test


def _shuffled_to(images: Tensor, count: int) -> Tensor:
    """Return ``count`` images in random order; images repeat if there are fewer."""
    return images[torch.randperm(max(len(images), count))[:count] % len(images)]

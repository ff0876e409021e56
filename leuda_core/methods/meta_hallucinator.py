"""Meta-Hallucinator: a network learns to deform slices such that what a segmenter learns from them helps elsewhere.

Zhao et al., MICCAI 2022. Hallucinator and segmenter learn together in episodes: one step on the meta-train volumes, in
mind only, must make the loss on other, meta-test volumes small; gradients run through that step.

    meta-train  J_1 = L_seg(x, y) + L_seg(H(x, r)) + w_trans L_trans                       at (psi, theta)
    inner step  (psi', theta') = (psi, theta) - (a grad_psi, b grad_theta) J_1
    meta-test   J_2 = the same at (psi', theta') + w_con(t) || f'(H(x_u)) - W(teacher(x_u)) ||^2
    outer       Adam on J_1 + J_2

H(x, r) warps x towards a reference r of either domain, W is its warp alone. L_trans is similarity to r and smoothness.
The code was never released: the form of the hallucinator (spatial, or image and spatial by a setting), L_trans, step
sizes and weights are our choice, made so that every arrow of the paper's figure exists.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor
from torch.func import functional_call

from leuda_core.blocks.losses import segmentation_loss
from leuda_core.blocks.schedules import delayed_ramp
from leuda_core.blocks.warp import correlation_loss, inside, smoothness_loss, warp, warp_labels
from leuda_core.config import MethodConfig
from leuda_core.methods.base import Losses, Method, detached
from leuda_core.networks.registration import FlowNet
from leuda_core.types import Batch

Weights = dict[str, Tensor]


class Half(NamedTuple):
    """One side of an episode: labelled source slices, and unlabelled slices of both domains."""

    images: Tensor
    labels: Tensor
    unlabeled: Tensor


class MetaHallucinator(Method):
    """Supervised learning on slices and on hallucinated slices, in episodes that simulate the shift."""

    title = "Meta-Hallucinator"
    summary = "Learns to deform slices so that what is learnt from some volumes holds on others."
    paper = "Zhao et al., MICCAI 2022"
    draws_episodes = True

    class Config(MethodConfig, frozen=True):
        hallucination: Annotated[
            Literal["spatial", "image-and-spatial"], Meta(description="what the hallucinator may change")
        ] = "spatial"
        meta: Annotated[bool, Meta(description="learn through an inner step; off: both halves are learnt jointly")] = (
            True
        )
        second_order: Annotated[bool, Meta(description="gradients run through the inner step's own gradient")] = True
        inner_rate: Annotated[float, Meta(gt=0, le=1, description="step size of the inner step, both networks")] = 1e-2
        transformation_weight: Annotated[float, Meta(ge=0, description="weight of the hallucinator's own loss")] = 1.0
        smoothness_weight: Annotated[float, Meta(ge=0, description="weight of smooth displacements within it")] = 1.0
        intensity_weight: Annotated[float, Meta(ge=0, description="weight of small intensity changes within it")] = 0.1
        consistency_weight: Annotated[float, Meta(ge=0, description="weight of agreement with the teacher")] = 1.0

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
        """Return segmentation loss on slices and hallucinated slices, plus what keeps the hallucinator in bounds."""
        s, references = self.settings, _shuffled_to(half.unlabeled, len(half.images))
        hallucinated, displacement, change = self._hallucinate(half.images, references, psi)
        moved_labels = warp_labels(half.labels, displacement)
        images = torch.cat([self.appearance(half.images, half.labels), self.appearance(hallucinated, moved_labels)])
        logits, moved_logits = functional_call(self.segmenter, theta, images).chunk(2)
        loss = segmentation_loss(logits, half.labels) + segmentation_loss(moved_logits, moved_labels)
        bounds = s.smoothness_weight * smoothness_loss(displacement) + s.intensity_weight * change.abs().mean()
        return loss + s.transformation_weight * (correlation_loss(hallucinated, references) + bounds)

    def _inner_step(self, loss: Tensor, theta: Weights, psi: Weights) -> tuple[Weights, Weights]:
        """Return both networks' weights one gradient step on, still a function of where they came from."""
        both = [*theta.values(), *psi.values()]
        create_graph = self.settings.second_order
        used = torch.autograd.grad(loss, both, create_graph=create_graph, retain_graph=True)
        moved = [weight - self.settings.inner_rate * gradient for weight, gradient in zip(both, used, strict=True)]
        return dict(zip(theta, moved, strict=False)), dict(zip(psi, moved[len(theta) :], strict=True))

    def _consistency(self, half: Half, theta: Weights, psi: Weights) -> Tensor:
        """Return how far the student on hallucinated slices is from the teacher's maps, hallucinated alike."""
        images = half.unlabeled
        hallucinated, displacement, _ = self._hallucinate(images, images[torch.randperm(len(images))], psi)
        student = functional_call(self.segmenter, theta, self.appearance(hallucinated)).float().softmax(1)
        with torch.no_grad():
            expected = warp(self.teacher(images).float().softmax(1), displacement)
            valid = inside(displacement).unsqueeze(1)
        return ((student - expected).square() * valid).sum() / (valid.sum().clamp(min=1) * student.shape[1])

    def _hallucinate(self, images: Tensor, references: Tensor, psi: Weights) -> tuple[Tensor, Tensor, Tensor]:
        """Return images deformed (and recoloured) towards references, the displacement and the change."""
        displacement, change = functional_call(self.hallucinator, psi, (images, references))
        return warp(images, displacement) + change, displacement, change


def _halves(batch: Batch) -> tuple[Half, Half]:
    """Split a batch into meta-train and meta-test."""
    parts = [x.tensor_split(2) for x in (batch.source, batch.source_labels, batch.source_unlabeled, batch.target)]
    train, test = (
        Half(images, labels, torch.cat([source, target])) for images, labels, source, target in zip(*parts, strict=True)
    )
    return train, test


def _shuffled_to(images: Tensor, count: int) -> Tensor:
    """Return ``count`` of the images in random order, repeated where there are fewer."""
    return images[torch.randperm(max(len(images), count))[:count] % len(images)]

"""TCSM: the segmentation of a transformed slice must be the transformed segmentation.

Li et al., TNNLS 2020: a mean teacher with consistency under flips, rotations by multiples of 90 degrees and small
rescalings. The released code computes this term without a gradient; here it follows the equation of the paper.

    L = L_seg(f(x_s), y_s) + w(t) || f(x_u) - T^-1( sg f'(T(x_u) + noise) ) ||^2,   f' the moving average of f

Our choice: half of the labelled slices are transformed too. Hearts have a fixed orientation, and a teacher that was
never trained on rotated slices misleads the student. ``turned_labels`` 0 corresponds to the paper, whose skin lesions
have no preferred orientation.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor
from torch.nn.functional import grid_sample

from leuda_core.blocks.losses import segmentation_loss
from leuda_core.blocks.stacks import central
from leuda_core.data.batches.augment import resample, sampling_grid
from leuda_core.methods.base import Losses, detached
from leuda_core.methods.mean_teacher import MeanTeacher, with_noise
from leuda_core.types import Batch


class Tcsm(MeanTeacher):
    """Supervised learning on source slices, transformation consistency on unlabelled slices of both domains."""

    title = "TCSM"
    summary = "Mean teacher with consistency under flips, 90 degree rotations and rescaling."
    paper = "Li et al., IEEE TNNLS 2020"

    class Config(MeanTeacher.Config, frozen=True):
        max_scale: Annotated[
            float, Meta(ge=1, le=2, description="largest scaling factor; the smallest is its inverse")
        ] = 1.1
        turned_labels: Annotated[
            float, Meta(ge=0, le=1, description="fraction of labelled slices that are transformed too")
        ] = 0.5

    settings: Config

    def training_step(self, batch: Batch, progress: float) -> Losses:
        source, structures = partly_transformed(
            batch.source, batch.source_structures, self.settings.turned_labels, self.settings.max_scale
        )
        weight = self.weight(progress)
        if not weight:
            return self.supervised_step(source, structures)
        unlabelled = torch.cat([batch.source_unlabelled, batch.target])
        labels = central(structures).squeeze(1)
        images = torch.cat([self.appearance(source, structures), self.appearance(unlabelled)])
        labelled_logits, student_logits = self.segmenter(images).split([len(source), len(unlabelled)])
        transform = random_transform(len(unlabelled), self.settings.max_scale, unlabelled.device)
        with torch.no_grad():
            teacher = self.teacher(with_noise(transform.apply(unlabelled, -1.0))).float().softmax(1)
            teacher, seen = transform.undo(teacher)

        segmentation = segmentation_loss(labelled_logits, labels)
        difference = (student_logits.float().softmax(1) - teacher).square() * seen
        consistency = difference.sum() / (seen.sum().clamp(min=1) * teacher.shape[1])
        self.minimize(segmentation + weight * consistency, "segmenter")
        self.update_teacher()
        return detached(segmentation=segmentation, consistency=consistency)


class Transform(NamedTuple):
    """A flip, a rotation and a rescaling for each slice of a batch, as matrices ``(B, 2, 2)`` for square slices."""

    matrices: Tensor

    def apply(self, images: Tensor, fill: float) -> Tensor:
        """Transform slices ``(B, C, H, H)``; pixels from outside get the value ``fill``."""
        return _resample(images - fill, self.matrices) + fill

    def undo(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Transform maps back; also return the mask ``(B, 1, H, H)`` of pixels inside the transformed slice."""
        seen = _resample(torch.ones_like(maps[:, :1]), self.matrices)
        inverse = torch.linalg.inv(self.matrices)
        return _resample(maps, inverse), (_resample(seen, inverse) > 0.99).to(maps.dtype)


def random_transform(count: int, max_scale: float, device: torch.device) -> Transform:
    """Draw a transform for each slice: a flip or none, 0 to 3 rotations by 90 degrees, a scale."""
    flip = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    turns = torch.randint(4, (count,))
    cos, sin = torch.tensor([1.0, 0, -1, 0])[turns], torch.tensor([0.0, 1, 0, -1])[turns]
    scale = max_scale ** (2 * torch.rand(count) - 1)
    rows = torch.stack([cos * flip, -sin * flip, sin, cos], dim=1) / scale.unsqueeze(1)
    return Transform(rows.view(count, 2, 2).to(device))


def partly_transformed(images: Tensor, labels: Tensor, share: float, max_scale: float) -> tuple[Tensor, Tensor]:
    """Transform a random fraction of labelled stacks, both ``(B, C, H, H)``."""
    transform = random_transform(len(images), max_scale, images.device)
    chosen = (torch.rand(len(images)) < share).to(images.device).view(-1, 1, 1, 1)
    moved, moved_labels = resample(images, labels, _without_shift(transform.matrices))
    assert moved_labels is not None
    return torch.where(chosen, moved, images), torch.where(chosen, moved_labels, labels)


def _resample(images: Tensor, matrices: Tensor) -> Tensor:
    return grid_sample(images, sampling_grid(_without_shift(matrices), images.shape[2:]), align_corners=False)


def _without_shift(matrices: Tensor) -> Tensor:
    return torch.cat([matrices, matrices.new_zeros(len(matrices), 2, 1)], dim=2)

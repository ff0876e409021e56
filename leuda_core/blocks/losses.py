"""Losses as pure functions: float32 scalars.

Shape:
    logits, probabilities: ``(B, C, H, W)``; labels: ``(B, H, W)`` int64 class indices, ``IGNORE`` in unlabelled
    pixels; scores: any shape, the output of a discriminator; images: ``(B, 1, H, W)`` in [-1, 1].

Published weights of the consistency losses are for means over pixels *and* classes, as computed here; they depend on
the number of classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, l1_loss, mse_loss, one_hot

from leuda_core.types import IGNORE


def dice_loss(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Soft Dice with squared denominators, over the whole batch and all classes (V-Net, Milletari et al., 3DV 2016).

    Mean over classes of ``1 - (2 sum(p g) + e) / (sum(p^2) + sum(g^2) + e)``. Pixels marked ``IGNORE`` are ignored.

    Shape:
        probabilities: ``(B, C, H, W)``; labels: ``(B, H, W)`` int64.
    """
    labelled = labels != IGNORE
    expected = one_hot(torch.where(labelled, labels, 0), probabilities.shape[1]).movedim(-1, 1)
    expected = expected.to(probabilities.dtype) * labelled.unsqueeze(1)
    probabilities = probabilities * labelled.unsqueeze(1)
    over = (0, 2, 3)
    overlap = (probabilities * expected).sum(over)
    sizes = probabilities.square().sum(over) + expected.square().sum(over)
    return (1 - (2 * overlap + 1e-5) / (sizes + 1e-5)).mean()


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Half cross entropy, half Dice (MT-UDA, Zhao et al., MICCAI 2021). Zero if no pixel is labelled."""
    logits = logits.float()
    labelled = (labels != IGNORE).sum().clamp(min=1)
    entropy = cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum") / labelled
    return 0.5 * entropy + 0.5 * dice_loss(logits.softmax(1), labels)


def pseudo_label_loss(logits: Tensor, probabilities: Tensor, confidence: float | Tensor) -> Tensor:
    """Half cross entropy, half soft Dice with another network's confident predictions as soft labels.

    ``segmentation_loss`` with soft labels; pixels whose largest probability is not above ``confidence``, that of its
    class if there is one for each, are ignored (FixMatch, Sohn et al., NeurIPS 2020). No gradient reaches
    ``probabilities``.

    Shape:
        probabilities: ``(B, C, H, W)`` like the logits, summing to 1; confidence: a number or ``(C,)``.
    """
    expected = probabilities.detach().float()
    likely, found = expected.max(1, keepdim=True)
    sure = (likely > (confidence[found] if isinstance(confidence, Tensor) else confidence)).float()
    expected, log_found = expected * sure, logits.float().log_softmax(1)
    found = log_found.exp() * sure
    entropy = -(expected * log_found).sum() / sure.sum().clamp(min=1)
    over = (0, 2, 3)
    overlap, sizes = (found * expected).sum(over), found.square().sum(over) + expected.square().sum(over)
    return 0.5 * entropy + 0.5 * (1 - (2 * overlap + 1e-5) / (sizes + 1e-5)).mean()


def consistency_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean squared difference of class probabilities (mean teacher, Tarvainen and Valpola, NeurIPS 2017).

    No gradient reaches the teacher.
    """
    return mse_loss(student_logits.float().softmax(1), teacher_logits.detach().float().softmax(1))


def self_information(logits: Tensor) -> Tensor:
    """Weighted self-information ``p log2(p)`` of each class and pixel, ``(B, C, H, W)`` (MT-UDA)."""
    probabilities = logits.float().softmax(1)
    return probabilities * torch.log2(probabilities + 1e-8)


def structure_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Squared difference of self-information maps, summed over classes, mean over pixels (MT-UDA, inter-domain term).

    It compares *where* the predictions are uncertain, at the outlines of structures, not the classes.
    """
    difference = self_information(student_logits) - self_information(teacher_logits).detach()
    return difference.square().sum(1).mean()


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Least-squares GAN, discriminator side: half of ``(real - 1)^2 + fake^2`` (Mao et al., ICCV 2017)."""
    return 0.5 * ((real_scores.float() - 1).square().mean() + fake_scores.float().square().mean())


def adversarial_loss(fake_scores: Tensor) -> Tensor:
    """Least-squares GAN, generator side: ``(fake - 1)^2``."""
    return (fake_scores.float() - 1).square().mean()


def cycle_loss(images: Tensor, cycled: Tensor) -> Tensor:
    """Mean absolute difference of an image and its translation there and back (CycleGAN, Zhu et al., ICCV 2017)."""
    return l1_loss(cycled.float(), images.float())


def total(losses: Iterable[Tensor]) -> Tensor:
    """Return the sum of one or more losses."""
    return reduce(torch.add, losses)

"""The part of a trained method that prediction needs: a segmenter, for some methods preceded by a translator.

A bundle stores the spec and the weights of a predictor. The predictor is rebuilt from the spec, so a shipped model does
not depend on the code of the method that trained it.
"""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor, nn

from leuda_core.networks.generator import Form, Generator
from leuda_core.networks.unet import LEVELS, Norm, UNet


class PredictorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Network sizes of a ``Predictor``; ``translator_channels`` 0 means that there is no translator.

    ``translator_form`` is that of ``networks.generator``; models of version 0.1 have ``sum`` and do not name it.
    ``in_channels`` is the number of slices that the segmenter sees at once: a slice, and as many on each side of it.
    ``reference``: the predictor knows what the target slices of its training looked like to it.
    """

    in_channels: int = 1
    n_classes: int
    base_channels: int
    translator_channels: int = 0
    translator_blocks: int = 0
    translator_form: Form = "sum"
    norm: Norm = "group"
    reference: bool = False


REFERENCE = frozenset({"centre", "spread", "volumes"})
"""Names of what a predictor with ``reference`` remembers; the other values of its state are weights."""
DEEPEST = 2
"""Levels of the encoder whose features are compared. The bottleneck alone tells CT from MR, but not hearts from other
organs; the level above it does the opposite."""
LEAST_SPREAD = 0.01  # of that of all features: a constant one must not decide


class Predictor(nn.Module):
    """Segment the central slices of stacks of target slices; some methods translate all to the source appearance first.

    Shape:
        input: ``(B, in_channels, H, W)`` in [-1, 1], multiples of 16; output: logits ``(B, n_classes, H, W)``.
    """

    def __init__(self, spec: PredictorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.segmenter = UNet(spec.n_classes, spec.base_channels, spec.norm, spec.in_channels)
        sizes = (spec.translator_channels, spec.translator_blocks)
        self.translator = Generator(*sizes, spec.translator_form) if spec.translator_channels else nn.Identity()
        if spec.reference:
            for name in ("centre", "spread"):
                self.register_buffer(name, torch.ones(sum(_widths(spec))))
            self.register_buffer("volumes", torch.zeros(()))

    centre: Tensor
    spread: Tensor
    volumes: Tensor

    def forward(self, images: Tensor) -> Tensor:
        return self.segmenter(self.translator(images))

    def describe(self, images: Tensor) -> Tensor:
        """Return what stacks look like to the segmenter: mean and deviation of every channel of the deepest levels.

        Shape:
            images: as for a call; result ``(B, n_features)`` float32.
        """
        levels = self.segmenter.encode(self.translator(images))[-DEEPEST:]
        return torch.cat([part for maps in levels for part in _statistics(maps.float())], 1)

    def remember(self, features: Tensor, volumes: int, before: Predictor | None = None) -> None:
        """Take the features ``(n_slices, n_features)`` of target slices of a training as the reference.

        ``before`` is the predictor that this one was adapted from: what it remembers is kept, and counts by its number
        of volumes.
        """
        centre = features.mean(0)
        parts = features.split(_widths(self.spec), 1)
        spread = torch.cat([part.std(0, correction=0) + LEAST_SPREAD * part.std(correction=0) for part in parts])
        if before is not None and before.spec.reference:
            share = volumes / (volumes + float(before.volumes))
            pooled = torch.lerp(before.centre, centre, share)
            earlier, now = (
                s.square() + (c - pooled).square() for s, c in ((before.spread, before.centre), (spread, centre))
            )
            spread = torch.lerp(earlier, now, share).sqrt()
            centre, volumes = pooled, volumes + int(before.volumes)
        self.volumes.fill_(volumes)
        self.centre.copy_(centre)
        self.spread.copy_(spread.clamp(min=1e-6))

    def unlikeness(self, features: Tensor) -> float:
        """Return how far the slices of a volume are from the reference: about 1 for those of the training.

        The largest of the levels' medians over slices; of a slice, the root mean square of its features' distances from
        the centre, in units of their spread.

        Shape:
            features: ``(n_slices, n_features)``.
        """
        distances = ((features - self.centre) / self.spread).square().split(_widths(self.spec), 1)
        return max(float(level.mean(1).sqrt().median()) for level in distances)


def _widths(spec: PredictorSpec) -> list[int]:
    """Return the number of features of each of the deepest levels."""
    return [2 * spec.base_channels * 2**level for level in range(LEVELS - DEEPEST, LEVELS)]


def _statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    return maps.mean((2, 3)), maps.std((2, 3), correction=0)

"""What the current model does on a few fixed slices of both domains: figures that need no target label.

An adaptation without source cases looks at its corrected target slices in place of those of the source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from leuda_core.data.batches.prepared import CachedCase, read_stack
from leuda_core.data.slices import in_padding
from leuda_core.methods.base import Method
from leuda_core.networks.predictor import Predictor

PIXELS_AT_ONCE = 256 * 256  # of a batch, to limit the memory; one slice if that is larger


class Slices(NamedTuple):
    """Prepared slices, each ``(C, rows, columns)`` with its neighbours.

    ``labels`` are the class indices of the slices themselves, ``(rows, columns)``, for the source alone.
    """

    images: list[np.ndarray]
    labels: list[np.ndarray]


@dataclass(frozen=True)
class Answer:
    """The prediction on some slices.

    ``shares`` are the fractions of the pixels, background first; ``entropy`` is 1 for classes that are equally likely;
    ``classes`` is the predicted class of every pixel, ``features`` one row for each slice.
    """

    shares: np.ndarray
    entropy: float
    classes: np.ndarray
    features: np.ndarray
    finite: bool


@torch.no_grad()
def answer(predictor: Predictor, slices: Slices, patch_size: int) -> Answer:
    """Segment slices, which may differ in size, with a predictor in evaluation mode."""
    device = next(predictor.parameters()).device
    features: list[Tensor] = []

    def network(images: Tensor) -> Tensor:
        encoded = predictor.segmenter.encode(predictor.translator(images))
        features.append(encoded[-1].mean((2, 3)))
        return predictor.segmenter.head(predictor.segmenter.decode(encoded)[-1])

    classes, entropy, finite = [], 0.0, True
    for images in _batches(slices.images):
        logits = in_padding(network, images.to(device), patch_size).float().cpu().movedim(1, 0).flatten(1)
        n_classes, logs = len(logits), logits.log_softmax(0)
        entropy -= float((logs.exp() * logs).sum(dtype=torch.float64))
        classes.append(logits.argmax(0).numpy().astype(np.min_scalar_type(n_classes)))
        finite = finite and bool(torch.isfinite(logits).all())
    found = np.concatenate(classes)
    return Answer(
        shares=np.bincount(found, minlength=n_classes) / found.size,
        entropy=entropy / found.size / math.log(n_classes),
        classes=found,
        features=torch.cat(features).float().cpu().numpy(),
        finite=finite,
    )


def _batches(images: Sequence[np.ndarray]) -> list[Tensor]:
    """Return successive slices of one size as batches ``(B, C, H, W)`` of limited size."""
    groups: list[list[np.ndarray]] = []
    for image in images:
        fits = groups and groups[-1][0].shape == image.shape
        if fits and (len(groups[-1]) + 1) * math.prod(image.shape[1:]) <= PIXELS_AT_ONCE:
            groups[-1].append(image)
        else:
            groups.append([image])
    return [torch.from_numpy(np.stack(group)) for group in groups]


def student(method: Method) -> Predictor | None:
    """Return a predictor with the weights of the student; ``None`` where the teacher is not its moving average."""
    if type(method).final_weights is not Method.final_weights:
        return None
    predictor = method.predictor()
    predictor.segmenter.load_state_dict(method.segmenter.state_dict())
    return predictor


def overlap(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return the Dice coefficient of two foregrounds with their classes; ``None`` if both are empty."""
    both = int((first > 0).sum() + (second > 0).sum())
    return 2 * int(((first == second) & (first > 0)).sum()) / both if both else None


def separability(source: np.ndarray, target: np.ndarray) -> float:
    """Return how often the nearest mean tells the domain of a slice that is left out: 0.5 by chance, 1 always.

    Shape:
        source, target: ``(slices, features)``.
    """
    hits = [
        float(np.linalg.norm(row - _mean_without(own, index)) < np.linalg.norm(row - other.mean(0)))
        for own, other in ((source, target), (target, source))
        for index, row in enumerate(own)
        if len(own) > 1
    ]
    return float(np.mean(hits)) if hits else 0.5


def _mean_without(rows: np.ndarray, index: int) -> np.ndarray:
    return np.delete(rows, index, axis=0).mean(0)


def spread(cases: Sequence[CachedCase], count: int, indices_of: Callable[[CachedCase], Sequence[int]]) -> Slices:
    """Read up to ``count`` slices, spread evenly over the cases and within each of them."""
    share = max(1, math.ceil(count / max(1, len(cases))))
    chosen = []
    for case in cases:
        indices = indices_of(case)
        places = np.linspace(0, len(indices) - 1, min(share, len(indices)) + 2)[1:-1]  # the ends are often empty
        chosen += [(case, indices[place]) for place in sorted({round(float(place)) for place in places})]
    step = max(1.0, len(chosen) / count)
    kept = [chosen[int(number * step)] for number in range(min(count, len(chosen)))]
    images = [read_stack(case, index) for case, index in kept]
    labels = [case.labels.read([index])[0] for case, index in kept if case.labels is not None]
    return Slices(images, labels)

"""How far a volume is from what a model knows, without labels: a warning before its answer is believed.

A model remembers what the target slices of its training looked like to its encoder (``Predictor.remember``). Slices of
the same kind are about as far from that centre as those were; other modalities and other organs are further away.
docs/RESULTS.md has the figures.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor

from leuda_core.data.batches.prepared import CachedCase, read_stack
from leuda_core.networks.predictor import Predictor
from leuda_core.prediction.job import FirstLook
from leuda_core.prediction.runner import SliceRunner
from leuda_core.types import Task, Volume

logger = logging.getLogger(__name__)

SLICES = 8  # of a volume, spread evenly
MOST_VOLUMES = 32  # that are remembered: more do not change the reference

LIKE, FAR = 1.2, 1.8
"""Limits of the distance for a model that remembers many volumes. With ``n`` of them they are ``1 + 1 / n`` times as
large: few volumes do not show how much others may differ. On two tasks, drawn 15 times each, 63, 90, 97 and 99 % of
further volumes of the target were within ``LIKE`` with 1, 2, 3 and 6 remembered ones, and 99 % or more of other volumes
outside; docs/RESULTS.md has the figures with all of them remembered."""

Verdict = Literal["like", "unlike", "far"]

_TEXTS: dict[Verdict, str] = {
    "like": "The volume looks like those of the training.",
    "unlike": "The volume looks unlike those of the training: check the result.",
    "far": "The volume is far from those of the training: this model is probably not for it.",
}


@dataclass(frozen=True)
class Gauge:
    """The distance of a volume from those of the training (about 1 for one of them), and what that means."""

    distance: float
    verdict: Verdict

    @property
    def text(self) -> str:
        """One sentence for the user."""
        return _TEXTS[self.verdict]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, with the text."""
        return {**asdict(self), "text": self.text}


def gauge(segmenter: SliceRunner, volume: Volume, *, intensities: tuple[float, float] | None = None) -> Gauge | None:
    """Compare a volume with those of a model's training.

    ``None`` if the model remembers none, as those of earlier versions, or if the device or its memory does not suffice.

    Args:
        intensities: the ``intensity_range`` of the volume, if it is known.

    Raises:
        InputError: the volume contains NaN voxels, or too many infinite ones.
    """
    model = segmenter.remembering
    if model is None:
        return None
    job = FirstLook(volume, segmenter.task, intensities=intensities)
    stacks = (job.images([index]) for index in _spread(len(job.indices)))
    try:
        distance = model.unlikeness(_described(segmenter, stacks))
    except (RuntimeError, MemoryError) as error:  # a hint must not cost the user a result
        logger.warning("the volume was not compared with those of the training: %s", error)
        return None
    return Gauge(round(distance, 3), verdict_of(distance, int(model.volumes)))


def verdict_of(distance: float, volumes: int) -> Verdict:
    """Return what a distance means for a model that remembers so many volumes."""
    few = 1 + 1 / max(1, volumes)
    if distance <= few * LIKE:
        return "like"
    return "unlike" if distance <= few * FAR else "far"


def with_reference(
    predictor: Predictor,
    cases: Sequence[CachedCase],
    task: Task,
    device: str = "cpu",
    before: Predictor | None = None,
) -> Predictor:
    """Return a predictor that remembers the prepared target slices of a training, on the CPU.

    Args:
        device: where they are looked at.
        before: the predictor from which it was adapted, whose memory is kept.
    """
    spec = msgspec.structs.replace(predictor.spec, reference=True)
    remembering = Predictor(spec).eval()
    remembering.load_state_dict(predictor.state_dict(), strict=False)
    runner = SliceRunner(predictor, task, device=device)
    some = cases[:: max(1, -(-len(cases) // MOST_VOLUMES))]
    stacks = (torch.from_numpy(read_stack(case, index))[None] for case in some for index in _spread(case.n_slices))
    remembering.remember(_described(runner, stacks), len(some), before)
    return remembering


def _described(runner: SliceRunner, stacks: Iterable[Tensor]) -> Tensor:
    return torch.cat([runner.features(stack) for stack in stacks])


def _spread(count: int) -> list[int]:
    """Return places in a volume of ``count`` slices; the ends, which are often empty, are left out."""
    places = np.linspace(0, count - 1, min(SLICES, count) + 2)[1:-1]
    return sorted({round(float(place)) for place in places})

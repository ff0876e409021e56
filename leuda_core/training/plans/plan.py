"""A plan as it is told, and what is probably wrong with the training, before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

FEW_SLICES = 6
SPACING_FACTOR = 2.0
LONG_S = 3600.0
MEMORY_SHARE = 0.8  # of the free memory: above this, the system may start to swap


@dataclass(frozen=True)
class PlanWarning:
    """A likely problem, and what to do about it."""

    message: str
    remedy: str


@dataclass(frozen=True)
class Plan:
    """What was chosen for a training, why, and what it costs.

    ``settings`` are all of the method, ``reasons`` those of the values that were chosen and of the steps.
    ``seconds`` is the total time, including the preparation of the volumes. ``steps`` and ``seconds_per_step`` are per
    phase; ``segmenter_steps`` are the steps of a call. ``peak_memory_mib`` is GPU memory on a GPU, else the memory of
    this process; ``predicted_memory_mib`` is what the rules expect of the training. ``budget_minutes`` is ``None`` if
    the steps were given.
    """

    device: str
    seconds: float
    steps: Mapping[str, int]
    seconds_per_step: Mapping[str, float]
    peak_memory_mib: int
    labelled_slices: int
    warnings: tuple[PlanWarning, ...] = ()
    segmenter_steps: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    budget_minutes: float | None = None
    predicted_memory_mib: int = 0
    survey: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain, JSON-ready values under the same names."""
        return asdict(self)


def likely_problems(plan: Plan, device: torch.device, *, free_gb: float | None, note: str) -> list[PlanWarning]:
    """Return what the user should know; ``note`` is that of the choice of the device."""
    found = []
    if plan.labelled_slices < FEW_SLICES:
        count = "1 slice is" if plan.labelled_slices == 1 else f"{plan.labelled_slices} slices are"
        remedy = f"label {FEW_SLICES} or more, spread over the structures and over several cases"
        found.append(PlanWarning(f"only {count} labelled", remedy))
    for what, measured in (("pixels", "pixel_mm"), ("slices", "slice_mm")):
        source, target = (plan.survey[domain][measured] for domain in ("source", "target"))
        if max(source, target) > SPACING_FACTOR * min(source, target):
            measure = "in size" if what == "pixels" else "apart"
            message = f"{what} are {source:.3g} mm {measure} in the source and {target:.3g} mm in the target"
            found.append(PlanWarning(message, "resample one domain, or choose volumes with more similar spacing"))
    if note:
        found.append(PlanWarning(note, "install the PyTorch build for this card, or train on the CPU"))
    if device.type == "cpu" and plan.seconds > LONG_S:
        message = f"without a GPU this takes about {plan.seconds / 3600:.1f} hours"
        found.append(PlanWarning(message, "use fewer steps, or train on a machine with a GPU"))
    if free_gb is not None and plan.peak_memory_mib * 2**20 > MEMORY_SHARE * free_gb * 1e9:
        message = (
            f"training needs {plan.peak_memory_mib * 2**20 / 1e9:.1f} GB of memory, but only {free_gb:.1f} GB are free"
        )
        found.append(PlanWarning(message, "lower batch_size or patch_size, or close other programs"))
    return found

"""Estimates the cost of a training by running a few of its steps, and warns of likely problems.

The steps are those of a real training, with its loader, method and phases, on the chosen device. They use one source
and one target case, which are prepared in a temporary folder. The time of a step does not depend on the number of
cases; the time to prepare all cases is estimated in proportion to their voxels.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from leuda_core.config import MethodConfig, make_config
from leuda_core.data.dataset import labelled_slices, load_dataset, nothing_labelled, read_case_labels
from leuda_core.data.loaders import SliceLoader, make_task, readable_part
from leuda_core.data.planes import case_plan
from leuda_core.devices import autocast, find_device, is_out_of_memory, memory_gb, peak_memory_mib
from leuda_core.errors import MemoryShortage
from leuda_core.io.leftovers import temporary_folder
from leuda_core.io.volumes import Grid, read_grid
from leuda_core.methods import METHODS
from leuda_core.methods.base import Method, Phase
from leuda_core.training.loop import to_device
from leuda_core.training.run import make_run_config
from leuda_core.types import Case, Dataset, Domain, Task

PROBE_STEPS = 4  # timed steps of each phase, after one untimed step that allocates memory and selects kernels
PROBE_LIMIT_S = 20.0  # of each phase, once two steps are timed
FEW_SLICES = 6
SPACING_FACTOR = 2.0
LONG_S = 3600.0
MEMORY_SHARE = 0.8  # of the free memory: above this, the system may start to swap

OnStep = Callable[[int, int], None]


@dataclass(frozen=True)
class PlanWarning:
    """A likely problem, and what to do about it."""

    message: str
    remedy: str


@dataclass(frozen=True)
class Plan:
    """The estimated cost of a training.

    ``seconds`` is the total time, including the preparation of the volumes. ``steps`` and ``seconds_per_step`` are per
    phase. ``peak_memory_mib`` is GPU memory on a GPU, else the memory of this process.
    """

    device: str
    seconds: float
    steps: Mapping[str, int]
    seconds_per_step: Mapping[str, float]
    peak_memory_mib: int
    labelled_slices: int
    warnings: tuple[PlanWarning, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain, JSON-ready values under the same names."""
        return asdict(self)


def make_plan(
    dataset: Path | str,
    method: str,
    *,
    steps: int | None = None,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    on_step: OnStep | None = None,
) -> Plan:
    """Run a few steps of each phase of a training and estimate its total cost. Nothing is left behind.

    Args:
        dataset, method, steps, device, settings: as for ``training.train``.
        on_step: called with the number of finished probe steps and their total.

    Raises:
        InputError: the call or a volume is unusable. DeviceError: the device does not work or has too little memory.
    """
    config = make_run_config(dataset, method, steps=steps, device=device, settings=settings)
    kind, data = METHODS[method], load_dataset(dataset)
    chosen = make_config(kind.Config, config.settings)
    place, note = find_device(config.device)
    free = memory_gb(place)[1]
    data, unreadable = readable_part(data)
    task = make_task(data, chosen, target_labels=kind.reads_target_labels)
    survey = _Survey(data, task, kind.reads_target_labels)
    with temporary_folder(Path(tempfile.gettempdir()), prefix="leuda-plan-") as folder:
        probe = _Probe(data, survey, kind, chosen, place, folder, task=task)
        phases = probe.method.phases(config.steps)
        per_step = probe.seconds_per_step(phases, on_step or (lambda done, total: None))
    numbers = {phase.name: phase.steps for phase in phases}
    plan = Plan(
        device=str(place),
        seconds=round(probe.prepare_seconds + sum(numbers[name] * per_step[name] for name in numbers), 1),
        steps=numbers,
        seconds_per_step={name: round(seconds, 5) for name, seconds in per_step.items()},
        peak_memory_mib=peak_memory_mib(place),
        labelled_slices=sum(survey.labelled.values()),
    )
    left_out = [
        PlanWarning(f"{error.message}: the training leaves this case out", error.remedy) for error in unreadable
    ]
    return replace(plan, warnings=(*left_out, *_warnings(plan, survey, place, free, note)))


class _Survey:
    """Facts about a dataset from its headers and label maps.

    ``labelled`` maps the cases whose labels the method learns from to their number of labelled slices.
    """

    def __init__(self, dataset: Dataset, task: Task, target_labels: bool) -> None:
        self.grids = {case.id: read_grid(case.image) for case in (*dataset.source.cases, *dataset.target.cases)}
        self.source_mm = _typical_spacing_mm(dataset.source, self.grids, task)
        self.target_mm = _typical_spacing_mm(dataset.target, self.grids, task)
        self.in_source = self._count(dataset.source, task)
        if not any(self.in_source.values()):
            raise nothing_labelled(dataset)
        self.in_target = self._count(dataset.target, task) if target_labels else {}
        self.labelled = self.in_target if target_labels else self.in_source

    def voxels(self, cases: Sequence[Case]) -> int:
        return sum(prod(self.grids[case.id].shape) for case in cases)

    def _count(self, domain: Domain, task: Task) -> dict[str, int]:
        counts = {}
        for case in domain.cases:
            if case.label is not None:
                plan = case_plan(case, self.grids[case.id], task.plane, task.isotropic)
                counts[case.id] = len(labelled_slices(case, read_case_labels(case, task.labels), plan))
        return counts


def _typical_spacing_mm(domain: Domain, grids: Mapping[str, Grid], task: Task) -> tuple[float, float]:
    """Return the median pixel size and the median distance between slices."""
    found = []
    for case in domain.cases:
        grid = grids[case.id]
        plan = case_plan(case, grid, task.plane, task.isotropic)
        found.append((np.mean(plan.pixel_mm), np.linalg.norm(grid.affine[:3, plan.axis])))
    pixel, distance = np.median(found, axis=0)
    return float(pixel), float(distance)


class _Probe:
    """A training on one case per domain, ready to run steps. ``prepare_seconds`` is estimated for all cases."""

    def __init__(
        self,
        dataset: Dataset,
        survey: _Survey,
        kind: type[Method],
        settings: MethodConfig,
        device: torch.device,
        folder: Path,
        *,
        task: Task,
    ) -> None:
        small = _one_case_each(dataset, survey)
        start = time.perf_counter()
        self.loader = SliceLoader(
            small, task, settings, folder, target_labels=kind.reads_target_labels, episodes=kind.draws_episodes
        )
        cases, probed = (dataset.source.cases + dataset.target.cases), (small.source.cases + small.target.cases)
        self.prepare_seconds = (time.perf_counter() - start) * survey.voxels(cases) / survey.voxels(probed)
        self.device = device
        try:
            self.method = kind(task, settings).to(device)
        except (RuntimeError, MemoryError) as error:
            raise self._explained(error) from error
        self.method.train()
        self.method.teacher.eval()

    def seconds_per_step(self, phases: Sequence[Phase], on_step: OnStep) -> dict[str, float]:
        """Return the median time of a step of each phase."""
        total, found = len(phases) * (1 + PROBE_STEPS), {}
        for index, phase in enumerate(phases):
            times: list[float] = []
            while len(times) < 1 + PROBE_STEPS and (len(times) < 3 or sum(times) < PROBE_LIMIT_S):
                times.append(self._timed_step(phase, len(times)))
                on_step(index * (1 + PROBE_STEPS) + len(times), total)
            found[phase.name] = statistics.median(times[1:])
        on_step(total, total)
        return found

    def _timed_step(self, phase: Phase, step: int) -> float:
        """Run a step as in the middle of a phase, where all loss terms are active; return its seconds."""
        start = time.perf_counter()
        try:
            with autocast(self.device):
                phase.step(to_device(self.loader.batch(step), self.device), 0.5)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        except (RuntimeError, MemoryError) as error:
            raise self._explained(error) from error
        return time.perf_counter() - start

    def _explained(self, error: RuntimeError | MemoryError) -> Exception:
        if not is_out_of_memory(error):
            return error
        what = f"not enough memory on {self.device} for one training step"
        return MemoryShortage(what, "lower batch_size, patch_size or base_channels, or close other programs")


def _one_case_each(dataset: Dataset, survey: _Survey) -> Dataset:
    """Return the dataset with one labelled source case and one target case (a labelled one if there is any)."""
    source = next(case for case in dataset.source.cases if survey.in_source.get(case.id))
    labelled = (case for case in dataset.target.cases if survey.in_target.get(case.id))
    target = next(labelled, dataset.target.cases[0])
    return replace(
        dataset,
        source=replace(dataset.source, cases=(source,)),
        target=replace(dataset.target, cases=(target,)),
    )


def _warnings(plan: Plan, survey: _Survey, device: torch.device, free_gb: float | None, note: str) -> list[PlanWarning]:
    """Return warnings before a training starts; ``note`` says why a GPU cannot be used."""
    found = []
    if plan.labelled_slices < FEW_SLICES:
        count = "1 slice is" if plan.labelled_slices == 1 else f"{plan.labelled_slices} slices are"
        remedy = f"label {FEW_SLICES} or more, spread over the structures and over several cases"
        found.append(PlanWarning(f"only {count} labelled", remedy))
    for what, source, target in zip(("pixels", "slices"), survey.source_mm, survey.target_mm, strict=True):
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

"""A few real steps of a training, timed.

They use one source and one target case, which are prepared in a temporary folder. The time of a step does not depend on
the number of cases; the time to prepare all cases is estimated in proportion to their voxels.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from leuda_core.config import MethodConfig
from leuda_core.data.batches.loaders import SliceLoader, is_mostly_labelled
from leuda_core.data.dataset import UnreadableCase
from leuda_core.data.survey import Surveyed
from leuda_core.devices import autocast, is_out_of_memory, synchronize
from leuda_core.errors import MemoryShortage
from leuda_core.methods.base import Method, Phase
from leuda_core.training.loop import to_device
from leuda_core.types import Case, Dataset, Task

PLACES = (0.9, 0.1, 0.5, 0.7, 0.3)
"""Where in a phase a step is timed, since some losses begin later; after one untimed step at the first place, which
allocates memory and selects kernels. The first places alone would not promise too many steps."""
PROBE_LIMIT_S = 20.0  # of each phase, once two steps are timed

_MANY = 1000

OnStep = Callable[[int, int], None]
OnUnreadable = Callable[[int, UnreadableCase], None]


@dataclass(frozen=True)
class Timing:
    """Measured seconds: to prepare all volumes, and of one step in some parts of each phase.

    ``course`` has, for each phase, parts of it in [0, 1] with the seconds of a step there. ``phases`` says how many
    steps a phase has: a constant number, and a multiple of the steps of the segmenter.
    """

    prepare: float
    course: Mapping[str, Sequence[tuple[float, float]]]
    phases: Mapping[str, tuple[int, float]]

    @property
    def per_step(self) -> dict[str, float]:
        """The mean seconds of a step over each phase."""
        return {name: statistics.fmean(seconds for _, seconds in parts) for name, parts in self.course.items()}

    def phase_steps(self, steps: int) -> dict[str, int]:
        """Return the steps of each phase for a number of steps of the segmenter."""
        return {name: round(constant + share * steps) for name, (constant, share) in self.phases.items()}


def time_steps(
    dataset: Dataset,
    task: Task,
    kind: type[Method],
    settings: MethodConfig,
    surveyed: Surveyed,
    *,
    device: torch.device,
    folder: Path,
    on_step: OnStep,
) -> Timing:
    """Take a few steps of each phase of a training; files are written to ``folder``.

    Raises:
        InputError: no case of a domain is usable. MemoryShortage: a step does not fit into the memory.
    """
    probe = _Probe(dataset, task, kind, settings, surveyed, device=device, folder=folder)
    phases = probe.method.phases(_MANY)
    more = {phase.name: phase.steps for phase in probe.method.phases(2 * _MANY)}
    shares = {phase.name: (more[phase.name] - phase.steps) / _MANY for phase in phases}
    return Timing(
        prepare=probe.prepare_seconds,
        course=probe.course(phases, on_step),
        phases={phase.name: (round(phase.steps - shares[phase.name] * _MANY), shares[phase.name]) for phase in phases},
    )


class _Probe:
    """A training on one case per domain, ready to run steps. ``prepare_seconds`` is estimated for all cases."""

    def __init__(
        self,
        dataset: Dataset,
        task: Task,
        kind: type[Method],
        settings: MethodConfig,
        surveyed: Surveyed,
        *,
        device: torch.device,
        folder: Path,
    ) -> None:
        def prepare(source: Case, target: Case, on_unreadable: OnUnreadable) -> SliceLoader:
            small = replace(
                dataset,
                source=replace(dataset.source, cases=(source,)),
                target=replace(dataset.target, cases=(target,)),
            )
            return SliceLoader(
                small,
                task,
                settings,
                folder,
                target_labels=kind.learns_target_labels(settings),
                target_only=kind.reads_target_labels,
                episodes=kind.draws_episodes,
                on_unreadable=on_unreadable,
            )

        start = time.perf_counter()
        self.loader, used = _prepared(dataset, surveyed, prepare)
        # The work of a step may depend on it, and the one source case of the probe is labelled.
        self.loader.source_is_labelled = is_mostly_labelled(
            sum(surveyed.labelled.values()), surveyed.survey.source.slices
        )
        voxels = surveyed.voxels
        self.prepare_seconds = (
            (time.perf_counter() - start) * sum(voxels.values()) / sum(voxels[one.id] for one in used)
        )
        self.device = device
        try:
            self.method = kind(task, settings).to(device)
        except (RuntimeError, MemoryError) as error:
            raise self._explained(error) from error
        self.method.train()
        self.method.teacher.eval()

    def course(self, phases: Sequence[Phase], on_step: OnStep) -> dict[str, list[tuple[float, float]]]:
        """Return parts of each phase with the time of a step there."""
        places = (PLACES[0], *PLACES)
        total, found = len(phases) * len(places), {}
        for index, phase in enumerate(phases):
            times: list[float] = []
            for step, place in enumerate(places):
                if step < 3 or sum(times) < PROBE_LIMIT_S:
                    times.append(self._timed_step(phase, step, place))
                    on_step(index * len(places) + step + 1, total)
            found[phase.name] = list(zip(PLACES, times[1:], strict=False))
        on_step(total, total)
        return found

    def _timed_step(self, phase: Phase, step: int, progress: float) -> float:
        """Run a step as at this part of the phase; return its seconds."""
        start = time.perf_counter()
        try:
            with autocast(self.device):
                phase.step(to_device(self.loader.batch(step, phase.streams(progress)), self.device), progress)
            synchronize(self.device)
        except (RuntimeError, MemoryError) as error:
            raise self._explained(error) from error
        return time.perf_counter() - start

    def _explained(self, error: RuntimeError | MemoryError) -> Exception:
        if not is_out_of_memory(error):
            return error
        what = f"not enough memory on {self.device} for one training step"
        return MemoryShortage(what, "lower batch_size, patch_size or base_channels, or close other programs")


def _prepared(
    dataset: Dataset, surveyed: Surveyed, prepare: Callable[[Case, Case, OnUnreadable], SliceLoader]
) -> tuple[SliceLoader, tuple[Case, Case]]:
    """Prepare the first usable labelled source case and target case (a labelled one if there is any)."""
    sources = [case for case in dataset.source.cases if surveyed.labelled.get(case.id)]
    targets = [case for case in dataset.target.cases if surveyed.labelled_target.get(case.id)]
    queues = (sources, targets or list(dataset.target.cases))
    while True:
        source, target = (queue[0] for queue in queues)
        unreadable: list[int] = []

        def leave_out(index: int, _error: UnreadableCase, found: list[int] = unreadable) -> None:
            found.append(index)

        try:
            loader = prepare(source, target, leave_out)
        except UnreadableCase:
            if any(len(queues[index]) == 1 for index in unreadable):
                raise
            for index in unreadable:
                del queues[index][0]
        else:
            return loader, (source, target)

"""The losses of a run by phase, collected from its events. Needs only NumPy."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

MOST_POINTS = 1000


class _Column(NamedTuple):
    """One loss: the steps at which it was logged, in ascending order, and its values."""

    steps: array[int]
    values: array[float]


class _Phase:
    """The losses of one phase of training by name, in the order in which they were first logged."""

    def __init__(self) -> None:
        self.columns: dict[str, _Column] = {}
        self.last_step = 0

    def append(self, step: int, losses: Mapping[str, float]) -> None:
        self.last_step = step
        for name, value in losses.items():
            column = self.columns.setdefault(name, _Column(array("q"), array("d")))
            column.steps.append(step)
            column.values.append(value)

    def remove_from(self, step: int) -> None:
        """Remove what was logged at this step and after it."""
        for name, (steps, values) in list(self.columns.items()):
            kept = bisect_left(steps, step)
            del steps[kept:], values[kept:]
            if not steps:
                del self.columns[name]
        self.last_step = max((column.steps[-1] for column in self.columns.values()), default=0)


class LossHistory:
    """Collects the logged losses. A step that is repeated after a crash replaces the earlier values.

    Numbers are stored in arrays, so that long runs need little memory and time.
    """

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}  # in the order in which they ran
        self._total = 0

    def add(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Add further events of the run, in their order."""
        for event in events:
            step, metrics = event.get("step"), event.get("metrics")
            if event["event"] != "progress" or not isinstance(step, int) or not isinstance(metrics, dict):
                continue
            self._remove_from(step)
            losses = {name: float(value) for name, value in metrics.items() if _finite(value)}
            if losses:
                self._phases.setdefault(str(event.get("stage", "")), _Phase()).append(step, losses)
            self._total = event["total"] if isinstance(event.get("total"), int) else self._total

    def phases(self) -> list[str]:
        """Return the phases with logged losses, in the order in which they ran."""
        return list(self._phases)

    def losses(self, phase: str) -> list[str]:
        """Return the names of the losses of a phase, in the order in which they were first logged."""
        return list(self._phases[phase].columns)

    def span(self, phase: str) -> tuple[int, int]:
        """Return the step before a phase and its last step; for the last phase, the last step of the run."""
        phases = self.phases()
        place, last = phases.index(phase), self._phases[phase].last_step
        before = self._phases[phases[place - 1]].last_step if place else 0
        return before, (max(last, self._total) if phase == phases[-1] else last)

    def curve(self, phase: str, loss: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the steps and the values of a loss, at most ``MOST_POINTS``; longer curves as means of neighbours.

        Both have shape ``(n,)``; the steps are in ascending order.
        """
        steps, values = self._phases[phase].columns[loss]
        return thin(np.array(steps, float)), thin(np.array(values, float))

    def _remove_from(self, step: int) -> None:
        """Remove what was logged at this step and after it."""
        for phase in reversed(self.phases()):
            if self._phases[phase].last_step < step:
                return
            self._phases[phase].remove_from(step)
            if self._phases[phase].columns:
                return
            del self._phases[phase]


def thin(values: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """Return ``(n,)`` values as at most ``most`` means of equal groups of neighbours; the last may be smaller."""
    group = math.ceil(len(values) / most)
    if group <= 1:
        return values
    starts = np.arange(0, len(values), group)
    return np.add.reduceat(values, starts) / np.diff([*starts, len(values)])


def smooth(values: np.ndarray) -> np.ndarray:
    """Return the mean over a tenth of the curve around each point, over fewer points at its ends."""
    reach = len(values) // 20
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)

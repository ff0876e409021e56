"""The losses of a run as its events tell them, by phase. NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

MOST_POINTS = 1000


class _Point(NamedTuple):
    step: int
    losses: dict[str, float]


class LossHistory:
    """Collects what training logged. A step that is taken again after a crash replaces what was lost."""

    def __init__(self) -> None:
        self._points: dict[str, list[_Point]] = {}  # by phase, in the order the phases ran in
        self._total = 0

    def add(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in further events of the run, in their order."""
        for event in events:
            step, metrics = event.get("step"), event.get("metrics")
            if event["event"] != "progress" or not isinstance(step, int) or not isinstance(metrics, dict):
                continue
            self._forget_from(step)
            losses = {name: float(value) for name, value in metrics.items() if _finite(value)}
            if losses:
                self._points.setdefault(str(event.get("stage", "")), []).append(_Point(step, losses))
            self._total = event["total"] if isinstance(event.get("total"), int) else self._total

    def phases(self) -> list[str]:
        """Return the phases that have logged something, in the order they ran in."""
        return list(self._points)

    def losses(self, phase: str) -> list[str]:
        """Return the names of a phase's losses in the order they were first logged in."""
        return list(dict.fromkeys(name for point in self._points[phase] for name in point.losses))

    def span(self, phase: str) -> tuple[int, int]:
        """Return the step before a phase and its last one so far; of the last phase, the last it will have."""
        phases = self.phases()
        place, last = phases.index(phase), self._points[phase][-1].step
        before = self._points[phases[place - 1]][-1].step if place else 0
        return before, (max(last, self._total) if phase == phases[-1] else last)

    def curve(self, phase: str, loss: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the steps and the values of a loss, at most ``MOST_POINTS``; beyond that, means of neighbours.

        Shape:
            both ``(n,)``; steps rise.
        """
        rows = [(point.step, point.losses[loss]) for point in self._points[phase] if loss in point.losses]
        steps, values = np.array(rows, float).reshape(-1, 2).T
        return thin(steps), thin(values)

    def _forget_from(self, step: int) -> None:
        """Forget what was logged at this step and after it."""
        for phase in reversed(self.phases()):
            points = self._points[phase]
            while points and points[-1].step >= step:
                points.pop()
            if points:
                return
            del self._points[phase]


def thin(values: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """Return ``(n,)`` values as at most ``most`` means of equally many neighbours; the last may be of fewer."""
    group = math.ceil(len(values) / most)
    if group <= 1:
        return values
    starts = np.arange(0, len(values), group)
    return np.add.reduceat(values, starts) / np.diff([*starts, len(values)])


def smooth(values: np.ndarray) -> np.ndarray:
    """Return the mean over a tenth of the curve around each point, over less at its ends."""
    reach = len(values) // 20
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)

"""How long a run will still take: the pace of its last steps, and how much slower or faster later ones are.

The first steps of a run say little about the others: a translator is trained before the segmenter, and some losses
begin late. So a run records what a step took in several parts of each phase when its plan was made. Standard library
only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

RECENT = 50
"""Progress events from which the pace is taken."""


class _Part(NamedTuple):
    """Steps that take about the same time."""

    steps: float
    seconds: float


def course(phases: Mapping[str, int], seconds: Mapping[str, Sequence[tuple[float, float]]]) -> list[dict[str, Any]]:
    """Return the event fields that tell the ``steps`` of each phase and the measured ``seconds`` of one of them.

    ``seconds`` are pairs for each phase: the part of the phase in [0, 1], and what a step took there.
    """
    return [{"name": name, "steps": steps, "seconds": sorted(seconds[name])} for name, steps in phases.items()]


def course_of(events: Sequence[Mapping[str, Any]]) -> object:
    """Return the last recorded ``course``; ``None`` if there is none."""
    return next((event.get("phases") for event in reversed(events) if event["event"] == "course"), None)


def seconds_left(steps: Sequence[Mapping[str, Any]], phases: object) -> float | None:
    """Estimate the remaining time from the progress events since the last start and the last recorded ``course``.

    Without a course, later steps are taken to be like the last ones.
    """
    recent = list(steps)[-RECENT:]
    if len(recent) < 2:
        return None
    first, last, total = recent[0], recent[-1], recent[-1]["total"]
    seconds = last.get("time", 0) - first.get("time", 0)
    parts = _parts(phases)
    if not math.isclose(sum(part.steps for part in parts), total):
        parts = [_Part(total, 1.0)]
    begin, now, end = (_predicted(parts, step) for step in (first["step"], last["step"], total))
    return max(0.0, (end - now) * seconds / (now - begin)) if now > begin and seconds > 0 else None


def _parts(phases: object) -> list[_Part]:
    """Return the parts of a recorded course; none if it is damaged."""
    try:
        return [part for phase in phases for part in _parts_of(phase)]  # type: ignore[attr-defined]
    except (TypeError, ValueError, KeyError, OverflowError):
        return []


def _parts_of(phase: Mapping[str, Any]) -> list[_Part]:
    steps, places, seconds = phase["steps"], *zip(*phase["seconds"], strict=True)
    ends = [0.0, *((one + other) / 2 for one, other in pairwise(places)), 1.0]
    parts = [_Part(steps * (end - begin), one) for (begin, end), one in zip(pairwise(ends), seconds, strict=True)]
    if not all(part.steps >= 0 and 0 < part.seconds < math.inf for part in parts):
        raise ValueError("not the course of a run")
    return parts


def _predicted(parts: Sequence[_Part], step: float) -> float:
    """Return the seconds up to a step, as measured when the plan was made."""
    total = 0.0
    for part in parts:
        done = min(part.steps, step)
        total, step = total + done * part.seconds, step - done
    return total

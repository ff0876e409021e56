"""Which slices are worth correcting: where a model is least certain, and not next to what is corrected already.

Needs only NumPy, so that Slicer can use the same rule.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

APART = 0.2
"""A slice counts less than it would alone if it is nearer to a corrected one than this share of the slices that show
structures: neighbours teach much the same."""

SHOWN = 0.02
"""Of the largest area of structures in a slice: below it, a slice does not show them."""


@dataclass(frozen=True)
class Suggestion:
    """A slice to correct: the case, the index of the slice along the slicing axis, as in ``labelled_slices``, and the
    expected area of wrong pixels in mm2."""

    case: str
    index: int
    doubt_mm2: float


def most_doubtful(
    doubts: Mapping[str, np.ndarray],
    count: int,
    *,
    done: Mapping[str, Collection[int]],
    volumes: int | None = None,
) -> list[Suggestion]:
    """Choose slices one after another, each far from those before it.

    Args:
        doubts: for each case, what ``Prediction.doubt`` is.
        done: for each case, the slices that need no correction.
        volumes: as for ``suggest_slices``.
    """
    order = sorted(doubts, key=lambda name: -_relative(doubts[name]))
    values = {name: doubts[name][:, 0] for name in order[:volumes]}
    reach = {name: APART * _shown(doubts[name]) for name in values}
    taken = {name: set(done.get(name, ())) for name in values}
    found: list[Suggestion] = []
    while len(found) < count:
        left = [
            (doubt * min(1.0, _gap(index, taken[name]) / max(reach[name], 1.0)), name, index)
            for name, doubts_of in values.items()
            for index, doubt in enumerate(doubts_of.tolist())
            if index not in taken[name] and doubt > 0
        ]
        if not left:
            break
        _, name, index = max(left, key=lambda one: one[0])
        taken[name].add(index)
        found.append(Suggestion(name, index, round(float(values[name][index]), 1)))
    return found


def _relative(doubt: np.ndarray) -> float:
    """Return the expected share of wrong pixels for the size of the structures."""
    wrong, structures = doubt.sum(0)
    return float(wrong / structures) if structures else 0.0


def _shown(doubt: np.ndarray) -> int:
    return int((doubt[:, 1] > SHOWN * doubt[:, 1].max(initial=0)).sum())


def _gap(index: int, taken: Collection[int]) -> float:
    return min((abs(index - other) for other in taken), default=np.inf)

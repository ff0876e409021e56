"""Signs that volumes or labels cannot teach what they should: noise, labels without a border, mixed planes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from leuda_core.data.planes import AGREEING, disagreement

Row = Mapping[str, Any]

PLANE_REMEDY = "training mixes these planes; set plane to one of them, or leave these volumes out"

LAG = 4  # pixels; enlarging a slice to twice its size correlates neighbours up to three pixels apart
NOISE = 0.2
"""Correlation of pixels ``LAG`` apart below which slices show no structure; real volumes have 0.5 to 0.9."""

SHOWN = 6  # slices of a volume are enough


def is_noise(slices: np.ndarray) -> bool:
    """Return whether the pixels of slices ``(n, rows, columns)`` have nothing to do with their neighbours."""
    chosen = np.unique(np.linspace(0, len(slices) - 1, SHOWN).round().astype(int))
    found = [value for index in chosen for value in _correlations(slices[index].astype(np.float64))]
    return bool(found) and float(np.mean(found)) < NOISE


def _correlations(image: np.ndarray) -> list[float]:
    """Return the correlation of pixels along rows and along columns; none for small or constant slices."""
    image = image / (np.abs(image).max() or 1.0)  # squares of huge values would overflow
    image = image - image.mean()
    variance = float(np.mean(image**2))
    if not variance or not np.isfinite(variance):
        return []
    turned = (turned for turned in (image, image.T) if len(turned) >= 4 * LAG)
    return [float(np.mean(one[LAG:] * one[:-LAG])) / variance for one in turned]


def only_class(slices: Sequence[np.ndarray] | np.ndarray) -> int | None:
    """Return the class that covers every pixel of slices of class indices; ``None`` if there are several."""
    found = {int(value) for one in slices for value in (one.min(), one.max())}
    return found.pop() if len(found) == 1 else None


def covered_text(name: str, case: str) -> str:
    """Return the message about a structure that covers all labelled slices of a case."""
    return f"label {name!r} covers every pixel of the labelled slices of case {case!r}"


COVERED_REMEDY = "label what is outside the structure as background, 0"


def noise_text(cases: Sequence[str]) -> str:
    """Return the message about volumes that show noise."""
    return f"{', '.join(map(repr, cases))}: the slices look like noise, without any structure"


NOISE_REMEDY = "look at the volumes; they may be damaged or read in a wrong format"


def units_text(cases: Sequence[str]) -> str:
    """Return the message about CT volumes that are not in Hounsfield units, unlike most of their domain."""
    verb = "is" if len(cases) == 1 else "are"
    return f"{', '.join(map(repr, cases))} {verb} not in Hounsfield units, unlike the other CT volumes"


UNITS_REMEDY = (
    "give all CT volumes as the scanner stored them; grey values of the others are taken relative to each volume"
)


def doubts(rows: Sequence[Row]) -> Iterator[str]:
    """Return what does not prevent a training, each with its remedy."""
    learnt = [row for row in rows if row["role"] in ("source", "target")]
    for row in learnt:
        if row["only_label"] not in (None, "background"):
            yield f"{covered_text(row['only_label'], row['id'])}; {COVERED_REMEDY}"
    if noisy := [row["id"] for row in rows if row["noise"]]:
        yield f"{noise_text(noisy)}; {NOISE_REMEDY}"
    if found := disagreement({row["id"]: row["plane"] for row in rows}):
        yield f"{found}; {PLANE_REMEDY}"


def unit_doubts(rows: Sequence[Row], ct: Iterable[str]) -> Iterator[str]:
    """Return which volumes of the roles that are CT are not in Hounsfield units, if most of a role are."""
    for role in ct:
        mine = [row for row in rows if row["role"] == role]
        others = [row["id"] for row in mine if not row["hounsfield"]]
        if others and len(mine) - len(others) >= AGREEING * len(mine):
            yield f"{units_text(others)}; {UNITS_REMEDY}"


def nothing_to_learn(rows: Sequence[Row]) -> list[str]:
    """Return the problem of a dataset whose labelled source slices show one class alone, as a list of one or none."""
    labelled = [row for row in rows if row["role"] == "source" and row["labelled_slices"]]
    only = {row["only_label"] for row in labelled}
    if len(only) != 1 or None in only:
        return []
    return [f"{only.pop()!r} covers every pixel of all labelled slices; {COVERED_REMEDY}"]

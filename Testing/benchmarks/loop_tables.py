"""Tables of the simulated loop of corrections, from what ``bench_loop.py`` stored."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leuda_core.bench.results import confidence_interval


@dataclass(frozen=True)
class Outcome:
    """One adaptation. ``target`` and ``source`` are the mean Dice of every case; those of the source were learnt."""

    task: str
    model: str
    strategy: str
    slices: int
    seed: int
    steps: int
    seconds: float
    corrected: dict[str, list[int]]
    target: dict[str, float]
    source: dict[str, float]


def read_outcomes(path: Path) -> list[Outcome]:
    """Return the stored lines of a file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Outcome(**json.loads(line)) for line in lines]


def loop_table(path: Path) -> str:
    """Return a table with one row for every number of corrected slices and every way to choose them.

    Dice is that of the test patients, the mean over seeds; differences from the model before are paired by patient.
    """
    outcomes = read_outcomes(path)
    head = ["corrected slices", "chosen", "seeds", "Dice", "difference (95 % CI)", "Dice on the source", "seconds"]
    lines = []
    (before,) = [one for one in outcomes if not one.slices]
    lines.append(["0", "", "", f"{_mean([before.target]):.3f}", "", f"{_mean([before.source]):.3f}", ""])
    for slices, strategy in sorted({(one.slices, one.strategy) for one in outcomes if one.slices}, key=_order):
        group = [one for one in outcomes if (one.slices, one.strategy) == (slices, strategy)]
        gains = [
            statistics.fmean(one.target[case] for one in group) - before.target[case] for case in sorted(before.target)
        ]
        low, high = confidence_interval(gains) or (float("nan"),) * 2
        lines.append(
            [
                str(slices),
                strategy,
                str(len(group)),
                f"{_mean([one.target for one in group]):.3f}",
                f"{statistics.fmean(gains):+.3f} ({low:+.3f} to {high:+.3f})",
                f"{_mean([one.source for one in group]):.3f}",
                f"{statistics.fmean(one.seconds for one in group):.0f}",
            ]
        )
    first, *others = [f"| {' | '.join(line)} |" for line in (head, *lines)]
    return "\n".join([first, "|---" * len(head) + "|", *others])


def _order(key: tuple[int, str]) -> tuple[int, int]:
    return key[0], ("suggested", "random", "source").index(key[1])


def _mean(scores: Sequence[dict[str, float]]) -> float:
    return statistics.fmean(value for one in scores for value in one.values())

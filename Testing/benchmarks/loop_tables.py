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

    Dice is that of the test patients, the mean over seeds; differences from the model before, and from as many random
    slices, are paired by patient.
    """
    outcomes = read_outcomes(path)
    head = ["corrected slices", "chosen", "seeds", "Dice", "difference (95 % CI)", "against random (95 % CI)"]
    head += ["Dice on the source", "seconds"]
    groups: dict[tuple[int, str], list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault((one.slices, one.strategy) if one.slices else (0, ""), []).append(one)
    (before,) = groups.pop((0, ""))
    lines = [["0", "", "", f"{_mean([before.target]):.3f}", "", "", f"{_mean([before.source]):.3f}", ""]]
    for slices, strategy in sorted(groups, key=_order):
        group, random = groups[slices, strategy], groups.get((slices, "random"))
        lines.append(
            [
                str(slices),
                strategy,
                str(len(group)),
                f"{_mean([one.target for one in group]):.3f}",
                _difference(group, [before]),
                _difference(group, random) if random and strategy != "random" else "",
                f"{_mean([one.source for one in group]):.3f}",
                f"{statistics.fmean(one.seconds for one in group):.0f}",
            ]
        )
    first, *others = [f"| {' | '.join(line)} |" for line in (head, *lines)]
    return "\n".join([first, "|---" * len(head) + "|", *others])


def _difference(group: Sequence[Outcome], other: Sequence[Outcome]) -> str:
    """Return the mean difference of the patients' Dice with its interval, after the mean over seeds."""
    cases = sorted(group[0].target)
    ours, theirs = ([statistics.fmean(one.target[case] for one in each) for case in cases] for each in (group, other))
    gains = [a - b for a, b in zip(ours, theirs, strict=True)]
    low, high = confidence_interval(gains) or (float("nan"),) * 2
    return f"{statistics.fmean(gains):+.3f} ({low:+.3f} to {high:+.3f})"


def _order(key: tuple[int, str]) -> tuple[int, int]:
    return key[0], ("suggested", "random", "source").index(key[1])


def _mean(scores: Sequence[dict[str, float]]) -> float:
    return statistics.fmean(value for one in scores for value in one.values())

"""Averages of what runs measured: spread over seeds and patients, differences to controls, gap closed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from leuda_core.evaluation import Score

CONTROLS = ("source_only", "histogram_matching", "contrast_randomization", "adabn")
"""Methods that a method which learns to adapt has to beat."""


def run_name(dataset: str, method: str, *, augmentation: str, seed: int) -> str:
    """Return the name of a run, of its folder too: the only one of a bench with these four."""
    variant = method.replace(":", "+")  # not allowed in file names on Windows
    return f"{dataset}-{variant}-{augmentation}-{seed}"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one run measured on the test cases of its target domain."""

    dataset: str
    method: str
    augmentation: str
    seed: int
    steps: int
    settings: dict[str, Any]
    minutes: float
    peak_memory_mib: int
    scores: tuple[Score, ...]

    @property
    def name(self) -> str:
        return run_name(self.dataset, self.method, augmentation=self.augmentation, seed=self.seed)

    @property
    def has_scores(self) -> bool:
        """Return whether there is anything to average: some case has a label that is not absent."""
        return all(self.case_means(metric) for metric in ("dice", "hd95_mm", "asd_mm"))

    def case_means(self, metric: str) -> dict[str, float]:
        """Return the mean over labels of a metric for each case; labels absent from a case do not count."""
        cases: dict[str, list[float]] = {}
        for score in self.scores:
            value = getattr(score, metric)
            if value is not None and not math.isnan(value):
                cases.setdefault(score.case, []).append(value)
        return {case: statistics.fmean(values) for case, values in cases.items()}


class Group:
    """The runs of one method on one dataset at one level of augmentation: they differ in the seed alone."""

    def __init__(self, runs: Sequence[Result]) -> None:
        self.runs = runs
        self.dataset, self.method, self.augmentation = runs[0].dataset, runs[0].method, runs[0].augmentation
        self.seeds = {run.seed: run.case_means("dice") for run in runs}

    @property
    def dice(self) -> float:
        """Mean over labels, then cases, then seeds."""
        return statistics.fmean(statistics.fmean(cases.values()) for cases in self.seeds.values())

    @property
    def test_cases(self) -> frozenset[str]:
        return frozenset(score.case for score in self.runs[0].scores)

    def paired(self, other: Group) -> dict[str, float]:
        """Return by how much each case's mean Dice, over the seeds both have, is above that of another group."""
        shared = self.seeds.keys() & other.seeds.keys()
        return {
            case: statistics.fmean(self.seeds[seed][case] - other.seeds[seed][case] for seed in shared)
            for case in sorted(self.test_cases & other.test_cases)
            if shared and all(case in self.seeds[seed] and case in other.seeds[seed] for seed in shared)
        }


def groups(results: Sequence[Result]) -> list[Group]:
    """Return the results in groups, in their order of first appearance; those without any score are left out."""
    found: dict[tuple[str, str, str], list[Result]] = {}
    for result in filter(lambda one: one.has_scores, results):
        found.setdefault((result.dataset, result.method, result.augmentation), []).append(result)
    return [Group(runs) for runs in found.values()]


def rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return one row for each dataset, method and augmentation.

    ``dice_std_seeds`` is the standard deviation of the mean over seeds, ``dice_std_cases`` that over cases of the
    means over seeds. ``control`` is the best of the controls on the dataset at any augmentation, ``difference`` the
    mean difference to it, paired by case, with ``interval``, Student's 95 % confidence interval over the cases.
    ``gap_closed`` is (Dice - source_only) / (target_supervised - source_only) at the same augmentation, the latter
    from whichever dataset has the same test cases. ``None`` where there is nothing to compare with.
    """
    everything = groups(results)
    return [_row(group, everything) for group in everything]


def _row(group: Group, everything: Sequence[Group]) -> dict[str, Any]:
    case_means = [
        statistics.fmean(cases[case] for cases in group.seeds.values() if case in cases)
        for case in next(iter(group.seeds.values()))
    ]
    seed_means = [statistics.fmean(cases.values()) for cases in group.seeds.values()]
    runs = group.runs
    return {
        "dataset": group.dataset,
        "method": group.method,
        "augmentation": group.augmentation,
        "seeds": len(runs),
        "dice": group.dice,
        "dice_std_seeds": statistics.stdev(seed_means) if len(seed_means) > 1 else None,
        "dice_std_cases": statistics.stdev(case_means) if len(case_means) > 1 else None,
        **_against_control(group, everything),
        "gap_closed": _gap_closed(group, everything),
        "hd95_mm": statistics.fmean(statistics.fmean(run.case_means("hd95_mm").values()) for run in runs),
        "asd_mm": statistics.fmean(statistics.fmean(run.case_means("asd_mm").values()) for run in runs),
        "missed": sum(score.state == "missed" for run in runs for score in run.scores),
        "minutes": statistics.fmean(run.minutes for run in runs),
        "peak_memory_mib": max(run.peak_memory_mib for run in runs),
    }


def _against_control(group: Group, everything: Sequence[Group]) -> dict[str, Any]:
    controls = [other for other in everything if other.method in CONTROLS and other.dataset == group.dataset]
    best = max(controls, key=lambda other: other.dice, default=None)
    differences = list(group.paired(best).values()) if best and best is not group else []
    return {
        "control": f"{best.method}, {best.augmentation}" if best and differences else None,
        "difference": statistics.fmean(differences) if differences else None,
        "interval": confidence_interval(differences),
    }


def confidence_interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """Return Student's 95 % confidence interval of a mean; ``None`` for fewer than two values."""
    from scipy.stats import ttest_1samp

    if len(differences) < 2:
        return None
    interval = ttest_1samp(differences, 0.0).confidence_interval(0.95)
    return float(interval.low), float(interval.high)


def _gap_closed(group: Group, everything: Sequence[Group]) -> float | None:
    def dice(others: Iterator[Group]) -> float | None:
        return next((other.dice for other in others if other.augmentation == group.augmentation), None)

    lower = dice(other for other in everything if other.method == "source_only" and other.dataset == group.dataset)
    upper = dice(
        other for other in everything if other.method == "target_supervised" and other.test_cases == group.test_cases
    )
    if lower is None or upper is None or upper <= lower:
        return None
    return (group.dice - lower) / (upper - lower)


def by_dataset(found: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return rows by dataset, the best Dice first."""
    order = dict.fromkeys(row["dataset"] for row in found)
    return {
        name: sorted((row for row in found if row["dataset"] == name), key=lambda row: -row["dice"]) for name in order
    }

"""Rows of the tables in docs/RESULTS.md: what stored runs of one method measured, against a reference and bounds."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from leuda_core.bench.results import Group, Result, confidence_interval, rows
from leuda_core.bench.store import RESULTS_FILE, read_results
from leuda_core.bench.table import COLUMNS, cells

LOWER, UPPER = "source_only", "target_supervised"
DEVELOPMENT_FILE = "development.csv"

TITLES = {
    **COLUMNS,
    "row": "row",
    "note": "note",
    "steps": "steps",
    "dice_of_seeds": "seeds",
    "dice_by_seed": "Dice",
    "reference": "reference",
    "difference": "difference (95 % CI)",
    "lost": "lost (95 % CI)",
    "oracle": "oracle",
    "against_oracle": "against the oracle (95 % CI)",
    "development": "Dice, development patients",
    "development_by_seed": "Dice, development patients",
}
"""The columns by name, with their usual titles."""

Development = Mapping[tuple[int, ...], float]
"""Mean Dice of development patients by seeds: ``{(0,): 0.6, (0, 1, 2): 0.7}``."""


@dataclass(frozen=True)
class Selection:
    """Which runs make rows: one row per method, over the seeds that are stored among ``seeds``.

    ``methods`` and ``seeds`` are separated by commas. ``reference`` is the method that rows are compared with, and
    ``oracle`` the dataset of ``target_supervised`` with the same test patients. ``label`` replaces the method's name in
    the column ``row``, and ``note`` is the text of the column ``note``.
    """

    set: str = ""
    dataset: str = ""
    methods: str = ""
    augmentation: str = ""
    seeds: str = "0"
    reference: str = LOWER
    oracle: str = ""
    label: str = ""
    note: str = ""


@dataclass(frozen=True)
class Row:
    """``group`` are the runs of a row, ``reference`` and ``oracle`` those they are compared with.

    ``context`` are the runs of all of them.
    """

    selection: Selection
    group: Group
    reference: Group | None
    oracle: Group | None
    context: Sequence[Result]
    development: Development

    def cells(self) -> dict[str, str]:
        """Return the text of every column by name."""
        seeds = sorted(self.group.seeds)
        means = [statistics.fmean(self.group.seeds[seed].values()) for seed in seeds]
        mean = self.development.get(tuple(seeds))
        return {
            **self._usual_cells(),
            "row": self.selection.label or f"`{self.group.method}`",
            "note": self.selection.note,
            "steps": f"{self.group.runs[0].steps:,}",
            "dice_of_seeds": ", ".join(f"{value:.3f}" for value in means) if len(means) > 1 else "",
            "dice_by_seed": _with_others(means),
            "reference": f"{self.reference.dice:.3f}" if self.reference else "",
            "lost": _difference(self.reference, self.group),
            "oracle": f"{self.oracle.dice:.3f}" if self.oracle else "",
            "against_oracle": _difference(self.group, self.oracle),
            "development": "" if mean is None else f"{mean:.3f}",
            "development_by_seed": _with_others([self.development[(s,)] for s in seeds if (s,) in self.development]),
        }

    def _usual_cells(self) -> dict[str, str]:
        """Return the columns that the table of ``leuda bench`` has as well."""
        group = (self.group.dataset, self.group.method)
        figures = next(row for row in rows(self.context) if (row["dataset"], row["method"]) == group)
        texts = dict(zip(COLUMNS, cells(figures, "`{}`"), strict=True))
        return texts | {
            "difference": _difference(self.group, self.reference),
            "gap_closed": {LOWER: "0", UPPER: "1"}.get(self.group.method, texts["gap_closed"]),
        }


def _with_others(values: Sequence[float]) -> str:
    """Return the first value and, in brackets, the others."""
    first, *others = [f"{value:.3f}" for value in values] or [""]
    return f"{first} ({', '.join(others)})" if others else first


def _difference(group: Group | None, reference: Group | None) -> str:
    if group is None or reference is None or group.method == reference.method:
        return ""
    values = list(group.paired(reference).values())
    interval = confidence_interval(values)
    bounds = f" ({interval[0]:+.3f} to {interval[1]:+.3f})" if interval else ""
    return f"{statistics.fmean(values):+.3f}{bounds}"


class ResultSets:
    """The results that lie below a folder, each set read once."""

    def __init__(self, folder: Path) -> None:
        self._read = cache(lambda name: list(read_results(folder / name / RESULTS_FILE).values()))
        self._development = read_development(folder / DEVELOPMENT_FILE)

    def rows(self, selection: Selection) -> Iterator[Row]:
        """Yield the rows of a selection.

        Reference and bounds are taken over the seeds that a row has, so that one seed is compared with one seed.

        Raises:
            ValueError: a method has no such run.
        """
        asked = {int(seed) for seed in selection.seeds.split(",")}
        for method in (name.strip() for name in selection.methods.split(",")):
            runs = [run for run in self._read(selection.set) if run.augmentation == selection.augmentation]
            own = [
                run for run in runs if (run.dataset, run.method) == (selection.dataset, method) and run.seed in asked
            ]
            if not own:
                raise ValueError(f"no run of {method} with {selection}")
            paired = [run for run in runs if run.seed in {mine.seed for mine in own}]
            reference, oracle = (
                [run for run in paired if (run.dataset, run.method) == kind]
                for kind in ((selection.dataset, selection.reference), (selection.oracle, UPPER))
            )
            yield Row(
                selection,
                Group(own),
                Group(reference) if reference else None,
                Group(oracle) if oracle else None,
                [run for run in paired if run.method in (method, LOWER, UPPER)],
                self._development.get((selection.set, selection.dataset, method, selection.augmentation), {}),
            )


def read_development(path: Path) -> dict[tuple[str, str, str, str], dict[tuple[int, ...], float]]:
    """Return the figures of development patients by set, dataset, method and augmentation, and then by seeds."""
    found: dict[tuple[str, str, str, str], dict[tuple[int, ...], float]] = {}
    with open(path, encoding="utf-8", newline="") as stream:
        for line in csv.DictReader(stream):
            key = (line["set"], line["dataset"], line["method"], line["augmentation"])
            found.setdefault(key, {})[tuple(int(seed) for seed in line["seeds"].split())] = float(line["dice"])
    return found

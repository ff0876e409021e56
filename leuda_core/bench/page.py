"""The page of a bench: a plot and a table for each dataset, to read, keep and show."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leuda_core.bench.results import Group, Result, by_dataset, groups
from leuda_core.bench.table import COLUMNS, cells
from leuda_core.io.files import write_text
from leuda_core.report.page import page, picture, section, table
from leuda_core.report.pictures import INK, new_figure, png_bytes

COLORS = {"paper": "#c26a16", "strong": "#2158d6"}
_LEAD = "Every method with the same data, segmenter and budget."
_HOW = (
    "Dots are test cases, averaged over labels and seeds; bars are the means, and black ticks the means of single "
    "seeds. The grey line is the best control."
)
_COLUMNS = (
    "Differences are paired by test case, over the seeds both methods have; the interval is Student's over the test "
    "cases. Gap closed: (method - source_only) / (target_supervised - source_only) at the same augmentation. Minutes "
    "and memory are those of the run; a shared translator comes on top."
)


def check_page() -> None:
    """Refuse at once what would fail at the end of ``write_page``.

    Raises:
        InputError: matplotlib is missing.
    """
    new_figure(1, 1)


def write_page(out: Path, results: Sequence[Result], found: Sequence[Mapping[str, Any]]) -> Path:
    """Write the page of ``results``, whose rows are ``found``, and return its path."""
    body = [f"<header><h1>Benchmark</h1><p class='lead'>{_LEAD}</p></header>"]
    for dataset, mine in by_dataset(found).items():
        chosen = [group for group in groups(results) if group.dataset == dataset]
        control = next((row["control"] for row in mine if row["control"]), None)
        body.append(section(dataset, picture(_draw(chosen, control), f"Dice of each method on {dataset}"), _HOW))
        body.append(section(f"{dataset}: figures", table([cells(row) for row in mine], list(COLUMNS.values()))))
    body.append(f"<p class='hint'>{_COLUMNS}</p>")
    write_text(out, page("Benchmark", "\n".join(body)))
    return out


def _draw(chosen: Sequence[Group], control: str | None) -> bytes:
    order = sorted(chosen, key=lambda group: group.dice)
    figure = new_figure(9.0, 0.9 + 0.28 * len(order))
    axes = figure.add_subplot()
    for height, group in enumerate(order):
        color = COLORS.get(group.augmentation, INK)
        scores = [[seed[case] for seed in group.seeds.values() if case in seed] for case in group.test_cases]
        cases = [statistics.fmean(each) for each in scores if each]  # every label may be absent from a case
        axes.barh(height, group.dice, height=0.62, color=color, alpha=0.25)
        axes.scatter(cases, [height] * len(cases), s=14, color=color, linewidths=0, zorder=3)
        means = [statistics.fmean(seed.values()) for seed in group.seeds.values()]
        axes.scatter(means, [height] * len(means), s=90, marker="|", color=INK, linewidths=1.2, zorder=4)
        if control == f"{group.method}, {group.augmentation}":
            axes.axvline(group.dice, color="#8a93a1", linewidth=1.0, zorder=1)
    axes.set_yticks(range(len(order)), [f"{group.method}, {group.augmentation}" for group in order], fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_xlabel("mean Dice", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(y=0.02)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    return png_bytes(figure)

"""Tables of scores, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leuda_core.report.page import details, escape, section, table

Scores = Mapping[str, Any]

COUNTS = {"n_missed": "missed", "n_false": "false", "n_absent": "absent"}
_HOW = (
    "Mean over cases. HD95 and ASD are symmetric, in mm. Where a structure was missed, or found where there is none, "
    "Dice counts as 0 and both distances as the diagonal of the volume."
)


def scores_html(scores: Scores | None, colors: Mapping[str, str]) -> str:
    """Return the sections with the scores of each label and of each case; empty without scores."""
    if not scores:
        return ""
    overall = {**scores["overall"], "name": "mean"}
    entries = (*scores["labels"], overall)
    counts = [key for key in COUNTS if overall[key]]  # a column of zeros gives no information
    rows = [_row(entry, colors, counts) for entry in entries]
    head = ("label", "Dice", "", "HD95 (mm)", "ASD (mm)", *(COUNTS[key] for key in counts))
    cases = [(case["name"], number(case["dice"], 3), *_distances(case)) for case in scores["cases"]]
    per_case = details(f"Each of {len(cases)} cases", table(cases, ("case", "Dice", "HD95 (mm)", "ASD (mm)")))
    failed = "; ".join(f"{case['case']} ({case['message']})" for case in scores.get("failed", ()))
    how = f"{_HOW} Not scored: {failed}." if failed else _HOW
    return section("Results on held-out target cases", table(rows, head, raw=True) + per_case, how)


def comparison_html(comparison: Mapping[str, Scores], colors: Mapping[str, str]) -> str:
    """Return a table of Dice: a row for each label, a column for each method, and the best of each row in bold."""
    if not comparison:
        return ""
    names = [entry["name"] for entry in next(iter(comparison.values()))["labels"]]
    rows = []
    for name in names:
        values = [next((e["dice"] for e in s["labels"] if e["name"] == name), None) for s in comparison.values()]
        rows.append((_swatch(name, colors), *_best_bold(values)))
    rows.append(("<b>mean</b>", *_best_bold([s["overall"]["dice"] for s in comparison.values()])))
    n_cases = len(next(iter(comparison.values()))["cases"])
    head = ("label", *comparison)
    return section("Dice, side by side", table(rows, head, raw=True), f"Mean over {n_cases} held-out target cases.")


def number(value: float | None, digits: int) -> str:
    """Return a number, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def _row(entry: Scores, colors: Mapping[str, str], counts: Sequence[str]) -> tuple[str, ...]:
    dice, spread = number(entry["dice"], 3), entry.get("dice_std")
    width = 100 * max(0.0, min(1.0, entry["dice"] or 0.0))
    color = colors.get(entry["name"], "var(--accent)")
    return (
        _swatch(entry["name"], colors) if entry["name"] in colors else f"<b>{escape(entry['name'])}</b>",
        f"<b>{dice}</b>" + (f" <small>± {spread:.3f}</small>" if spread is not None else ""),
        f"<div class='bar'><i style='width:{width:.1f}%;background:{color}'></i></div>",
        *_distances(entry),
        *(str(entry[key]) for key in counts),
    )


def _distances(entry: Scores) -> tuple[str, str]:
    return number(entry["hd95_mm"], 1), number(entry["asd_mm"], 2)


def _swatch(name: str, colors: Mapping[str, str]) -> str:
    return f"<i class='swatch' style='background:{colors.get(name, '#888')}'></i>{escape(name)}"


def _best_bold(values: list[float | None]) -> list[str]:
    known = [value for value in values if value is not None]
    best = max(known) if len(known) > 1 else None
    return [f"<b>{number(v, 3)}</b>" if v is not None and v == best else number(v, 3) for v in values]

"""One self-contained page about a run, without network or scripts, for light and dark screens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leuda_core.errors import InputError
from leuda_core.io.files import write_text
from leuda_core.report.curves import curves_html
from leuda_core.report.page import details, escape, markdown_html, page, picture, section, table
from leuda_core.report.pictures import new_figure
from leuda_core.report.run_files import RunFiles, read_run_files
from leuda_core.report.scores import comparison_html, scores_html
from leuda_core.runs.state import RunStatus, status

MAX_PREVIEWS = 8

_STATES = {
    "finished": ("finished", "good"),
    "running": ("still running: this page shows its progress so far", "busy"),
    "stopped": ("stopped early: this page shows its progress so far", "warn"),
    "failed": ("failed", "bad"),
    "crashed": ("stopped unexpectedly", "bad"),
    "created": ("not started yet", "warn"),
}


def write_report(
    run_path: Path | str,
    out: Path | str,
    *,
    figures: Mapping[str, Path] | None = None,
    comparison: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write the page of a run, finished or not, and return its path.

    Scores come from ``scores.json`` in the run folder, the JSON form of an ``Evaluation``, if it is there.

    Args:
        figures: further PNG files to show near the top, by caption.
        comparison: evaluations (as dictionaries) by method name, for a table of methods side by side.

    Raises:
        InputError: the folder holds no run, matplotlib is missing, or the page cannot be written.
    """
    out = Path(out)
    check_report(out)
    run = read_run_files(Path(run_path))
    body = [
        _head(run),
        comparison_html(comparison or {}, run.labels),
        *(section(caption, picture(path.read_bytes(), caption)) for caption, path in (figures or {}).items()),
        scores_html(run.scores, run.labels),
        section("Training", curves_html(run.events), "Losses over the steps; the bold line is smoothed."),
        section("The same slice during training", _previews(run), "One slice of a target case without labels."),
        section("Data", _data(run)),
        section("Settings", _settings(run)),
        section("Model card", markdown_html(run.card)),
        section("Software", table([(name, version) for name, version in run.software.items()])),
    ]
    write_text(out, page(f"{run.dataset_name}: {run.method_title}", "\n".join(part for part in body if part)))
    return out


def check_report(out: Path) -> None:
    """Check in advance what would otherwise fail at the end of ``write_report``.

    Raises:
        InputError: the name is not that of an HTML file, or matplotlib is missing.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"report {out} is not an HTML file", "use a name that ends in .html")
    new_figure(1, 1)


def _head(run: RunFiles) -> str:
    state = status(run.path)
    text, kind = _STATES[state.state]
    note = f"<p class='note {kind}'>{escape(' '.join(filter(None, (state.message, state.remedy))))}</p>"
    domains = " &rarr; ".join(f"{escape(d.name)} ({escape(d.modality)})" for d in run.domains)
    labels = "".join(f"<li><i style='background:{color}'></i>{escape(name)}</li>" for name, color in run.labels.items())
    steps = f"{state.step:,}" if state.state == "finished" else f"{state.step:,} of {state.total:,}"
    figures = [("steps", steps), ("time", run.duration)]
    if run.domains:
        figures.append(("labelled source cases", f"{run.domains[0].labelled_cases} of {run.domains[0].cases}"))
        figures.append(("target cases", str(run.domains[1].cases)))
    if run.scores and run.scores["overall"]["dice"] is not None:
        figures.insert(0, ("mean Dice", f"{run.scores['overall']['dice']:.3f}"))
    tiles = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in figures if value)
    return (
        f"<header><p class='state {kind}'>{escape(text)}</p><h1>{escape(run.dataset_name)}</h1>"
        f"<p class='lead'>{escape(run.method_title)}{', ' + domains if domains else ''}</p>"
        f"<ul class='labels'>{labels}</ul><div class='tiles'>{tiles}</div>{note if state.message else ''}"
        f"{_warnings(state)}</header>"
    )


def _warnings(state: RunStatus) -> str:
    return "".join(
        f"<p class='note warn'>Warning: {escape(one['message'])}; {escape(one['remedy'])}</p>" for one in state.warnings
    )


def _previews(run: RunFiles) -> str:
    shown = run.previews
    if len(shown) > MAX_PREVIEWS:
        last = len(shown) - 1
        shown = [shown[round(i * last / (MAX_PREVIEWS - 1))] for i in range(MAX_PREVIEWS)]
    tiles = "".join(
        f"<figure>{picture(path.read_bytes(), f'step {step}')}<figcaption>step {step:,}</figcaption></figure>"
        for step, path in shown
    )
    return f"<div class='strip'>{tiles}</div>" if tiles else ""


def _data(run: RunFiles) -> str:
    head = ("domain", "name", "modality", "cases", "with labels", "labelled slices")
    rows = [
        (role, domain.name, domain.modality, domain.cases, domain.labelled_cases, domain.labelled_slices or "")
        for role, domain in zip(("source", "target"), run.domains, strict=False)
    ]
    return table(rows, head) if rows else ""


def _settings(run: RunFiles) -> str:
    config = run.config
    general = {"method": config.method, "steps": config.steps, "seed": config.seed, "device": config.device}
    rows = [(name, value, run.descriptions.get(name, "")) for name, value in config.settings.items()]
    return table(list(general.items())) + details(
        f"All {len(rows)} settings of the method", table(rows, ("setting", "value", "what it is"))
    )

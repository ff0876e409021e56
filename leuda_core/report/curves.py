"""Curves of the losses, drawn once for light and once for dark pages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from leuda_core.report.page import escape
from leuda_core.report.pictures import data_uri, new_figure, png_bytes

THEMES = {
    "light": {"ink": "#47505f", "grid": "#e3e6eb", "raw": "#b9cdf5", "line": "#2158d6", "paper": "#ffffff"},
    "dark": {"ink": "#a9b3c2", "grid": "#2c3440", "raw": "#3a5288", "line": "#86abff", "paper": "#171c24"},
}
COLUMNS = 3

Series = dict[int, float]


def read_losses(events: list[dict[str, Any]]) -> dict[str, dict[str, Series]]:
    """Return stage -> loss -> step -> value. Steps that were repeated after a crash replace the earlier ones."""
    stages: dict[str, dict[str, Series]] = {}
    for event in events:
        metrics, step = event.get("metrics"), event.get("step")
        if event["event"] not in ("progress", "metric") or not isinstance(metrics, dict) or not isinstance(step, int):
            continue
        for name, value in metrics.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                stages.setdefault(str(event.get("stage", "")), {}).setdefault(name, {})[step] = float(value)
    return stages


def curves_html(events: list[dict[str, Any]]) -> str:
    """Return a block of small charts for each stage; empty if nothing has been logged."""
    stages = read_losses(events)
    parts = []
    for stage, losses in stages.items():
        title = f"<h3>{escape(stage.replace('_', ' '))}</h3>" if len(stages) > 1 else ""
        light, dark = (data_uri(_draw(losses, THEMES[theme])) for theme in ("light", "dark"))
        names = escape(", ".join(losses))
        parts.append(
            f"{title}<picture><source srcset='{dark}' media='(prefers-color-scheme: dark)'>"
            f"<img class='wide' src='{light}' alt='curves of {names}'></picture>"
        )
    return "".join(parts)


def _draw(losses: dict[str, Series], theme: dict[str, str]) -> bytes:
    rows = math.ceil(len(losses) / COLUMNS)
    figure = new_figure(9.6, 1.95 * rows)
    figure.set_facecolor(theme["paper"])
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, (name, series) in zip(grid, losses.items(), strict=False):
        steps, values = np.array(list(series)), np.array(list(series.values()))
        axes.plot(steps, values, color=theme["raw"], linewidth=0.9, marker="o" if len(steps) == 1 else "", markersize=3)
        axes.plot(steps, _smooth(values), color=theme["line"], linewidth=1.8)
        axes.set_title(name.replace("_", " "), fontsize=9, color=theme["ink"], loc="left", fontweight="bold")
        _style(axes, theme)
    for axes in grid[len(losses) :]:
        axes.set_visible(False)
    figure.tight_layout(pad=0.6, h_pad=1.2, w_pad=1.4)
    return png_bytes(figure, dpi=150)


def _style(axes: Any, theme: dict[str, str]) -> None:
    axes.set_facecolor(theme["paper"])
    axes.grid(axis="y", color=theme["grid"], linewidth=0.8)
    axes.tick_params(colors=theme["ink"], labelsize=7.5, length=0)
    axes.locator_params(axis="both", nbins=4)
    axes.margins(x=0.02)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(theme["grid"])


def _smooth(values: np.ndarray) -> np.ndarray:
    """Return a moving average over a fifteenth of the curve; the window is shorter at both ends."""
    window = np.ones(len(values) // 15 | 1)
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")

"""Figures that need no window, and pictures of slices with contours. Needs matplotlib (extra ``report``)."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from leuda_core.errors import InputError
from leuda_core.types import Label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PAPER = "#1d2430", "#ffffff"


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure without a window and without global state.

    Raises:
        InputError: matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("pictures need matplotlib, which is not installed", "run: pip install matplotlib") from error
    figure = Figure(figsize=(width_in, height_in), facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure, *, dpi: int = 144) -> bytes:
    """Render a figure."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, facecolor=figure.get_facecolor())
    return stream.getvalue()


def data_uri(png: bytes) -> str:
    """Return a PNG as text that can be embedded in an HTML page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def overlay_figure(
    slices: Sequence[np.ndarray],
    label_maps: Sequence[Sequence[np.ndarray]],
    labels: Sequence[Label],
    titles: Sequence[str],
    *,
    row_names: Sequence[str] = (),
    title: str = "",
    aspect: float = 1.0,
) -> Figure:
    """Draw a grid: a row for each slice, a column for each set of label maps, contours in the labels' colours.

    Shape:
        slices: R arrays ``(H, W)``; rows run downwards, columns to the right.
        label_maps: C sequences of R arrays ``(H, W)`` of label values; an empty sequence shows the image alone.
        titles: C; ``row_names``: R or none. ``aspect`` is the pixel's height over its width.
    """
    n_rows, n_columns = len(slices), len(label_maps)
    height, width = slices[0].shape[0] * aspect, slices[0].shape[1]
    cell = 2.3
    margin, head, foot = 0.12, 0.34 + (0.36 if title else 0), 0.5
    size = (n_columns * cell + 2 * margin, n_rows * cell * height / width + head + foot)
    figure = new_figure(*size)
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    figure.subplots_adjust(
        left=margin / size[0],
        right=1 - margin / size[0],
        top=1 - head / size[1],
        bottom=foot / size[1],
        wspace=0.03,
        hspace=0.03,
    )
    for row, image in enumerate(slices):
        for column, maps in enumerate(label_maps):
            axes = grid[row, column]
            draw_slice(axes, image, maps[row] if len(maps) else None, labels, aspect=aspect)
            if row == 0:
                axes.set_title(titles[column], fontsize=10.5, color=INK, pad=6)
            if row_names and column == 0:
                _tag(axes, row_names[row])
    add_title(figure, title)
    add_legend(figure, labels)
    return figure


def _tag(axes: Axes, text: str) -> None:
    box = {"facecolor": "black", "alpha": 0.55, "edgecolor": "none", "boxstyle": "round,pad=0.3"}
    axes.text(0.04, 0.95, text, transform=axes.transAxes, color="white", fontsize=7.5, va="top", bbox=box)


def draw_slice(
    axes: Axes, image: np.ndarray, label_map: np.ndarray | None, labels: Sequence[Label], *, aspect: float = 1.0
) -> None:
    """Draw one grey slice ``(H, W)`` and the contours of its label map, if any."""
    low, high = np.percentile(image, (0.5, 99.5))
    limits = {"vmin": low, "vmax": max(high, low + 1e-6)}
    axes.imshow(image, cmap="gray", interpolation="bilinear", aspect=aspect, **limits)
    axes.set_axis_off()
    if label_map is not None:
        _draw_contours(axes, label_map, labels)
    axes.set_xlim(-0.5, image.shape[1] - 0.5)
    axes.set_ylim(image.shape[0] - 0.5, -0.5)


def _draw_contours(axes: Axes, label_map: np.ndarray, labels: Sequence[Label]) -> None:
    from skimage.measure import find_contours

    for label in labels:
        mask = np.pad((label_map == label.value).astype(float), 1)  # closes the contours at the edge of the slice
        for contour in find_contours(mask, 0.5):
            y, x = contour.T - 1
            axes.plot(x, y, color="black", linewidth=2.4, alpha=0.45, solid_joinstyle="round")
            axes.plot(x, y, color=label.color, linewidth=1.4, solid_joinstyle="round")


def add_title(figure: Figure, title: str) -> None:
    """Write a title at the top of a figure; nothing if it is empty."""
    if title:
        y = 1 - 0.14 / figure.get_figheight()
        figure.suptitle(title, fontsize=13, fontweight="bold", color=INK, y=y, va="top")


def add_legend(figure: Figure, labels: Sequence[Label]) -> None:
    """Write the labels with their colours at the bottom of a figure."""
    from matplotlib.patches import Patch

    if labels:
        handles = [Patch(color=label.color, label=label.name) for label in labels]
        figure.legend(
            handles=handles, loc="lower center", ncols=min(len(labels), 6), frameon=False, fontsize=9, labelcolor=INK
        )

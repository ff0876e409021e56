"""Contours are drawn in the right place."""

from __future__ import annotations

import io

import numpy as np

from leuda_core.report.pictures import overlay_figure, png_bytes
from leuda_core.types import Label


def test_contours_lie_where_the_label_is():
    from PIL import Image

    image = np.random.default_rng(0).normal(100, 5, (30, 50))
    labels = np.zeros((30, 50), np.uint8)
    labels[3:9, 36:46] = 1  # upper right, at rows 3 to 8
    red_label = Label(1, "red one", (1.0, 0.0, 0.0))
    figure = overlay_figure([image], [(), [labels]], [red_label], ["image", "labels"])
    drawn = np.asarray(Image.open(io.BytesIO(png_bytes(figure, dpi=80))).convert("RGB")).astype(int)
    red = np.argwhere((drawn[..., 0] > drawn[..., 1] + 100) & (np.arange(len(drawn))[:, None] < 0.8 * len(drawn)))
    height, width = drawn.shape[:2]
    assert len(red) > 30
    assert red[:, 1].min() > 0.8 * width  # in the right half of the right panel, and nothing in the bare one
    assert red[:, 0].max() < 0.55 * height

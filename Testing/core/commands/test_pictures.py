"""Pictures show the right thing in the right place; the ray caster agrees with geometry."""

from __future__ import annotations

import io

import numpy as np
import pytest

from leuda_core.pictures import overlay_figure, png_bytes, surface_figure
from leuda_core.rendering import surface_image, view_of
from leuda_core.types import Label, LabelMap

RED, BLUE = Label(1, "red one", (1.0, 0.0, 0.0)), Label(2, "blue one", (0.0, 0.0, 1.0))


def ball(centre_mm, radius_mm, value=1, shape=(40, 40, 16), spacing_mm=(2.0, 2.0, 5.0)) -> np.ndarray:
    position = np.moveaxis(np.indices(shape), 0, -1) * spacing_mm
    return value * (np.linalg.norm(position - centre_mm, axis=-1) <= radius_mm).astype(np.uint8)


def label_map(data, spacing_mm=(2.0, 2.0, 5.0), sign=(1, 1, 1)) -> LabelMap:
    return LabelMap(data, np.diag([*np.multiply(spacing_mm, sign), 1.0]), (RED, BLUE))


def coloured(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    solid = image[..., 3] > 0.5
    return solid & (image[..., 0] > image[..., 2]), solid & (image[..., 2] > image[..., 0])


def pixels(figure) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png_bytes(figure, dpi=80))).convert("RGB")).astype(int)


def test_ball_is_drawn_as_a_disc_of_its_size():
    volume = label_map(ball((40, 40, 40), 25))
    view = view_of([volume], azimuth_deg=0, elevation_deg=0)
    image = surface_image(volume, view=view, pixels=200)
    red, _ = coloured(image)
    pixel_mm = 2 * view.half_mm / 200
    assert red.sum() * pixel_mm**2 == pytest.approx(np.pi * 25**2, rel=0.06)
    rows, columns = np.nonzero(red)
    assert (rows.mean(), columns.mean()) == pytest.approx((99.5, 99.5), abs=3)


def test_nearer_body_hides_the_farther_one():
    back_to_front = ball((40, 20, 40), 12, 2) + ball((40, 60, 40), 18, 1)  # anterior is +y, so the red one is in front
    volume = label_map(back_to_front)
    front = surface_image(volume, view=view_of([volume], azimuth_deg=0, elevation_deg=0), pixels=120)
    behind = surface_image(volume, view=view_of([volume], azimuth_deg=180, elevation_deg=0), pixels=120)
    assert coloured(front)[1].sum() == 0
    assert coloured(behind)[1].sum() > 300


@pytest.mark.parametrize("sign", [(1, 1, 1), (-1, -1, 1)])
def test_seen_from_the_front_right_is_left_and_head_is_up(sign):
    position = np.array([60.0, 40.0, 62.0]) * sign  # blue: to the patient's right and up if the axes are not flipped
    data = ball((20, 40, 15), 12, 1) + ball(np.abs(position), 12, 2)
    volume = label_map(data, sign=sign)
    image = surface_image(volume, view=view_of([volume], azimuth_deg=0, elevation_deg=0), pixels=120)
    red, blue = (np.argwhere(mask).mean(0) for mask in coloured(image))
    assert blue[0] < red[0]
    assert (blue[1] < red[1]) == (sign[0] > 0)


def test_lit_from_above():
    volume = label_map(ball((40, 40, 40), 25))
    image = surface_image(volume, view=view_of([volume], azimuth_deg=0, elevation_deg=0), pixels=120)
    assert image[25:45, 50:70, 0].mean() > 1.2 * image[80:100, 50:70, 0].mean()


def test_empty_label_map_gives_an_empty_picture():
    image = surface_image(label_map(np.zeros((8, 8, 8), np.uint8)), pixels=40)
    assert image.shape == (40, 40, 4)
    assert image.max() == 0


def test_contours_lie_where_the_label_is():
    image = np.random.default_rng(0).normal(100, 5, (30, 50))
    labels = np.zeros((30, 50), np.uint8)
    labels[3:9, 36:46] = 1  # upper right, at rows 3 to 8
    drawn = pixels(overlay_figure([image], [(), [labels]], [RED], ["image", "labels"]))
    red = np.argwhere((drawn[..., 0] > drawn[..., 1] + 100) & (np.arange(len(drawn))[:, None] < 0.8 * len(drawn)))
    height, width = drawn.shape[:2]
    assert len(red) > 30
    assert red[:, 1].min() > 0.8 * width  # in the right half of the right panel, and nothing in the bare one
    assert red[:, 0].max() < 0.55 * height


def test_surface_figure_has_a_panel_for_each_map():
    maps = [label_map(ball((40, 40, 40), radius)) for radius in (14, 25)]
    drawn = pixels(surface_figure(maps, ["small", "large"], pixels=100))
    red = drawn[..., 0] > drawn[..., 1] + 60
    red[int(0.86 * len(red)) :] = False  # the legend
    half = red.shape[1] // 2
    assert 0 < 2 * red[:, :half].sum() < red[:, half:].sum()

"""The 3-D picture shows the surfaces where they are, with the nearer ones in front, and loses no small part."""

from __future__ import annotations

import io

import numpy as np
import pytest

from leuda_core.demo.surfaces import View, draw_surfaces, surface_figure, surface_mesh, view_of
from leuda_core.report.pictures import new_figure, png_bytes
from leuda_core.types import Label, LabelMap

RED, BLUE = Label(1, "red one", (1.0, 0.0, 0.0)), Label(2, "blue one", (0.0, 0.0, 1.0))
SPACING_MM = (2.0, 2.0, 5.0)


def ball(centre_mm, radius_mm, value=1, shape=(40, 40, 16)) -> np.ndarray:
    position = np.moveaxis(np.indices(shape), 0, -1) * SPACING_MM
    return value * (np.linalg.norm(position - centre_mm, axis=-1) <= radius_mm).astype(np.uint8)


def label_map(data, sign=(1, 1, 1)) -> LabelMap:
    return LabelMap(data, np.diag([*np.multiply(SPACING_MM, sign), 1.0]), (RED, BLUE))


def view(volume: LabelMap, azimuth_deg: float = 0.0) -> View:
    return view_of([volume], azimuth_deg=azimuth_deg, elevation_deg=0)


def pixels(figure, dpi: int) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png_bytes(figure, dpi=dpi))).convert("RGB")).astype(int)


def draw(volume: LabelMap, seen: View) -> np.ndarray:
    """Return ``(200, 200, 3)``: the view fills the picture."""
    figure = new_figure(2, 2)
    draw_surfaces(figure.add_axes((0, 0, 1, 1)), volume, seen)
    return pixels(figure, 100)


def coloured(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    red, _, blue = np.moveaxis(image, -1, 0)
    return red > blue + 60, blue > red + 60


def test_ball_is_drawn_as_a_disc_of_its_size():
    volume = label_map(ball((40, 40, 40), 25))
    seen = view(volume)
    red, _ = coloured(draw(volume, seen))
    assert red.sum() * (2 * seen.half_mm / 200) ** 2 == pytest.approx(np.pi * 25**2, rel=0.08)
    rows, columns = np.nonzero(red)
    assert (rows.mean(), columns.mean()) == pytest.approx((99.5, 99.5), abs=3)


def test_nearer_surface_hides_the_farther_one():
    volume = label_map(ball((40, 20, 40), 12, 2) + ball((40, 60, 40), 18, 1))  # anterior is +y: the red one is in front
    assert coloured(draw(volume, view(volume)))[1].sum() == 0
    assert coloured(draw(volume, view(volume, azimuth_deg=180)))[1].sum() > 300


@pytest.mark.parametrize("sign", [(1, 1, 1), (-1, -1, 1)])
def test_seen_from_the_front_right_is_left_and_head_is_up(sign):
    volume = label_map(ball((20, 40, 15), 12, 1) + ball((60, 40, 62), 12, 2), sign)
    red, blue = (np.argwhere(mask).mean(0) for mask in coloured(draw(volume, view(volume))))
    assert blue[0] < red[0]
    assert (blue[1] < red[1]) == (sign[0] > 0)  # blue is on the patient's right if the axes are not flipped


@pytest.mark.parametrize("sign", [(1, 1, 1), (-1, 1, 1)], ids=["right-handed", "left-handed"])
def test_lit_from_above(sign):
    volume = label_map(ball((40, 40, 40), 25), sign)
    image = draw(volume, view(volume))
    assert image[45:75, 85:115, 0].mean() > 1.2 * image[135:165, 85:115, 0].mean()


def test_surfaces_are_closed_and_their_normals_point_outwards():
    mesh = surface_mesh(label_map(ball((40, 40, 2), 25)), 1)  # cut off by the first slice
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert set(np.unique(edges, axis=0, return_counts=True)[1]) == {2}
    outwards = mesh.vertices - mesh.vertices.mean(0)
    assert ((mesh.normals * outwards).sum(1) > 0).mean() > 0.99


def test_thin_and_small_parts_are_kept():
    data = np.zeros((30, 30, 8), np.uint8)
    data[5, 5, 4] = 1  # a single voxel
    data[20, 5:25, 1:7] = 2  # a wall one voxel thick
    volume = label_map(data)
    low, high = surface_mesh(volume, 1).vertices.min(0), surface_mesh(volume, 1).vertices.max(0)
    np.testing.assert_allclose((low + high) / 2, np.multiply((5, 5, 4), SPACING_MM), atol=0.6)
    _, blue = coloured(draw(volume, view(volume, azimuth_deg=-90)))
    rows, columns = np.nonzero(blue)
    assert blue[rows.min() + 8 : rows.max() - 7, columns.min() + 8 : columns.max() - 7].all(), "a hole in the wall"


def test_empty_label_map_gives_an_empty_picture():
    volume = label_map(np.zeros((8, 8, 8), np.uint8))
    assert (draw(volume, view(volume)) == 255).all()


def test_figure_has_a_panel_for_each_map():
    maps = [label_map(ball((40, 40, 40), radius)) for radius in (14, 25)]
    red, _ = coloured(pixels(surface_figure(maps, ["small", "large"]), 80))
    red[int(0.86 * len(red)) :] = False  # the legend
    half = red.shape[1] // 2
    assert 0 < 2 * red[:, :half].sum() < red[:, half:].sum()

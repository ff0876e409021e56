"""Views: where they lie in a slice, that image and labels move together, and how the teacher's answer follows them."""

import math

import numpy as np
import pytest
import torch

from leuda_core.data.batches.views import LIMITS, Limits, View, cut_square, cut_views, into_views, random_view
from leuda_core.types import IGNORE


def slice_with_square(size=(60, 80), at=(20, 30), length=8):
    labels = np.zeros((1, *size), np.uint8)
    labels[0, at[0] : at[0] + length, at[1] : at[1] + length] = 1
    return np.where(labels, 1.0, -1.0).astype(np.float16), labels


def middle(mask):
    return tuple(float(axis.float().mean()) for axis in mask.nonzero(as_tuple=True))


def cut_view(view, images, labels=None):
    shown, classes = cut_views([view], [images], None if labels is None else [labels])
    return shown[0], None if classes is None else classes[0]


def test_slices_of_any_size_are_cut_alike_together_and_alone():
    rng, sizes = np.random.default_rng(0), [(60, 80), (40, 40), (60, 80), (200, 90), (20, 30), (200, 90)]
    stacks = [rng.uniform(-1, 1, (3, *size)).astype(np.float16) for size in sizes]
    labels = [rng.integers(0, 4, (3, *size)).astype(np.uint8) for size in sizes]
    views = [View(size, 32, (3.0, -2.0), 0.1 * index, 1.1) for index, size in enumerate(sizes)]
    shown, classes = cut_views(views, stacks, labels)
    for index, (view, stack, known) in enumerate(zip(views, stacks, labels, strict=True)):
        alone, named = cut_view(view, stack, known)
        assert torch.equal(shown[index], alone) and torch.equal(classes[index], named)
    assert cut_views(views, stacks)[1] is None


def test_a_plain_view_is_the_square_itself():
    images, labels = slice_with_square()
    view = View((60, 80), 32, (-4.0, 3.0))
    shown, classes = cut_view(view, images, labels)
    assert view.offset() == (10, 27)
    assert np.allclose(shown.numpy(), cut_square(images, view.offset(), 32, -1.0), atol=1e-3)
    assert np.array_equal(classes.numpy(), cut_square(labels, view.offset(), 32, IGNORE))


@pytest.mark.parametrize(("angle", "scale"), [(0.0, 1.5), (0.5, 1.0), (-1.0, 0.8)])
def test_labels_stay_on_their_structure(angle, scale):
    images, labels = slice_with_square()
    shown, classes = cut_view(View((60, 80), 48, (-6.0, -6.0), angle, scale), images, labels)
    assert middle(shown[0] > 0) == pytest.approx(middle(classes[0] == 1), abs=0.3)
    assert float((classes == 1).sum()) == pytest.approx(64 * scale**2, rel=0.12)


def test_a_view_turns_around_its_own_centre():
    images, labels = slice_with_square()  # centre of the square: (23.5, 33.5), of the slice: (29.5, 39.5)
    for angle in (0.0, 0.7, 2.0):
        _, classes = cut_view(View((60, 80), 40, (-6.0, -6.0), angle), images, labels)
        assert middle(classes[0] == 1) == pytest.approx((19.5, 19.5), abs=0.3)


def test_outside_of_the_slice_is_dark_and_unlabelled():
    images, labels = slice_with_square(size=(20, 40), at=(5, 5))
    shown, classes = cut_view(View((20, 40), 32, (0.0, 0.0)), images, labels)
    assert (shown[0, :5] == -1).all() and (classes[0, :5] == IGNORE).all()
    assert (classes[0, 7:25] != IGNORE).all()


@pytest.mark.parametrize("size", [(60, 80), (20, 100), (33, 31), (24, 24)])
def test_an_answer_for_the_upright_square_follows_the_view(size):
    """A map of the slice, cut upright and moved into the view, is that map cut by the view."""
    rng = np.random.default_rng(0)
    image = rng.random((1, *size)).astype(np.float32)
    image = np.stack([np.roll(image[0], shift, 0) for shift in range(6)]).mean(0, keepdims=True)  # smooth along rows
    for _ in range(8):
        view = random_view(rng, size, 32, Limits(180.0, 1.5, 0.2))
        upright = torch.from_numpy(cut_square(image, view.offset(), 32, -1.0)).unsqueeze(0)
        moved = into_views(upright + 2, view.upright_matrix().unsqueeze(0))[0]
        direct, _ = cut_view(view, image)
        inside = (moved > 0) & (direct > -0.999)
        assert inside.any()
        known = inside & (moved - 2 > -0.999)
        difference = (moved - 2 - direct)[known].abs()
        assert difference.numel() and float(difference.median()) < 1e-4


def test_what_the_upright_square_does_not_show_has_no_answer():
    view = View((32, 32), 32, (0.0, 0.0), math.pi / 4)
    answer = into_views(torch.ones(1, 2, 32, 32), view.upright_matrix().unsqueeze(0))[0]
    assert (answer[:, 16, 16] == 1).all() and (answer[:, 0, 0] == 0).all()


def test_views_stay_within_their_limits_and_reach_the_borders():
    rng = np.random.default_rng(1)
    views = [random_view(rng, (100, 60), 40, Limits(20.0, 1.6, 0.1)) for _ in range(400)]
    assert all(abs(view.angle) <= math.radians(20) and 1 / 1.6 <= view.scale <= 1.6 for view in views)
    rows, columns = zip(*(view.centre for view in views), strict=True)
    assert 32 < max(map(abs, rows)) <= 34 and 13 < max(map(abs, columns)) <= 14
    assert {level: (one.rotation_deg, one.shift) for level, one in LIMITS.items()} == {
        "paper": (10.0, 0.0),
        "strong": (45.0, 0.1),
    }


def test_a_view_around_a_pixel_shows_it():
    rng = np.random.default_rng(2)
    images, labels = slice_with_square(at=(0, 70))
    for _ in range(30):
        view = random_view(rng, (60, 80), 32, Limits(45.0, 1.0, 0.1), around=(3.5, 73.5))
        assert (cut_view(view, images, labels)[1] == 1).any()


def test_a_view_around_a_pixel_at_the_border_stays_in_the_slice():
    rng = np.random.default_rng(3)
    limits = Limits(45.0, 1.0, 0.1)
    views = [random_view(rng, (60, 80), 32, limits, around=(0.0, 79.0)) for _ in range(50)]
    assert all(abs(view.centre[0]) <= 14 + 3.2 and abs(view.centre[1]) <= 24 + 3.2 for view in views)


@pytest.mark.parametrize("size", [(96, 80), (300, 480)])
def test_views_are_not_coarser_where_networks_compute_in_half_precision(size):
    """With a diagonal ramp as the image, the values tell where they were read."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    ramp = ((rows + columns) / sum(size)).astype(np.float32)[None]
    view = random_view(np.random.default_rng(3), size, 64, LIMITS["strong"])
    exact, _ = cut_view(view, ramp)
    answer, matrices = torch.rand(2, 3, 64, 64), view.upright_matrix().expand(2, 2, 3)
    moved = into_views(answer, matrices)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cut_view(view, ramp)[0], exact)
        assert torch.equal(into_views(answer, matrices), moved)

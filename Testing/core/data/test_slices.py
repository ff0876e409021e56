"""Slices go out of a volume and back into it, whatever its axes; intensities and sizes come out as promised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leuda_core.data.geometry import plan_slices
from leuda_core.data.intensities import intensity_range
from leuda_core.data.slices import labels_to_working, to_working
from leuda_core.errors import InputError
from leuda_core.types import Normalization

PLANES = ("acquisition", "axial", "coronal", "sagittal")


def affine_of(spacing, order=(0, 1, 2), signs=(1, 1, 1), tilt=0.0):
    """Return an affine whose array axis ``a`` runs along world axis ``order[a]``, tilted about the last world axis."""
    matrix = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        matrix[world, axis] = sign * spacing[axis]
    rotation = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ matrix
    return affine


@given(
    order=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    tilt=st.floats(-0.5, 0.5),
    plane=st.sampled_from(PLANES),
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_into_the_view_lands_where_it_was_read(order, signs, tilt, plane):
    shape = (4, 5, 6)
    data = np.arange(120.0).reshape(shape)
    plan = plan_slices(shape, affine_of((1, 1, 3), order, signs, tilt), plane)
    out = np.zeros(shape)
    slices, target = plan.view(data), plan.view(out)
    assert slices.shape == (plan.n_slices, *plan.size)
    for i in range(plan.n_slices):
        target[i] = slices[i]
    assert np.array_equal(out, data)


@given(order=st.permutations([0, 1, 2]), signs=st.tuples(*[st.sampled_from([-1, 1])] * 3), tilt=st.floats(-0.5, 0.5))
@settings(max_examples=40, deadline=None)
def test_a_named_plane_shows_the_same_picture_however_the_volume_is_stored(order, signs, tilt):
    """The axial slices of a volume stored in any axis order are those of the same volume stored along R, A, S."""
    world = np.arange(4 * 5 * 6.0).reshape(4, 5, 6)
    stored = world.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    plan = plan_slices(stored.shape, affine_of((1, 1, 1), order, signs, tilt), "axial")
    shown = plan.view(stored)
    expected = world.transpose(2, 1, 0)[:, ::-1, ::-1]  # rows from anterior, columns from the patient's right (R is +)
    assert shown.shape == expected.shape
    assert any(np.array_equal(s, expected) for s in (shown, shown[::-1]))


@pytest.mark.parametrize(
    ("shape", "spacing", "axis"),
    [
        ((10, 10, 4), (1, 1, 8), 2),
        ((4, 10, 10), (8, 1, 1), 0),
        ((10, 10, 10), (3, 3, 3), 2),
        ((10, 10, 10), (1.0, 1.0, 0.999), 2),
        ((1, 10, 10), (0.5, 1, 1), 0),
    ],
)
def test_acquisition_plane_cuts_across_the_largest_spacing(shape, spacing, axis):
    assert plan_slices(shape, affine_of(spacing)).axis == axis


def test_acquisition_slices_are_as_stored():
    data = np.arange(24).reshape(2, 3, 4)
    plan = plan_slices(data.shape, affine_of((1, 2, 8), (1, 2, 0), (-1, 1, -1)))
    assert np.array_equal(plan.view(data)[1], data[:, :, 1].T)
    assert plan.pixel_mm == (2.0, 1.0)
    assert plan.working_size(0.5) == (12, 4)


@pytest.mark.parametrize("spacing", [0.01, 5e-324, float("nan")])
def test_a_slice_is_not_enlarged_without_limit(spacing):
    plan = plan_slices((48, 48, 4), affine_of((1.25, 1.25, 8)))
    with pytest.raises(InputError, match=r"48 x 48 pixels would have .* pixels .* limit is 2097152"):
        plan.working_size(spacing)
    assert plan.working_size(0.05) == (1200, 1200)
    with pytest.raises(InputError, match="limit is 1000000"):
        plan.working_size(0.05, 1_000_000)


def test_a_large_slice_keeps_its_own_pixels_and_four_times_as_many():
    plan = plan_slices((4000, 3000, 2), affine_of((0.5, 0.5, 8)))
    assert plan.working_size(0.25) == (6000, 8000)
    with pytest.raises(InputError, match="3000 x 4000"):
        plan.working_size(0.2)


def test_intensities_are_clipped_to_percentiles_and_mapped_to_one():
    data = np.linspace(0, 1000, 10_001, dtype=np.float32).reshape(-1, 1, 1)
    low, high = intensity_range(data, Normalization(1, 99))
    assert (low, high) == pytest.approx((10, 990), abs=0.5)
    images = to_working(np.array([[[low, (low + high) / 2, high, 5000]]]), (1, 4), (low, high))
    assert images.flatten().tolist() == pytest.approx([-1, 0, 1, 1], abs=1e-5)


def test_large_volumes_are_sampled_without_bias():
    rng = np.random.default_rng(0)
    data = rng.normal(100, 20, (256, 256, 80)).astype(np.int16)
    low, high = intensity_range(data, Normalization(0.5, 99.5))
    assert low == pytest.approx(np.percentile(data, 0.5), abs=1)
    assert high == pytest.approx(np.percentile(data, 99.5), abs=1)


def test_mostly_empty_volume_keeps_its_structure():
    data = np.zeros((10, 10, 10), np.int16)
    data[5, 5, 5] = 300
    assert intensity_range(data, Normalization()) == (0, 300)


def test_downsampling_averages_and_labels_stay_labels():
    stripes = np.tile([0.0, 2.0], (1, 8, 8))
    images = to_working(stripes, (8, 8), (0.0, 2.0))
    assert images.abs().max() < 0.3  # neither -1 nor 1: aliasing would keep one of the stripes
    labels = np.kron(np.array([[1, 255], [0, 2]], np.uint8), np.ones((4, 4), np.uint8))[None]
    assert np.array_equal(labels_to_working(labels, (2, 2))[0], [[1, 255], [0, 2]])

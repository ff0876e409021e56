"""The intensity range does not see what a CT scanner did not measure, and large offsets lose no precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from leuda_core.data.intensities import intensity_range
from leuda_core.data.plausibility import is_noise
from leuda_core.data.slices import to_working
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import Normalization, Volume
from repository import SHARED_DATA
from stand_ins import AXIAL, Threshold, blob, task

NEW, OLD = Normalization(ignores_padding=True), Normalization()


def ct(noise: float = 15.0, dtype: str = "int16") -> tuple[np.ndarray, np.ndarray]:
    """A body with an organ and a spine in air, and where the scanner did not measure: outside a circle."""
    rng = np.random.default_rng(0)
    i, j, _ = np.mgrid[-1:1:64j, -1:1:64j, 0:1:12j]
    data = np.full(i.shape, -1000.0)
    data[(i / 0.7) ** 2 + (j / 0.5) ** 2 < 1] = 40
    data[(i - 0.2) ** 2 + j**2 < 0.04] = 110
    data[i**2 + (j - 0.3) ** 2 < 0.01] = 900
    data += rng.normal(0, noise, data.shape)
    return np.maximum(data, -1024).astype(dtype), i**2 + j**2 >= 1


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("padding", [-3024, -2048, -2000, -10_000, -32_768])
def test_padding_around_the_field_of_a_ct_changes_nothing(padding, dtype):
    data, outside = ct(dtype=dtype)
    air, padded = data.copy(), data.copy()
    air[outside], padded[outside] = -1024, padding
    low, high = intensity_range(air, NEW)
    assert intensity_range(padded, NEW) == pytest.approx((low, high), abs=0.01 * (high - low))
    assert intensity_range(padded, OLD)[0] == padding, "older models keep the range that they were trained with"


@pytest.mark.parametrize("inside", [-700, -100])
def test_padding_around_a_field_without_air(inside):
    """A small field within the body: lung or fat is the darkest that it shows."""
    data, outside = ct()
    data = np.maximum(data, inside)
    ranges = []
    for constant in (-3024, -2000, -1024):
        data[outside] = constant
        ranges.append(intensity_range(data, NEW))
    assert ranges[0] == ranges[1] == ranges[2]


def test_two_constants_and_blurred_edges_are_padding_too():
    data, outside = ct(dtype="float32")
    air, padded = data.copy(), data.copy()
    air[outside], padded[outside] = -1024, -3024
    padded[:2], air[:2] = -2000, -1024
    edge = np.flatnonzero(outside)[::40]
    padded.flat[edge] = np.linspace(-3000, -1100, edge.size)
    low, high = intensity_range(air, NEW)
    assert intensity_range(padded, NEW) == pytest.approx((low, high), abs=0.01 * (high - low))


def test_other_volumes_keep_their_range():
    rng = np.random.default_rng(0)
    data, outside = ct()
    plain = data + 0
    plain[outside] = -1024
    phase = rng.integers(-4096, 4096, (32, 32, 8), dtype=np.int16)
    magnitude = rng.gamma(2, 100, (32, 32, 8)) * (rng.random((32, 32, 8)) > 0.4)
    unsigned = (plain + 1024).astype(np.uint16)
    low_dose = rng.normal(-1000, 90, (32, 32, 8))
    positive = rng.gamma(1, 1, (32, 32, 8)).astype(np.float32)  # as the uptake of a PET
    for volume in (plain, phase, magnitude, unsigned, low_dose, positive):
        assert intensity_range(volume, NEW) == intensity_range(volume, OLD)


def test_a_constant_for_missing_values_is_not_an_intensity():
    data = np.random.default_rng(0).uniform(100, 200, (32, 32, 8))
    data[:8] = -9999
    assert intensity_range(data, NEW) == pytest.approx((100, 200), abs=1)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_volumes_that_are_all_padding_or_infinite_are_left_alone():
    assert intensity_range(np.full((4, 4, 4), -3024), NEW) == (-3024, -3023)
    assert not np.isfinite(intensity_range(np.full((4, 4, 4), -np.inf), NEW)[0])


def test_the_labels_are_those_of_a_volume_that_air_surrounds():
    data, outside = ct()
    maps = []
    for constant in (-1024, -3024):
        data[outside] = constant
        volume = Volume(data.copy(), AXIAL)
        new = task()
        new = type(new)(new.labels, new.spacing_mm, new.patch_size, normalization=NEW)
        maps.append(SliceSegmenter(Threshold(), new, device="cpu")(volume).label_map.data)
    assert np.array_equal(maps[0], maps[1]) and maps[0].any()


@pytest.mark.parametrize(
    ("dtype", "offset"),
    [
        ("uint32", 2**31 + 7),
        ("int64", 2**31 + 7),
        ("int64", -(2**40)),
        ("uint64", 2**50),
        ("int32", 2**30),
        ("float64", 2.0**33),
    ],
)
def test_a_large_offset_loses_no_label(dtype, offset):
    volume = blob((24, 24, 6), AXIAL)
    moved = Volume(volume.data.astype(dtype) + np.asarray(offset, dtype), AXIAL)
    segmenter = SliceSegmenter(Threshold(), task(), device="cpu")
    expected = segmenter(volume).label_map.data
    assert expected.any() and np.array_equal(segmenter(moved).label_map.data, expected)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", "float32", "float64"])
def test_ordinary_slices_are_bit_for_bit_as_before(dtype):
    rng = np.random.default_rng(0)
    slices = (rng.normal(100, 30, (3, 9, 8)).clip(0, 255)).astype(dtype)
    low, high = 12.3, 201.7
    before = torch.from_numpy(np.array(slices, dtype=np.float32)).unsqueeze(1)
    before = before.sub_(low).mul_(2.0 / (high - low)).sub_(1.0).clamp_(-1.0, 1.0)
    assert torch.equal(to_working(slices, (9, 8), (low, high)), before)


@pytest.mark.parametrize("factor", [1e-312, 1e-300, 1e-40, 1e35, 1e305])
def test_values_beyond_float32_give_the_same_slices(factor: float) -> None:
    data = np.random.default_rng(0).normal(300, 100, (2, 32, 32))
    expected = to_working(data, (32, 32), intensity_range(data, Normalization()))
    scaled = data * factor
    found = to_working(scaled, (32, 32), intensity_range(scaled, Normalization()))
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_range_is_never_empty_nor_too_large() -> None:
    data = np.array([-1.7e308, 1.7e308] * 512).reshape(1, 32, 32)
    assert to_working(data, (32, 32), intensity_range(data, Normalization())).unique().tolist() == [-1.0, 1.0]
    low, high = intensity_range(np.full((3, 3, 3), 1e17), Normalization())
    assert high > low
    assert not is_noise(np.add.outer(np.arange(4), np.add.outer(np.arange(64.0), np.arange(64.0))) * 1e300)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the real volumes in ../shared/data")
def test_real_volumes_keep_their_range():
    from leuda_core.io.volumes import read_volume

    names = ("abdomen/ct/ct00", "abdomen/mr/mr00", "mscmr/bssfp/p01_bssfp", "heart-full/lge/subject13_DE")
    for name in names:
        data = read_volume(SHARED_DATA / f"{name}.nii.gz").data
        assert intensity_range(data, NEW) == intensity_range(data, OLD)

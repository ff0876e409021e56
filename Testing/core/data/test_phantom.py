"""The phantom: reproducible, anatomically whole, and two appearances that no grey-value curve connects."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from scipy.ndimage import label as components

from leuda_core.data.dataset import load_dataset
from leuda_core.data.phantom.anatomy import Tissue
from leuda_core.data.phantom.appearance import render_ct, render_mr
from leuda_core.data.phantom.cohort import LABELS, make_case, make_phantom
from leuda_core.errors import InputError

SEEDS = range(6)


@pytest.fixture(scope="module")
def mr_cases():
    return [make_case(seed, "mr") for seed in SEEDS]


@pytest.fixture(scope="module")
def ct_cases():
    return [make_case(seed, "ct") for seed in SEEDS]


@pytest.fixture(scope="module")
def small_phantom(tmp_path_factory):
    return make_phantom(
        tmp_path_factory.mktemp("phantom"), source_cases=3, labelled=2, target_cases=2, test_cases=1, seed=5
    )


def mean_of(value, cases):
    """Mean of a label's voxels over cases, in units of each volume's own 0.5 to 99.5 percentile range."""
    means = []
    for volume, label_map in cases:
        low, high = np.percentile(volume.data, [0.5, 99.5])
        means.append((volume.data[label_map.data == value].mean() - low) / (high - low))
    return float(np.mean(means))


def load(path):
    return np.asarray(nibabel.load(path).dataobj)


@pytest.mark.slow
def test_same_seed_gives_same_voxels_and_another_seed_gives_others(mr_cases):
    again_volume, again_labels = make_case(0, "mr")
    volume, label_map = mr_cases[0]
    np.testing.assert_array_equal(again_volume.data, volume.data)
    np.testing.assert_array_equal(again_volume.affine, volume.affine)
    np.testing.assert_array_equal(again_labels.data, label_map.data)
    other = mr_cases[1][1].data
    assert other.shape != label_map.data.shape or not np.array_equal(other, label_map.data)


@pytest.mark.slow
@pytest.mark.parametrize("appearance", ["mr", "ct"])
def test_every_label_is_one_piece_of_plausible_size(appearance, mr_cases, ct_cases):
    # Whole hearts of adults; the field of view cuts the aorta, and small angles cut the atrium.
    millilitres = {1: (50, 330), 2: (8, 120), 3: (25, 220), 4: (8, 90)}
    for volume, label_map in mr_cases if appearance == "mr" else ct_cases:
        voxel_ml = float(np.prod(volume.spacing_mm)) / 1000
        for item in LABELS:
            mask = label_map.data == item.value
            low, high = millilitres[item.value]
            assert low < mask.sum() * voxel_ml < high, item.name
            assert components(mask, np.ones((3, 3, 3)))[1] == 1, item.name


def test_grids_vary_in_shape_spacing_and_direction(mr_cases):
    volumes = [volume for volume, _ in mr_cases]
    assert len({volume.spacing_mm for volume in volumes}) == len(volumes)
    for volume in volumes:
        i, j, k = volume.shape
        assert 64 <= i <= 80 and 64 <= j <= 80 and 14 <= k <= 20
        x, y, z = volume.spacing_mm
        assert x == pytest.approx(y) and 1.8 < x < 2.3 and 5 <= z < 6.3
        direction = volume.affine[:3, :3] / volume.spacing_mm
        np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-12)
        assert np.abs(direction).max(axis=0).min() < 0.9999, "oblique, not along the room's axes"


def test_appearances_are_int16_hounsfield_and_uint16_signal(mr_cases, ct_cases):
    for volume, _ in ct_cases:
        assert volume.data.dtype == np.int16
        assert np.percentile(volume.data, 1) < -700 and volume.data.max() > 400
    scales = [np.percentile(volume.data, 99) for volume, _ in mr_cases]
    assert {volume.data.dtype for volume, _ in mr_cases} == {np.dtype(np.uint16)}
    assert max(scales) > 1.15 * min(scales), "the scale of MR is arbitrary"


def test_order_of_the_chambers_is_turned_round(mr_cases, ct_cases):
    atrium, ventricle, aorta = 2, 3, 4
    assert mean_of(aorta, mr_cases) >= mean_of(ventricle, mr_cases) > mean_of(atrium, mr_cases)
    assert mean_of(aorta, ct_cases) < mean_of(ventricle, ct_cases) < mean_of(atrium, ct_cases)


def test_fat_is_brighter_than_muscle_in_mr_and_darker_in_ct():
    tissue = np.full((24, 24, 6), Tissue.MYOCARDIUM, np.uint8)
    tissue[12:] = Tissue.FAT
    points = np.zeros((tissue.size, 3))
    mr, ct = (render(tissue, points, np.random.default_rng(0)) for render in (render_mr, render_ct))
    assert np.median(mr[15:]) > 1.3 * np.median(mr[:9])
    assert np.median(ct[15:]) < np.median(ct[:9]) - 100


def test_both_appearances_of_a_seed_show_the_same_patient(mr_cases, ct_cases):
    for (_, mr), (_, ct) in zip(mr_cases, ct_cases, strict=True):
        np.testing.assert_array_equal(mr.data, ct.data)


def test_unknown_appearance_names_it():
    with pytest.raises(InputError, match="'pet'"):
        make_case(0, "pet")


def test_more_labels_than_cases_is_refused(tmp_path):
    with pytest.raises(InputError, match="labelled=5"):
        make_phantom(tmp_path, source_cases=4, labelled=5)


@pytest.mark.slow
def test_dataset_file_follows_the_fixed_format(small_phantom):
    content = json.loads(small_phantom.read_text())
    assert small_phantom.name == "dataset.json"
    assert content["labels"]["0"] == "background"
    assert {key: value["name"] for key, value in content["labels"].items() if key != "0"} == {
        "1": "myocardium",
        "2": "left atrium",
        "3": "left ventricle",
        "4": "ascending aorta",
    }
    for item in list(content["labels"].values())[1:]:
        assert all(isinstance(channel, int) and 0 <= channel <= 255 for channel in item["color"])
        assert len(item["terminology"].split("~")) == 7
    assert ["label" in case for case in content["source"]["cases"]] == [True, True, False]
    assert not any("label" in case for case in content["target"]["cases"])
    assert all("label" in case for domain in content["test"].values() for case in domain)
    assert content["source"]["modality"] == "MR" and content["target"]["modality"] == "CT"


def test_files_on_disk_are_the_cases_and_all_patients_differ(small_phantom):
    content = json.loads(small_phantom.read_text())
    cases = [
        *content["source"]["cases"],
        *content["target"]["cases"],
        *content["test"]["source"],
        *content["test"]["target"],
    ]
    spacings = [
        tuple(np.round(nibabel.load(small_phantom.parent / case["image"]).header.get_zooms(), 4)) for case in cases
    ]
    assert len(set(spacings)) == len(cases), "no patient is seen by both scanners"
    volume, label_map = make_case((5, 0, 0), "mr")
    np.testing.assert_array_equal(load(small_phantom.parent / cases[0]["image"]), volume.data)
    np.testing.assert_array_equal(load(small_phantom.parent / cases[0]["label"]), label_map.data)
    stored = nibabel.load(small_phantom.parent / cases[0]["label"]).affine
    np.testing.assert_allclose(stored, volume.affine, atol=1e-3)


@pytest.mark.slow
def test_target_labels_only_when_asked(tmp_path):
    path = make_phantom(tmp_path, source_cases=1, labelled=1, target_cases=1, test_cases=1, target_labels=True)
    assert all("label" in case for case in json.loads(path.read_text())["target"]["cases"])


def test_dataset_loads(small_phantom):
    dataset = load_dataset(small_phantom)
    assert [label.name for label in dataset.labels] == [label.name for label in LABELS]
    assert [label.terminology for label in dataset.labels] == [label.terminology for label in LABELS]
    assert dataset.labels[0].color == pytest.approx(LABELS[0].color)
    assert len(dataset.source.cases) == 3 and len(dataset.test_target) == 1

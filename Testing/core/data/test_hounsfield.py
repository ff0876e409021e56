"""CT in absolute units: which volumes and domains are in Hounsfield units, and the window that they are clipped to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ct_volumes import AIR, BONE, FAT, LUNG, METAL, body, mr, windowed, write_cases
from leuda_core.config import MethodConfig, make_config
from leuda_core.data.batches.loaders import SliceLoader
from leuda_core.data.check import check_dataset
from leuda_core.data.dataset import load_dataset, read_case_grid
from leuda_core.data.hounsfield import SOFT_TISSUE, is_ct
from leuda_core.data.intensities import in_hounsfield, intensity_range
from leuda_core.data.planes import case_plan
from leuda_core.data.slices import to_working
from leuda_core.data.tasks import make_task
from leuda_core.errors import InputError
from leuda_core.training.watch import data_warnings
from leuda_core.types import Normalization, Task
from repository import SHARED_DATA

PLAIN = Normalization(ignores_padding=True)
WINDOW = Normalization(ignores_padding=True, window=SOFT_TISSUE)
SETTINGS = MethodConfig(base_channels=4, patch_size=32, spacing_mm=2.0, batch_size=2, unlabelled_batch_size=2)

HU, LABEL = body()
CIRCLE = np.hypot(*np.mgrid[-1:1:40j, -1:1:40j])[..., None] > 0.9


def filled(data: np.ndarray, constant: float) -> np.ndarray:
    return np.where(CIRCLE, constant, data)


# one volume

IN_UNITS: dict[str, np.ndarray] = {
    "whole": HU,
    "floats": HU.astype(np.float32) + 0.25,
    "padding": filled(HU, -3024),
    "padding of a crop without air": filled(HU.clip(-150), -2000),
    "air outside a crop without air": filled(HU.clip(-150), -1024),
    "crop without air": HU[8:32, 10:30],
    "windowed, in Hounsfield units": HU.clip(-160, 240),
    "crop with a value of -128": HU[8:32, 10:30].clip(None, 120),
    "without noise": np.where(LABEL, 60, np.where(HU > -500, FAT, AIR)),
    "metal": np.where(LABEL > 0, METAL, HU),
}
OTHERS: dict[str, np.ndarray] = {
    "windowed": windowed(HU),
    "windowed, -1024 around": filled(windowed(HU), -1024),
    "windowed, -3024 around": filled(windowed(HU), -3024),
    "windowed, two constants around": np.where(np.arange(40)[:, None, None] < 2, -2000, filled(windowed(HU), -3024)),
    "windowed, with a sign": (windowed(HU) - 128).astype(np.int8),
    "from 0 to 1": windowed(HU) / 255,
    "from -1 to 1": windowed(HU) / 127.5 - 1,
    "standardised": (HU - HU.mean()) / HU.std(),
    "standardised, -1000 around": filled((HU - HU.mean()) / HU.std(), -1000),
    "unsigned": (HU + 1024).astype(np.uint16),
    "MR": mr(HU),
    "MR, below 0 after resampling": mr(HU) - 20,
}


@pytest.mark.parametrize("data", IN_UNITS.values(), ids=IN_UNITS)
def test_volumes_in_hounsfield_units_are_clipped_to_the_window(data):
    assert in_hounsfield(data) and intensity_range(data, WINDOW) == SOFT_TISSUE
    assert intensity_range(data, PLAIN) != SOFT_TISSUE, "without a window, as always"


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_other_volumes_keep_their_percentiles(data):
    assert not in_hounsfield(data) and intensity_range(data, WINDOW) == intensity_range(data, PLAIN)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf, 0.0, 5e300])
def test_odd_volumes_do_not_break_the_rule(value):
    data = np.full((4, 4, 4), 40.0)
    data[2:] = value
    low, high = intensity_range(data, WINDOW)
    assert (low, high) != SOFT_TISSUE and not low > high


def test_metal_and_lungs_in_view_do_not_change_the_grey_of_soft_tissue():
    """With percentiles, they do; that is why CT has a window."""
    others = HU.copy(), HU.copy()
    others[0][20:26, 8:20], others[1][4:14] = METAL, LUNG
    for normalization, changes in ((WINDOW, False), (PLAIN, True)):
        grey = [
            to_working(data.T, (40, 40), intensity_range(data, normalization))[0, 0, 20, 28] for data in (HU, *others)
        ]
        assert (len({round(float(one), 2) for one in grey}) > 1) is changes


# the modality


@pytest.mark.parametrize(
    "text", ["CT", "ct", " Ct ", "CT portal venous", "contrast-enhanced CT", "CTA", "CT_abdomen", "computed tomography"]
)
def test_modalities_that_are_ct(text):
    assert is_ct(text)


@pytest.mark.parametrize(
    "text",
    ["", "MR", "MR bSSFP", "PET", "PET/CT", "SPECT-CT", "CBCT", "cone-beam CT", "micro-CT", "MR (with CT)", "T1CT",
     "OCT", "positron emission computed tomography", "acted", "X-ray"],
)  # fmt: skip
def test_modalities_that_are_not_ct_or_not_it_alone(text):
    assert not is_ct(text)


# domains


@pytest.fixture
def task_of(tmp_path: Path) -> Callable[..., Task]:
    """Return a function that writes a data set and returns the task of a training on it."""

    def make(modalities, source, target, *, settings: MethodConfig = SETTINGS, **options) -> Task:
        return make_task(load_dataset(write_cases(tmp_path / "data", modalities, source, target)), settings, **options)

    return make


def windows(task: Task) -> tuple:
    """Return the windows of source and target."""
    return task.for_source.normalization.window, task.normalization.window


def test_each_domain_has_its_own_normalisation(task_of):
    image, label = HU, LABEL
    assert windows(task_of(("MR", "CT"), [(mr(image), label)], [(image, None)])) == (None, SOFT_TISSUE)
    assert windows(task_of(("CT", "MR"), [(image, label)], [(mr(image), None)])) == (SOFT_TISSUE, None)
    task = task_of(("ct", "Ct"), [(image, label)], [(image, None)])
    assert windows(task) == (SOFT_TISSUE, SOFT_TISSUE) and task.source_normalization is None
    assert task_of(("MR", "MR"), [(mr(image), label)], [(mr(image), None)]).normalization == PLAIN


def test_modality_and_data_decide_together(task_of):
    """Neither the name of CT for other values, nor Hounsfield units under another or no name."""
    for modality, data in (("CT", windowed(HU)), ("CT", mr(HU)), ("MR", HU), ("", HU), ("CBCT", HU), ("PET/CT", HU)):
        assert windows(task_of((modality, "MR"), [(data, LABEL)], [(mr(HU), None)])) == (None, None), modality


@pytest.mark.parametrize(("wrong", "expected"), [(0, True), (1, True), (2, False)])
def test_a_clear_majority_of_volumes_decides(task_of, wrong, expected):
    target = [(windowed(HU) if index < wrong else HU, None) for index in range(4)]
    found = windows(task_of(("MR", "CT"), [(mr(HU), LABEL)], target))[1]
    assert found == (SOFT_TISSUE if expected else None)


def test_padding_of_the_scanner_changes_nothing(task_of):
    padded = [(filled(body(seed)[0], -3024), None) for seed in range(2)]
    assert windows(task_of(("MR", "CT"), [(mr(HU), LABEL)], padded)) == (None, SOFT_TISSUE)


def test_a_case_that_cannot_be_read_does_not_decide(tmp_path):
    path = write_cases(tmp_path, ("MR", "CT"), [(mr(HU), LABEL)], [(HU, None), (HU, None)])
    (tmp_path / "t0.nii").write_bytes((tmp_path / "t0.nii").read_bytes()[:-100])
    assert windows(make_task(load_dataset(path), SETTINGS)) == (None, SOFT_TISSUE)


# the window


@pytest.mark.parametrize(("organ", "low", "high"), [(LUNG, -960, 275), (BONE, -175, 770), (500, -175, 570)])
def test_the_window_shows_every_labelled_structure(task_of, organ, low, high):
    cases = [body(seed, organ) for seed in range(2)]
    found = windows(task_of(("CT", "MR"), cases, [(mr(HU), None)]))[0]
    assert found == pytest.approx((low, high), abs=40)
    values = np.concatenate([data[label > 0] for data, label in cases])
    assert found[0] < np.percentile(values, 1) and np.percentile(values, 99) < found[1]


def test_a_little_metal_in_a_structure_does_not_widen_the_window(task_of):
    image, label = body()
    image[20, 20] = METAL
    assert windows(task_of(("CT", "MR"), [(image, label)], [(mr(HU), None)]))[0] == SOFT_TISSUE


def test_unlabelled_ct_has_the_window_of_a_source_that_is_ct_too(task_of):
    found = windows(task_of(("CT", "CT"), [body(0, BONE)], [(HU, None)]))
    assert found[0] == found[1] and found[1][1] > BONE


def test_labels_of_the_target_are_read_only_by_a_run_that_may(task_of):
    cases = ("MR", "CT"), [(mr(HU), LABEL)], [body(0, BONE)]
    assert windows(task_of(*cases)) == (None, SOFT_TISSUE)
    assert windows(task_of(*cases, target_labels=True))[1][1] > BONE


def test_only_labelled_slices_count(tmp_path):
    image, label = body()
    image[..., 5] = np.where(label[..., 5], BONE, image[..., 5])
    path = write_cases(tmp_path, ("CT", "MR"), [(image, label)], [(mr(HU), None)])
    assert windows(make_task(load_dataset(path), SETTINGS))[0][1] > BONE
    listed = path.read_text(encoding="utf-8").replace('"s0_label.nii"', '"s0_label.nii", "labelled_slices": [1, 2]')
    path.write_text(listed, encoding="utf-8")
    assert windows(make_task(load_dataset(path), SETTINGS))[0] == SOFT_TISSUE


def test_settings_fix_the_window(task_of):
    fixed = make_config(MethodConfig, {"patch_size": 32, "ct_window_low": "-50", "ct_window_high": "0"})
    cases = [body(0, BONE)], [(mr(HU), None)]
    assert windows(task_of(("CT", "MR"), *cases, settings=fixed)) == ((-50, 0), None)
    with pytest.raises(InputError, match=r"no domain is CT in Hounsfield units: 'target' .no modality"):
        task_of(("MR", ""), *cases, settings=fixed)


@pytest.mark.parametrize(("low", "high"), [(100, 100), (5, 0), (300, -20)])
def test_a_window_the_wrong_way_round_is_refused(low, high):
    with pytest.raises(InputError, match=f"ct_window_low={low} is not below ct_window_high={high}") as caught:
        make_config(MethodConfig, {"ct_window_low": low, "ct_window_high": str(high)})
    assert "0 for both" in caught.value.remedy


# runs of earlier rules, preparation, check


@pytest.mark.parametrize("rules", [1, 2])
def test_runs_of_earlier_rules_have_no_window(task_of, rules):
    task = task_of(("CT", "CT"), [(HU, LABEL)], [(HU, None)], rules=rules)
    assert task.normalization == Normalization(ignores_padding=rules > 1) and task.source_normalization is None


def test_slices_are_prepared_with_the_normalisation_of_their_domain(tmp_path):
    path = write_cases(tmp_path, ("CT", "MR"), [(HU, LABEL)], [(mr(HU), None)])
    dataset = load_dataset(path)
    task = make_task(dataset, SETTINGS)
    loader = SliceLoader(dataset, task, SETTINGS, tmp_path / "cache")
    plan = case_plan(dataset.source.cases[0], read_case_grid(dataset.source.cases[0]), task.plane, task.isotropic)
    for case, data, intensities in ((loader.source[0], HU, SOFT_TISSUE), (loader.target[0], mr(HU), None)):
        expected = to_working(plan.view(data), (40, 40), intensities or intensity_range(data, PLAIN))[:, 0]
        assert np.abs(np.load(case.images.path).astype(np.float32) - expected.numpy()).max() < 2e-3


def test_a_volume_in_other_units_than_its_domain_is_named(tmp_path):
    images = [HU, HU, windowed(HU), HU]
    path = write_cases(tmp_path, ("MR", "CT"), [(mr(HU), LABEL)], [(image, None) for image in images])
    dataset = load_dataset(path)
    task = make_task(dataset, SETTINGS)
    (warning,) = data_warnings(SliceLoader(dataset, task, SETTINGS, tmp_path / "cache"), task)
    assert warning.kind == "units" and "'t2' is not in Hounsfield units" in warning.message
    (told,) = check_dataset(path).warnings
    assert told == str(warning)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the real volumes in ../shared/data")
def test_real_volumes():
    from leuda_core.io.volumes import read_volume

    def found(name: str) -> bool:
        return in_hounsfield(read_volume(SHARED_DATA / f"{name}.nii.gz").data)

    assert found("volumes/totalseg_example_ct") and found("volumes/totalseg_example_ct_sm")
    for name in ("abdomen/ct/ct00", "abdomen/mr/mr00", "mscmr/bssfp/p01_bssfp", "volumes/totalseg_example_mr_sm"):
        assert not found(name), name

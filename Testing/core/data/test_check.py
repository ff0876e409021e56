"""A check names the problem of every case, whatever it is, and training refuses the same labels."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from leuda_core.data import check
from leuda_core.data.check import check_dataset
from leuda_core.data.dataset import load_dataset, read_case_labels
from leuda_core.data.plausibility import is_noise
from leuda_core.errors import Cancelled, InputError


@pytest.fixture
def segmented(place):
    """Return a function that gives the case s0 a .seg.nrrd file with these names and fields."""

    def store(names: dict[int, str], dtype=np.uint8, **fields: str) -> str:
        label = sitk.ReadImage(str(place.path("s0_label.nii.gz")))
        image = sitk.GetImageFromArray(sitk.GetArrayFromImage(label).astype(dtype))
        image.CopyInformation(label)
        for index, (value, name) in enumerate(names.items()):
            for key, text in {"Name": name, "LabelValue": str(value), **fields}.items():
                image.SetMetaData(f"Segment{index}_{key}", text)
        sitk.WriteImage(image, str(place.path("s0.seg.nrrd")))
        place.edit(lambda d: d["source"]["cases"][0].update(label="s0.seg.nrrd"))
        return str(place.dataset)

    return store


def test_a_label_that_is_not_known_by_name_is_refused_by_check_and_training(segmented, place) -> None:
    problems = check_dataset(segmented({1: "core", 2: "Kern"})).problems
    assert len(problems) == 1
    assert all(word in problems[0] for word in ("case 's0'", "'Kern' (value 2)", "'ring', 'core'", "rename"))
    dataset = load_dataset(place.dataset)
    with pytest.raises(InputError, match=r"case 's0': .*'Kern'"):
        read_case_labels(dataset.source.cases[0], dataset.labels)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "plan"])
def test_training_names_the_case_and_the_segment(segmented, place, command) -> None:
    segmented({1: "core", 2: "Kern"})
    code, _out, err = place.call(place.command(command))
    assert code == 2 and "case 's0'" in err and "'Kern'" in err


def test_known_names_decide(segmented, place) -> None:
    plain = load_dataset(place.dataset)
    by_value = read_case_labels(plain.source.cases[0], plain.labels).data
    path = segmented({1: "Core ", 2: "ring", 3: "empty"}, np.float32, Color="0,5 0,5 0,5")
    assert check_dataset(path).problems == ()
    dataset = load_dataset(path)
    by_name = read_case_labels(dataset.source.cases[0], dataset.labels).data
    np.testing.assert_array_equal(by_name, np.array([0, 2, 1])[by_value])


@pytest.mark.parametrize("value", ["", "x", "-1", "9" * 30])
def test_a_damaged_segment_is_a_problem_of_its_case_alone(segmented, value) -> None:
    report = check_dataset(segmented({1: "ring", 2: "core"}, LabelValue=value))
    assert len(report.problems) == 1 and report.problems[0].startswith("case 's0': ")
    assert "has the label value" in report.problems[0]
    assert len(report.summary["volumes"]) == 6


@pytest.mark.parametrize(
    ("error", "words"), [(IndexError("index 9"), "IndexError: index 9"), (MemoryError(), "not enough memory")]
)
def test_whatever_a_case_raises_the_others_are_checked(tiny_dataset, monkeypatch, error, words) -> None:
    read = check.read_volume

    def failing(path):
        if path.name.startswith("t0"):
            raise error
        return read(path)

    monkeypatch.setattr(check, "read_volume", failing)
    report = check_dataset(tiny_dataset)
    assert len(report.problems) == 1 and "case 't0'" in report.problems[0] and words in report.problems[0]
    assert len(report.summary["volumes"]) == 6


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Cancelled])
def test_a_check_can_be_stopped(tiny_dataset, monkeypatch, stop) -> None:
    monkeypatch.setattr(check, "read_volume", lambda path: (_ for _ in ()).throw(stop()))
    with pytest.raises(stop):
        check_dataset(tiny_dataset)


def test_names_of_labels_that_differ_in_space_alone_are_refused(place) -> None:
    place.edit(lambda d: d["labels"].update({"3": " core"}))
    assert "two labels have the name 'core'" in check_dataset(place.dataset).problems[0]


def test_noise_is_told_from_pictures_of_any_resolution() -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(size=(4, 64, 64))
    enlarged = torch.nn.functional.interpolate(torch.from_numpy(white)[None], scale_factor=2, mode="bilinear")[0]
    assert is_noise(white) and is_noise(enlarged.numpy())
    assert not is_noise(white[:, :7, :7])  # too few pixels to tell
    i, j = np.mgrid[:64, :64]
    disc = (np.hypot(i - 30, j - 34) < 20) * 100.0 + rng.normal(0, 30, (3, 64, 64))
    assert not is_noise(disc)
    assert not is_noise(np.zeros((3, 64, 64))) and not is_noise(np.zeros((3, 5, 5)))

"""A dataset file is read as written, and every fault in it or its volumes is named."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from leuda_core.data.check import check_dataset
from leuda_core.data.dataset import labelled_slices, load_dataset, read_case_labels
from leuda_core.data.geometry import plan_slices
from leuda_core.errors import InputError


@pytest.fixture
def edit(tiny_dataset, tmp_path):
    """Return a function that writes the tiny dataset file with a change, its volumes named by absolute paths."""

    def apply(change):
        document = json.loads(tiny_dataset.read_text(encoding="utf-8"))
        groups = [document["source"]["cases"], document["target"]["cases"], *document["test"].values()]
        for case in (case for group in groups for case in group):
            for key in ("image", "label"):
                if key in case:
                    case[key] = str(tiny_dataset.parent / case[key])
        change(document)
        path = tmp_path / "dataset.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    return apply


def test_the_file_is_read(tiny_dataset):
    dataset = load_dataset(tiny_dataset)
    assert [label.name for label in dataset.labels] == ["ring", "core"]
    assert dataset.labels[1].color == pytest.approx((200 / 255, 60 / 255, 60 / 255))
    assert [case.id for case in dataset.source.cases if case.label] == ["s0", "s1"]
    assert dataset.target.modality == "CT"
    assert dataset.source.cases[0].image.is_absolute()
    assert len(dataset.test_target) == 1 and len(dataset.test_source) == 1


def test_a_good_dataset_has_no_problem(tiny_dataset):
    report = check_dataset(tiny_dataset)
    assert report.problems == ()
    assert report.summary["labelled_source_slices"] == 12
    assert report.summary["cases"]["target"] == 2


def _drop_targets(d):
    d["target"]["cases"] = []


def _drop_labels(d):
    for case in d["source"]["cases"]:
        case.pop("label", None)


def _repeat_id(d):
    d["target"]["cases"][0]["id"] = "s0"


def _repeat_volume(d):
    d["target"]["cases"][1]["image"] = d["target"]["cases"][0]["image"]


def _learn_the_test(d):
    d["test"]["target"][0]["image"] = d["target"]["cases"][0]["image"]


def _unknown_key(d):
    d["source"]["cases"][0]["weight"] = 2


def _bad_color(d):
    d["labels"]["2"]["color"] = [1, 2]


def _bad_label_value(d):
    d["labels"]["one"] = "x"


def _no_structures(d):
    d["labels"] = {"0": "background"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_drop_targets, ["no target case", "at least one"]),
        (_drop_labels, ["no source case has a label"]),
        (_repeat_id, ["'s0'", "twice", "rename"]),
        (_repeat_volume, ["'t0'", "'t1'", "same volume", "t0.nii.gz"]),
        (_learn_the_test, ["test_t", "'t0'", "remove"]),
        (_unknown_key, ["weight", "$.source.cases[0]"]),
        (_bad_color, ["[1, 2]", "label 2"]),
        (_bad_label_value, ["'one'"]),
        (_no_structures, ["no structure"]),
    ],
)
def test_each_structural_fault_is_named(edit, change, words):
    path = edit(change)
    with pytest.raises(InputError) as error:
        load_dataset(path)
    text = str(error.value)
    assert "\n" not in text
    assert "dataset.json" in text
    for word in words:
        assert word in text
    assert check_dataset(path).problems


@pytest.mark.parametrize("content", ["", "[1", '{"name": 3}', "[]", '{"name": "x"}'])
def test_what_is_no_dataset_file_is_refused(tmp_path, content):
    path = tmp_path / "dataset.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"dataset\.json"):
        load_dataset(path)


def test_check_finds_all_problems_at_once(edit, tmp_path):
    def change(d):
        d["source"]["cases"][0]["image"] = "missing.nii.gz"
        d["source"]["cases"][1]["labelled_slices"] = [2, 99]
        d["target"]["cases"][0]["image"] = str(tmp_path / "empty.nii.gz")
        d["test"]["target"][0].pop("label")

    (tmp_path / "empty.nii.gz").write_bytes(b"")
    problems = "\n".join(check_dataset(edit(change)).problems)
    for word in ("missing.nii.gz", "99", "empty.nii.gz", "'test_t' has no label"):
        assert word in problems


def test_label_on_another_grid_is_refused(edit, tiny_dataset, tmp_path):
    label = sitk.ReadImage(str(tiny_dataset.parent / "s0_label.nii.gz"))
    cropped, moved = label[:, :, :-1], sitk.Image(label)
    moved.SetOrigin(np.add(label.GetOrigin(), (5.0, 0, 0)).tolist())
    for image, words in ((cropped, "differs from image grid"), (moved, "different position")):
        sitk.WriteImage(image, str(tmp_path / "other.nii.gz"))
        path = edit(lambda d: d["source"]["cases"][0].update(label=str(tmp_path / "other.nii.gz")))
        dataset = load_dataset(path)
        with pytest.raises(InputError, match=words) as error:
            read_case_labels(dataset.source.cases[0], dataset.labels)
        assert "'s0'" in str(error.value)


def test_labelled_slices_default_to_those_with_any_label(edit, tiny_dataset, tmp_path):
    label = sitk.ReadImage(str(tiny_dataset.parent / "s0_label.nii.gz"))
    array = sitk.GetArrayFromImage(label)
    array[[0, 1, 5]] = 0
    partial = sitk.GetImageFromArray(array)
    partial.CopyInformation(label)
    sitk.WriteImage(partial, str(tmp_path / "partial.nii.gz"))

    def slices(**entry):
        path = edit(lambda d: d["source"]["cases"][0].update(label=str(tmp_path / "partial.nii.gz"), **entry))
        dataset = load_dataset(path)
        case = dataset.source.cases[0]
        label_map = read_case_labels(case, dataset.labels)
        return labelled_slices(case, label_map, plan_slices(label_map.shape, label_map.affine))

    assert slices() == (2, 3, 4)
    assert slices(labelled_slices=[5, 2]) == (2, 5)  # slice 5 is complete, and empty
    with pytest.raises(InputError, match="slice 6 does not exist"):
        slices(labelled_slices=[6])

"""What is said of volumes and labels before a training, and that labels of the target are not read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leuda_core.config import MethodConfig
from leuda_core.data.check import check_dataset
from leuda_core.errors import InputError
from leuda_core.io.nifti import read_nifti, write_nifti
from leuda_core.training.watch import Watch, data_warnings
from tiny_data import tiny_loader

SETTINGS = MethodConfig(base_channels=4, patch_size=48, batch_size=2, unlabelled_batch_size=2)


@pytest.fixture
def edited(tiny_dataset: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the tiny dataset with other voxels in the files of a role."""

    def apply(role: str, key: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
        document = json.loads(tiny_dataset.read_text(encoding="utf-8"))
        for name in ("source", "target"):
            for case in document[name]["cases"]:
                for part in {"image", "label"} & case.keys():
                    path = tiny_dataset.parent / case[part]
                    if (name, part) == (role, key):
                        data, affine = read_nifti(path)
                        path = tmp_path / path.name
                        write_nifti(change(np.array(data)), affine, path)
                    case[part] = str(path)
        document["test"] = {}
        path = tmp_path / "dataset.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    return apply


def noise(data: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).normal(300, 100, data.shape).astype(np.float32)


def test_a_target_of_noise_is_named_before_the_training(edited, tmp_path):
    path = edited("target", "image", noise)
    found = data_warnings(*tiny_loader(path, tmp_path / "cache", SETTINGS))
    assert [warning.kind for warning in found] == ["noise"] and "'t0', 't1'" in found[0].message
    report = check_dataset(path)
    assert not report.problems and any("'t0', 't1': the slices look like noise" in one for one in report.warnings)


def test_labels_without_a_border_are_refused_and_one_such_case_is_named(edited, tiny_dataset, tmp_path):
    path = edited("source", "label", lambda label: np.ones_like(label))
    with pytest.raises(InputError, match="'ring' covers every pixel of all labelled slices"):
        data_warnings(*tiny_loader(path, tmp_path / "cache", SETTINGS))
    assert any("'ring' covers every pixel" in problem for problem in check_dataset(path).problems)
    document = json.loads(path.read_text(encoding="utf-8"))
    document["source"]["cases"][1]["label"] = str(tiny_dataset.parent / "s1_label.nii.gz")
    path.write_text(json.dumps(document), encoding="utf-8")
    (found,) = data_warnings(*tiny_loader(path, tmp_path / "cache2", SETTINGS))
    assert found.kind == "covered" and "'s0'" in found.message
    report = check_dataset(path)
    assert not report.problems and any("case 's0'" in one for one in report.warnings)


def test_a_good_dataset_has_no_warning(tiny_dataset, tmp_path):
    assert data_warnings(*tiny_loader(tiny_dataset, tmp_path / "cache", SETTINGS)) == []
    assert check_dataset(tiny_dataset).warnings == ()


def test_no_target_label_is_read(edited, tmp_path, monkeypatch):
    """Target cases with labels give the same slices to look at, and no label of them is opened."""
    loader, task = tiny_loader(edited("target", "image", lambda data: data), tmp_path / "cache", SETTINGS)
    watch = Watch(loader, task, lambda kind, /, **fields: None)
    assert watch._target.labels == [] and all(case.labels is None for case in loader.target)

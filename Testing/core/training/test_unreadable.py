"""A case that cannot be read is left out of a training, which says so and stays reproducible."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bench_scale import BROKEN
from leuda_core.bundle.model import load_bundle
from leuda_core.data.dataset import UnreadableCase
from leuda_core.errors import InputError
from leuda_core.io.volumes import read_volume, write_volume
from leuda_core.runs.folder import Run
from leuda_core.runs.state import status
from leuda_core.training.run import create_run, resume, train
from leuda_core.types import Volume
from stopped_runs import stop_at

OPTIONS = {"steps": 4, "device": "cpu", "settings": {"patch_size": 32, "base_channels": 4}}


@pytest.fixture
def dataset(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A copy of the tiny dataset whose volumes can be broken."""
    shutil.copytree(tiny_dataset.parent, tmp_path / "data")
    return tmp_path / "data" / tiny_dataset.name


def broken(dataset: Path, role: str, number: int, kind: str, what: str = "image") -> None:
    """Let a case of the dataset name a broken file."""
    (dataset.parent / kind).write_bytes(BROKEN[kind])
    rename(dataset, role, number, kind, what)


def rename(dataset: Path, role: str, number: int, name: str, what: str = "image") -> None:
    """Let a case of the dataset name another file."""
    document = json.loads(dataset.read_text())
    document[role]["cases"][number][what] = name
    dataset.write_text(json.dumps(document))


def weights(run: Run) -> torch.Tensor:
    return torch.cat([tensor.flatten() for _, tensor in sorted(load_bundle(run.bundle).weights.items())])


def test_unreadable_cases_are_left_out_and_named(dataset: Path, tmp_path: Path) -> None:
    broken(dataset, "source", 2, "endian.nrrd")  # ends the process in ITK's parser
    broken(dataset, "target", 0, "matrix.mha")  # never returns there
    broken(dataset, "source", 1, "dims.mha", "label")
    run = train(dataset, "mean_teacher", tmp_path / "run", **OPTIONS)
    found = status(run)
    warned = "\n".join(one["message"] for one in found.warnings)
    info = load_bundle(run.bundle).info
    assert found.state == "finished" and all(f"case '{case}'" in warned for case in ("s2", "t0", "s1"))
    assert (info.source.cases, info.source.labelled_cases, info.target.cases) == (1, 1, 1)
    assert all(any(f"case '{case}'" in line for line in info.warnings) for case in ("s2", "t0", "s1"))


def test_a_resumed_run_continues_without_them_even_if_they_can_be_read_by_then(dataset: Path, tmp_path: Path) -> None:
    path = dataset.parent / "t0.nii"
    volume = read_volume(dataset.parent / "t0.nii.gz")
    coarse = np.diag([3.0, 3.0, 1.0, 1.0])
    write_volume(Volume(volume.data, volume.affine @ coarse), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:2000])  # the header, which has a say in the pixel size of the run, can be read
    rename(dataset, "target", 0, path.name)
    undisturbed = train(dataset, "mean_teacher", tmp_path / "undisturbed", **OPTIONS)
    run = create_run(dataset, "mean_teacher", tmp_path / "run", checkpoint_every=1, **OPTIONS)
    stop_at(run, 1)
    path.write_bytes(whole)
    resume(run)
    assert torch.equal(weights(run), weights(undisturbed))
    assert "case 't0'" in status(run).warnings[0]["message"]


def test_a_run_that_read_a_case_does_not_continue_without_it(dataset: Path, tmp_path: Path) -> None:
    run = create_run(dataset, "mean_teacher", tmp_path / "run", checkpoint_every=1, **OPTIONS)
    stop_at(run, 1)
    path = dataset.parent / "t0.nii.gz"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"'t0'.* has changed"):
        resume(run)


def test_without_any_readable_target_or_label_there_is_no_training(dataset: Path, tmp_path: Path) -> None:
    for number in range(2):
        broken(dataset, "target", number, ("endian.nrrd", "matrix.mha")[number])
    with pytest.raises(InputError, match="case 't0'"):
        train(dataset, "mean_teacher", tmp_path / "run", **OPTIONS)
    assert not (tmp_path / "run").exists()


def test_a_wrong_label_map_is_refused_and_a_missing_file_too(dataset: Path, tmp_path: Path) -> None:
    shutil.copy(dataset.parent / "s0.nii.gz", dataset.parent / "s1_label.nii.gz")  # grey values
    with pytest.raises(InputError, match=r"case 's1'.*without a label"):
        train(dataset, "mean_teacher", tmp_path / "run", **OPTIONS)
    (dataset.parent / "t1.nii.gz").unlink()
    shutil.copy(dataset.parent / "s0_label.nii.gz", dataset.parent / "s1_label.nii.gz")
    with pytest.raises(InputError, match=r"case 't1'.*does not exist"):
        train(dataset, "mean_teacher", tmp_path / "run", **OPTIONS)


@pytest.mark.parametrize(
    "cause", [MemoryError(), PermissionError(13, "Permission denied")], ids=["memory", "permission"]
)
def test_what_the_system_lacks_is_no_damage_of_a_case(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: Exception
) -> None:
    def fails(path: Path) -> Volume:
        raise InputError(f"{path.name} cannot be read", "try again") from cause

    monkeypatch.setattr("leuda_core.data.dataset.read_volume", fails)
    with pytest.raises(InputError, match=r"case '[st]0'") as caught:
        train(dataset, "mean_teacher", tmp_path / "run", **OPTIONS)
    assert not isinstance(caught.value, UnreadableCase)

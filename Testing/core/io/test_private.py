"""What holds images of patients is for its owner alone, unless told otherwise; outputs follow the umask."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from leuda_core.bundle.store import import_model
from leuda_core.commands.runs import _logging_to
from leuda_core.io.files import write_json
from leuda_core.io.private import SHARED, make_private_folder
from leuda_core.io.volumes import write_label_map
from leuda_core.runs import control
from leuda_core.runs.folder import Run
from leuda_core.training.plans.planning import make_plan
from leuda_core.training.run import create_run, resume
from leuda_core.types import LabelMap
from leuda_core.worker.volumes import save_array

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
SMALL = {"base_channels": 4, "patch_size": 32, "batch_size": 1, "unlabelled_batch_size": 1}
TRANSLATING = {"translator_channels": 4, "translator_blocks": 1, "translator_steps": 1}


@pytest.fixture(autouse=True)
def usual_umask(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(SHARED, raising=False)
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def modes(folder: Path) -> set[tuple[bool, int]]:
    return {(path.is_dir(), mode(path)) for path in folder.rglob("*")}


@pytest.mark.slow
def test_everything_in_a_run_is_private_also_in_a_folder_that_is_not(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    seen: set[tuple[bool, int]] = set()
    run = create_run(
        tiny_dataset, "cyclegan", folder, steps=1, device="cpu", settings={**SMALL, **TRANSLATING}, checkpoint_every=1
    )
    with _logging_to(run.log):
        logging.getLogger("leuda_core").warning("a name of a patient")
        resume(run, on_progress=lambda *_: seen.update(modes(folder)))
    control.request_stop(run)
    names = {path.name for path in run.path.iterdir()}
    assert {"checkpoint-last.pt", "translator.safetensors", "previews", "bundle", "log.txt", "stop", "lock"} <= names
    assert seen | modes(folder) == {(True, 0o700), (False, 0o600)}
    assert mode(folder) == 0o755  # the user's own folder stays as it is


def test_a_new_run_folder_is_private_and_its_new_parents(tiny_dataset: Path, tmp_path: Path) -> None:
    run = create_run(tiny_dataset, "source_only", tmp_path / "runs" / "a", steps=1)
    assert [mode(path) for path in (run.path.parent, run.path, run.config)] == [0o700, 0o700, 0o600]


def test_told_otherwise_the_umask_decides(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARED, "1")
    run = create_run(tiny_dataset, "source_only", tmp_path / "run", steps=1)
    assert [mode(path) for path in (run.path, run.config)] == [0o755, 0o644]
    os.umask(0o007)
    control.request_stop(run)
    make_private_folder(tmp_path / "group")
    assert [mode(path) for path in (run.stop, tmp_path / "group")] == [0o660, 0o770]


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_outputs_follow_the_umask(tmp_path: Path, umask: int, expected: int) -> None:
    os.umask(umask)
    labels = LabelMap(np.zeros((3, 4, 5), np.uint8), np.eye(4))
    for name in ("a.nii.gz", "a.nrrd", "a.mha"):
        write_label_map(labels, tmp_path / name)
        assert mode(tmp_path / name) == expected
    write_json(tmp_path / "new" / "a.json", [])
    assert (mode(tmp_path / "new" / "a.json"), mode(tmp_path / "new")) == (expected, 0o777 & ~umask)


def test_arrays_of_the_worker_are_private(tmp_path: Path) -> None:
    save_array(tmp_path / "a.npy", np.zeros((2, 3)), lambda done, total: None)
    assert mode(tmp_path / "a.npy") == 0o600


def test_models_are_private(tmp_path: Path, untrained_bundle: Path) -> None:
    import_model(untrained_bundle, tmp_path / "data" / "models")
    assert modes(tmp_path) == {(True, 0o700), (False, 0o600)}


def test_the_log_of_a_detached_run_is_private(tmp_path: Path) -> None:
    run = Run(tmp_path)
    control._start_detached([sys.executable, "-c", "pass"], run, "token").wait()
    assert mode(run.log) == 0o600


@pytest.mark.slow
def test_slices_of_a_plan_are_private(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: set[tuple[bool, int]] = set()
    make_plan(
        tiny_dataset, "source_only", settings=SMALL, device="cpu", on_step=lambda *_: seen.update(modes(tmp_path))
    )
    assert seen == {(True, 0o700), (False, 0o600)} and not list(tmp_path.iterdir())

"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tiny_data import write_dataset

if TYPE_CHECKING:
    from refusals import Place

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch: tests of tiny networks, on few cores


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset file: three source cases (two labelled), two target cases, a labelled test case of each. Read only."""
    return write_dataset(tmp_path_factory.mktemp("tiny dataset"))  # with a space, as users have them


@pytest.fixture(scope="session")
def untrained_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of the labels of ``tiny_dataset``. Read only."""
    import torch

    from leuda_core.bundle.model import save_bundle
    from leuda_core.bundle.schema import BundleInfo, DomainSummary
    from leuda_core.networks.predictor import Predictor, PredictorSpec
    from leuda_core.types import Label, Task

    torch.manual_seed(0)
    predictor = Predictor(PredictorSpec(n_classes=3, base_channels=4))
    task = Task((Label(1, "ring"), Label(2, "core")), spacing_mm=1.25, patch_size=32)
    domains = {"source": DomainSummary(name="s", modality="MR"), "target": DomainSummary(name="t", modality="CT")}
    info = BundleInfo(name="m", method="source_only", **domains)
    return save_bundle(tmp_path_factory.mktemp("model") / "bundle", predictor, task, info)


@pytest.fixture
def place(
    tiny_dataset: Path,
    untrained_bundle: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    """A copy of the tiny dataset and of a model to spoil."""
    from refusals import Place

    folder = tmp_path / "Größe 1"
    shutil.copytree(tiny_dataset.parent, folder)
    shutil.copytree(untrained_bundle, folder / "bundle")
    (folder / "out").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))  # what is left there is left behind, too
    monkeypatch.chdir(folder)
    return Place(folder, capfd)

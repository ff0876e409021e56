"""Datasets, runs and bundles that earlier versions wrote still open and continue: see Testing/compatibility."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import leuda_core
from leuda_core import devices
from leuda_core.bundle.store import import_model, read_model
from leuda_core.data.check import check_dataset
from leuda_core.io.volumes import read_label_map
from leuda_core.methods.cyclegan import TRANSLATOR_FILE
from leuda_core.networks.predictor import REFERENCE
from leuda_core.prediction import runner
from leuda_core.report.report import write_report
from leuda_core.runs.folder import Run
from leuda_core.runs.state import status
from leuda_core.types import LabelMap
from repository import ROOT

VERSIONS = sorted(path for path in (ROOT / "Testing" / "compatibility").iterdir() if path.is_dir())


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def version(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of what a version wrote, whose runs name their dataset by its full path."""
    folder = tmp_path / "earlier"
    shutil.copytree(request.param, folder)
    shutil.copy(folder / "runs" / "stopped" / "checkpoint-last.pt", folder / "runs" / "killed")
    for config in (folder / "runs").glob("*/run.json"):
        settings = json.loads(config.read_text(encoding="utf-8"))
        settings["dataset"] = str(folder / settings["dataset"])
        config.write_text(json.dumps(settings), encoding="utf-8")
    return folder


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute as the processor did on which the files were written: it had no bfloat16, whose results differ."""
    monkeypatch.setattr(devices, "has_bf16", lambda _device: False)
    monkeypatch.setattr(runner, "half_precision", lambda _device: None)


def dice(first: LabelMap, second: LabelMap) -> float:
    a, b = first.data > 0, second.data > 0
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_the_dataset_has_no_problems(version: Path) -> None:
    assert check_dataset(version / "dataset" / "dataset.json").problems == ()


@pytest.mark.usefixtures("float32")
def test_the_bundle_segments_as_it_did(version: Path, tmp_path: Path) -> None:
    bundle = version / "runs" / "finished" / "bundle"
    found = leuda_core.segment(version / "dataset" / "t3.nii.gz", bundle, device="cpu").label_map
    before = read_label_map(version / "t3_prediction.nii.gz", found.labels)
    assert before.data.any() and dice(found, before) > 0.99  # on another processor a pixel at the border may differ
    entry = read_model(bundle)
    assert (entry.method, entry.source_modality, entry.target_modality) == ("cyclegan", "MR", "CT")
    assert [(label.value, label.name) for label in entry.labels] == [(1, "disc")]
    assert import_model(bundle, tmp_path / "models").labels == leuda_core.load_bundle(bundle).task.labels


def test_the_finished_run_is_finished_and_has_a_report(version: Path, tmp_path: Path) -> None:
    run = version / "runs" / "finished"
    assert (status(run).state, status(run).progress) == ("finished", 1.0)
    assert leuda_core.resume(run).bundle == run / "bundle"
    page = write_report(run, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "CycleGAN" in page and "disc" in page


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize(("name", "state"), [("stopped", "stopped"), ("killed", "crashed")])
def test_a_run_that_did_not_end_continues_to_the_weights_of_one_that_did(version: Path, name: str, state: str) -> None:
    run = Run(version / "runs" / name)
    assert status(run).state == state
    leuda_core.resume(run)
    assert status(run).state == "finished"
    expected = load_file(version / "runs" / "finished" / "bundle" / "model.safetensors")
    found = load_file(run.bundle / "model.safetensors")
    assert found.keys() == expected.keys() | REFERENCE  # the rest is what models remember since 0.2
    for tensor, weights in expected.items():
        assert np.allclose(found[tensor], weights, atol=1e-4), tensor  # bit for bit on the same processor


def test_a_new_run_takes_the_translator_of_an_old_one(version: Path, tmp_path: Path) -> None:
    run = version / "runs" / "finished"
    settings = json.loads((run / "run.json").read_text(encoding="utf-8"))["settings"] | {"translator": str(run)}
    dataset = version / "dataset" / "dataset.json"
    new = leuda_core.train(dataset, "cyclegan", tmp_path / "new", steps=1, device="cpu", settings=settings)
    before, now = load_file(run / TRANSLATOR_FILE), load_file(new.path / TRANSLATOR_FILE)
    assert len(before) == len(now)
    assert all(np.array_equal(now[name.replace("judge", "discriminator")], weights) for name, weights in before.items())

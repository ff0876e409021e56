"""How far a volume is from what a model knows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from command_calls import call_json
from leuda_core.bundle.model import load_bundle, save_bundle
from leuda_core.bundle.schema import BundleInfo, DomainSummary
from leuda_core.io.volumes import read_volume, write_volume
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.prediction.gauge import FAR, LIKE, gauge, verdict_of
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.training.run import train
from leuda_core.types import Label, Task, Volume
from tiny_data import write_case, write_dataset
from worker_process import WorkerProcess

SMALL = {"base_channels": 4, "patch_size": 48, "batch_size": 4, "unlabelled_batch_size": 2}
TASK = Task((Label(1, "a"),), spacing_mm=1.0, patch_size=32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny dataset with four further target cases, ``m0`` to ``m3``."""
    path = write_dataset(tmp_path_factory.mktemp("gauge"))
    document = json.loads(path.read_text(encoding="utf-8"))
    document["target"]["cases"] += [
        write_case(path.parent, f"m{n}", inverted=True, labelled=False, seed=30 + n) for n in range(4)
    ]
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def bundle(dataset: Path) -> Path:
    return train(dataset, "source_only", dataset.parent / "run", steps=60, settings=SMALL).bundle


@pytest.fixture(scope="module")
def segmenter(bundle: Path) -> SliceSegmenter:
    model = load_bundle(bundle)
    return SliceSegmenter(model.predictor(), model.task, device="cpu")


def noise(like: Volume) -> Volume:
    return Volume(np.random.default_rng(0).uniform(0, 500, like.shape).astype(np.float32), like.affine)


@pytest.mark.slow
def test_volumes_of_the_target_are_like_it_and_others_are_not(dataset: Path, segmenter: SliceSegmenter) -> None:
    own, other = ("t0", "m0", "test_t"), ("s0", "s1", "test_s")
    volumes = {name: read_volume(dataset.parent / f"{name}.nii.gz") for name in (*own, *other)}
    volumes["noise"] = noise(volumes["t0"])
    found = {name: gauge(segmenter, volume) for name, volume in volumes.items()}
    verdicts = {name: one.verdict if one else "" for name, one in found.items()}
    assert {verdicts[name] for name in own} == {"like"}, found
    assert not {verdicts[name] for name in (*other, "noise")} & {"like", ""}, found


def test_few_remembered_volumes_are_less_strict() -> None:
    assert [verdict_of(LIKE * 1.01, count) for count in (1, 8, 1000)] == ["like", "like", "unlike"]
    assert [verdict_of(FAR * 1.6, count) for count in (1, 3, 1000)] == ["unlike", "far", "far"]
    assert verdict_of(LIKE * 2, 0) == "like"


def test_models_that_remember_nothing_say_nothing(untrained_bundle: Path, tiny_dataset: Path) -> None:
    model = load_bundle(untrained_bundle)
    segmenter = SliceSegmenter(model.predictor(), model.task, device="cpu")
    assert gauge(segmenter, read_volume(tiny_dataset.parent / "t0.nii.gz")) is None


def test_the_distance_is_about_one_for_what_is_remembered(tmp_path: Path) -> None:
    torch.manual_seed(0)
    predictor = Predictor(PredictorSpec(n_classes=2, base_channels=4, reference=True)).eval()
    with torch.no_grad():
        features = predictor.describe(torch.rand(40, 1, 32, 32))
    assert features.shape == (40, 2 * 4 * (8 + 16))
    predictor.remember(features, 5)
    assert predictor.unlikeness(features) == pytest.approx(1, abs=0.15)
    assert predictor.unlikeness(features + 3 * predictor.spread) == pytest.approx(np.sqrt(10), abs=0.3)
    only_bottleneck = features.clone()
    only_bottleneck[:, 64:] += 3 * predictor.spread[64:]  # one of the two levels is enough
    assert predictor.unlikeness(only_bottleneck) == pytest.approx(np.sqrt(10), abs=0.3)
    constant = predictor.centre.expand(40, -1)
    predictor.remember(constant, 5)
    assert predictor.unlikeness(constant) < 1  # without a spread, nothing is divided by zero
    domain = DomainSummary(name="d", modality="MR")
    info = BundleInfo(name="b", method="m", source=domain, target=domain)
    loaded = load_bundle(save_bundle(tmp_path / "bundle", predictor, TASK, info)).predictor()
    assert torch.equal(loaded.centre, predictor.centre) and int(loaded.volumes) == 5


@pytest.mark.slow
def test_segmenting_tells(bundle: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_volume(noise(read_volume(dataset.parent / "t0.nii.gz")), tmp_path / "noise.nii.gz")
    for name, path in (("t0", dataset.parent / "t0.nii.gz"), ("noise", tmp_path / "noise.nii.gz")):
        words = ("segment", "--model", bundle, "--input", path, "--output", tmp_path / f"{name}.nrrd")
        code, found = call_json(capsys, *words)
        (row,) = found["volumes"]
        assert code == 0 and (row["gauge"]["verdict"] == "like") == (name == "t0")
        assert (row["gauge"]["text"] in row["notes"]) == (name == "noise")


@pytest.mark.slow
def test_the_worker_tells(bundle: Path, untrained_bundle: Path, dataset: Path, tmp_path: Path) -> None:
    volume = read_volume(dataset.parent / "test_t.nii.gz")
    np.save(tmp_path / "volume.npy", np.ascontiguousarray(volume.data.T))
    fields = {"device": "cpu", "volume": tmp_path / "volume.npy", "affine": volume.affine.tolist()}
    with WorkerProcess() as worker:
        found = worker.result("gauge", 1, model=bundle, **fields)
        assert found["gauge"]["verdict"] == "like" and set(found["seconds"]) == {"load", "read", "gauge"}
        assert worker.result("gauge", 2, model=untrained_bundle, **fields)["gauge"] is None
        np.save(tmp_path / "volume.npy", np.ascontiguousarray(noise(volume).data.T))
        found = worker.result("segment", 3, model=bundle, output=tmp_path / "labels.npy", **fields)
        assert found["gauge"]["verdict"] != "like" and found["gauge"]["text"] in found["notes"]

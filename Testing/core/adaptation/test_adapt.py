"""Going on from a model: what it learns, what it keeps, and that its runs stop, resume and repeat like all others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from command_calls import call, call_json
from leuda_core.bundle.model import load_bundle, save_bundle
from leuda_core.bundle.store import export_model, read_model
from leuda_core.errors import Cancelled, InputError
from leuda_core.evaluation import score_bundle
from leuda_core.networks.predictor import REFERENCE, Predictor
from leuda_core.prediction.volumes import segment
from leuda_core.runs.control import request_stop
from leuda_core.runs.events import read_events
from leuda_core.runs.folder import Run
from leuda_core.runs.state import status
from leuda_core.training.reproduce import reproduce
from leuda_core.training.run import adapt, create_adaptation, resume, train
from leuda_core.types import Case
from tiny_data import write_case, write_dataset
from waiting import wait_for

SMALL = {"base_channels": 4, "patch_size": 48, "batch_size": 4, "unlabelled_batch_size": 2}
QUICK = {"learning_rate": 3e-3, "ema_decay": 0.9}
Datasets = Callable[..., Path]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Datasets:
    """Return a function that writes a dataset: with or without source cases and corrected target slices."""
    folder = tmp_path_factory.mktemp("loop")
    path = write_dataset(folder)
    entry = write_case(folder, "t0", inverted=True, labelled=True, seed=10)

    def write(*, source: bool = True, corrected: bool = True) -> Path:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not source:
            document["source"]["cases"] = []
        if corrected:
            document["target"]["cases"][0] = {**entry, "labelled_slices": [1, 2, 4]}
        found = folder / f"{source}-{corrected}.json"
        found.write_text(json.dumps(document), encoding="utf-8")
        return found

    return write


@pytest.fixture(scope="module")
def model(datasets: Datasets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learnt the source alone."""
    folder = tmp_path_factory.mktemp("model")
    settings = {**SMALL, "augmentation": "paper"}
    return train(datasets(), "source_only", folder / "run", steps=60, settings=settings).bundle


def weights(bundle: Path) -> bytes:
    return (bundle / "model.safetensors").read_bytes()


def dice(bundle: Path, dataset: Path, name: str) -> float:
    case = Case(name, dataset.parent / f"{name}.nii.gz", dataset.parent / f"{name}_label.nii.gz")
    return score_bundle(load_bundle(bundle), [case], device="cpu").overall.dice


@pytest.mark.slow
@pytest.mark.parametrize("source", [True, False])
def test_corrected_slices_improve_the_model_on_other_volumes(
    model: Path, datasets: Datasets, tmp_path: Path, source: bool
) -> None:
    dataset = datasets(source=source)
    before = dice(model, dataset, "test_t")
    made = adapt(model, dataset, tmp_path / "run", steps=60, settings=QUICK).bundle
    assert dice(made, dataset, "test_t") > before + 0.2
    if source:  # what was known is replayed
        assert dice(made, dataset, "test_s") > dice(model, dataset, "test_s") - 0.05


def test_the_run_begins_as_the_model(model: Path, datasets: Datasets, tmp_path: Path) -> None:
    dataset = datasets()
    run = adapt(model, dataset, tmp_path / "run", steps=1, settings={"learning_rate": 1e-9})
    old, new = (load_bundle(one) for one in (model, run.bundle))
    for name, value in ((name, value) for name, value in old.weights.items() if name not in REFERENCE):
        assert torch.allclose(new.weights[name], value, atol=1e-6), name
    volume = dataset.parent / "t1.nii.gz"
    assert (segment(volume, old).label_map.data == segment(volume, new).label_map.data).mean() > 0.999


def test_what_the_new_model_says_about_itself(model: Path, datasets: Datasets, tmp_path: Path) -> None:
    run = adapt(model, datasets(), tmp_path / "run", steps=2)
    old, new = load_bundle(model), load_bundle(run.bundle)
    assert new.task == old.task and new.spec == old.spec
    assert new.info.adapted_from == old.checksum and new.info.method == "adaptation"
    assert new.info.name == f"{old.info.name}, adapted"
    assert new.info.source == old.info.source and new.info.citation == old.info.citation
    assert (new.info.target.labelled_cases, new.info.target.labelled_slices) == (1, 3)
    assert f"started from the model {old.checksum[:12]}" in (run.bundle / "README.md").read_text(encoding="utf-8")
    assert read_model(run.bundle).method == "adaptation"
    again = load_bundle(adapt(run.bundle, datasets(), tmp_path / "again", steps=1).bundle)
    assert again.info.name == new.info.name and again.info.adapted_from == new.checksum


@pytest.mark.slow
@pytest.mark.parametrize(("source", "corrected"), [(True, True), (False, True), (False, False)])
def test_stopped_and_resumed_is_as_if_never_stopped(
    model: Path, datasets: Datasets, tmp_path: Path, source: bool, corrected: bool
) -> None:
    dataset = datasets(source=source, corrected=corrected)
    whole = adapt(model, dataset, tmp_path / "whole", steps=20)
    run = create_adaptation(model, dataset, tmp_path / "parts", steps=20)
    with pytest.raises(Cancelled, match="step 10 of 20"):
        resume(run, on_progress=lambda done, total, metrics: request_stop(run) if done == 10 else None)
    resume(run)
    assert weights(run.bundle) == weights(whole.bundle) != weights(model)
    first = next(event for event in read_events(run.events)[0] if event.get("stage") == "adapt")
    assert ("corrected" in first["metrics"]) == corrected and ("source" in first["metrics"]) == source


def test_the_result_may_take_the_place_of_the_model(model: Path, datasets: Datasets, tmp_path: Path) -> None:
    """The run has a copy of what it began with, so it can be resumed and reproduced."""
    place = shutil.copytree(model, tmp_path / "model")
    run = create_adaptation(place, datasets(), tmp_path / "run", steps=4)
    shutil.rmtree(place)
    resume(run)
    shutil.copytree(run.bundle, place)
    found = reproduce(run.bundle, out=tmp_path / "again")
    assert found.equal and not found.data
    with pytest.raises(InputError, match="give it with --from"):
        reproduce(place, dataset=datasets(), out=tmp_path / "elsewhere")
    with pytest.raises(InputError, match="was not adapted from"):
        reproduce(run.bundle, start=run.bundle, out=tmp_path / "elsewhere")
    assert reproduce(place, dataset=datasets(), start=model, out=tmp_path / "elsewhere").equal


def test_a_spoilt_start_is_noticed(model: Path, datasets: Datasets, tmp_path: Path) -> None:
    run = create_adaptation(model, datasets(), tmp_path / "run", steps=4)
    shutil.rmtree(run.start)
    with pytest.raises(InputError, match="start"):
        resume(run)
    other = adapt(model, datasets(), tmp_path / "other", steps=1).bundle
    shutil.copytree(other, run.start)
    with pytest.raises(InputError, match="is not the model that this run began with"):
        resume(run)


def test_a_model_with_a_translator_keeps_it(datasets: Datasets, tmp_path: Path) -> None:
    more = {"translator_channels": 4, "translator_blocks": 1, "translator_steps": 4}
    first = train(datasets(), "cyclegan", tmp_path / "first", steps=4, settings={**SMALL, **more}).bundle
    second = adapt(first, datasets(), tmp_path / "run", steps=3).bundle
    old, new = (load_bundle(one).weights for one in (first, second))
    same = {name for name in old if name != "volumes" and torch.equal(old[name], new[name])}
    assert same == {name for name in old if name.startswith("translator.")}


def test_batch_norm_keeps_its_statistics(datasets: Datasets, tmp_path: Path) -> None:
    settings = {**SMALL, "statistics_steps": 2}
    first = train(datasets(), "adabn", tmp_path / "first", steps=2, settings=settings).bundle
    second = adapt(first, datasets(), tmp_path / "run", steps=2).bundle
    old, new = (load_bundle(one).weights for one in (first, second))
    assert all(torch.equal(old[name], new[name]) for name in old if "running" in name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"settings": {"patch_size": 64}}, "patch_size=64 is not that of the model, 48"),
        ({"settings": {"base_channels": 8}}, "base_channels=8 is not that of the model, 4"),
        ({"settings": {"ct_window_low": -200}}, "ct_window_low=-200 is not that of the model"),
        ({"settings": {"confidense": 0.5}}, "did you mean 'confidence'"),
        ({"steps": 0}, "steps=0"),
        ({"device": "gpu"}, "device='gpu'"),
    ],
)
def test_wrong_calls_write_nothing(
    model: Path, datasets: Datasets, tmp_path: Path, options: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        adapt(model, datasets(), tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_other_labels_and_no_model_are_refused(model: Path, datasets: Datasets, tmp_path: Path) -> None:
    document = json.loads(datasets().read_text(encoding="utf-8"))
    document["labels"] = {"1": "core", "2": "ring"}
    path = datasets().parent / "swapped.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match="has the labels 1 core, 2 ring, the model has 1 ring, 2 core"):
        adapt(model, path, tmp_path / "run")
    with pytest.raises(InputError):
        adapt(tmp_path, datasets(), tmp_path / "run")
    run = adapt(model, datasets(), tmp_path / "run", steps=1)
    with pytest.raises(InputError, match="already contains a run"):
        adapt(model, datasets(), run.path)


def test_the_target_of_the_model_is_remembered_with_that_of_the_adaptation(
    model: Path, datasets: Datasets, tmp_path: Path
) -> None:
    made = load_bundle(adapt(model, datasets(), tmp_path / "run", steps=1, settings={"learning_rate": 1e-9}).bundle)
    before = load_bundle(model)
    assert [int(one.weights["volumes"]) for one in (before, made)] == [2, 4]
    assert torch.allclose(made.weights["centre"], before.weights["centre"], atol=0.05)  # of the same volumes


def test_models_of_before_that_remember_nothing_are_adapted_and_reproduced(
    model: Path, datasets: Datasets, tmp_path: Path
) -> None:
    def without_memory(bundle: Path) -> Path:
        old = load_bundle(bundle)
        plain = Predictor(msgspec.structs.replace(old.spec, reference=False))
        plain.load_state_dict({name: x for name, x in old.weights.items() if name not in REFERENCE})
        return save_bundle(bundle, plain, old.task, old.info)

    run = train(datasets(), "source_only", tmp_path / "run", steps=2, settings=SMALL)
    found = reproduce(without_memory(run.bundle), out=tmp_path / "again")
    assert found.equal and found.largest_difference == 0
    made = adapt(run.bundle, datasets(), tmp_path / "adapted", steps=1).bundle
    assert int(load_bundle(made).weights["volumes"]) == 2


@pytest.mark.parametrize("source", [True, False])
def test_corrections_and_source_cases_do_not_vanish_unnoticed(
    model: Path, datasets: Datasets, tmp_path: Path, source: bool
) -> None:
    folder = shutil.copytree(datasets(source=source).parent, tmp_path / "data")
    path = folder / f"{source}-True.json"
    (folder / "t0_label.nii.gz").write_bytes(b"no volume")
    with pytest.raises(InputError, match="t0"):
        adapt(model, path, tmp_path / "run", steps=1)
    if source:
        shutil.copy(folder / "s0_label.nii.gz", folder / "t0_label.nii.gz")
        for name in ("s0", "s1"):
            (folder / f"{name}.nii.gz").write_bytes(b"no volume")
        with pytest.raises(InputError, match="s0"):
            adapt(model, path, tmp_path / "run", steps=1)
    assert not (tmp_path / "run").exists()


def test_what_a_killed_call_left_is_replaced(model: Path, datasets: Datasets, tmp_path: Path) -> None:
    other = adapt(model, datasets(), tmp_path / "other", steps=1).bundle
    (tmp_path / "run").mkdir()
    shutil.copytree(other, tmp_path / "run" / "start")
    run = adapt(model, datasets(), tmp_path / "run", steps=1)
    assert load_bundle(run.start).checksum == load_bundle(model).checksum
    assert not (run.path / "start 2").exists()


def test_nothing_to_learn_from_is_refused(model: Path, datasets: Datasets, tmp_path: Path) -> None:
    dataset = datasets(source=False, corrected=False)
    with pytest.raises(InputError, match="nothing to learn from"):
        adapt(model, dataset, tmp_path / "run", steps=1, settings={"pseudo_label_weight": 0})
    assert not (tmp_path / "run").exists()


def test_the_command(model: Path, datasets: Datasets, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = export_model(model, tmp_path / "model.zip")
    words = ("adapt", datasets(source=False), "--from", packed, "--steps", "2", "--device", "cpu")
    code, found = call_json(capsys, *words, "--out", tmp_path / "run")
    assert code == 0 and found["state"] == "finished" and Path(found["bundle"]).is_dir()
    code, _, _ = call(capsys, "report", tmp_path / "run", "--out", tmp_path / "page.html")
    assert code == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Adaptation of a model" in page and "weight of the replayed source slices" in page
    assert json.loads((tmp_path / "run" / "scores.json").read_text(encoding="utf-8"))["cases"]  # without a source
    code, _, err = call(capsys, "train", datasets(), "--method", "adaptation", "--out", tmp_path / "no")
    assert code == 2 and "unknown method 'adaptation'" in err


def test_it_can_run_detached(
    model: Path, datasets: Datasets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("adapt", datasets(), "--from", model, "--steps", "2", "--device", "cpu", "--out", tmp_path / "run")
    code, found = call_json(capsys, *words, "--detach")
    assert code == 0 and found["state"] == "running"
    wait_for(lambda: status(Run(tmp_path / "run")).state == "finished")

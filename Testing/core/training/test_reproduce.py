"""Finished runs: a lost model is written again, and a model is trained again from what its bundle records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import leuda_core
from leuda_core.bundle.model import load_bundle, save_bundle
from leuda_core.cli import main
from leuda_core.errors import InputError
from leuda_core.runs.folder import Run
from leuda_core.runs.model import model_problem
from leuda_core.runs.state import status
from leuda_core.training import preview
from leuda_core.training.loop import Training
from leuda_core.training.run import create_run, resume, train
from refusals import flip

SETTINGS = {"base_channels": 4, "patch_size": 32, "batch_size": 1, "unlabelled_batch_size": 1}
OPTIONS = {"steps": 3, "seed": 5, "settings": SETTINGS, "device": "cpu"}
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def dataset(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "copy"
    shutil.copytree(tiny_dataset.parent, folder)
    return folder / "dataset.json"


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run. Read only."""
    return train(
        dataset,
        "source_only",
        tmp_path_factory.mktemp("runs") / "run",
        steps=3,
        seed=5,
        settings=SETTINGS,
        device="cpu",
    )


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    return Run(shutil.copytree(finished.path, tmp_path / "run"))


# a lost model


LOSSES: dict[str, Callable[[Path], object]] = {
    "deleted": shutil.rmtree,
    "empty": lambda model: [path.unlink() for path in model.iterdir()],
    "no document": lambda model: (model / "bundle.json").unlink(),
    "no weights": lambda model: (model / WEIGHTS).unlink(),
    "a bit of the weights": lambda model: flip(model / WEIGHTS, 9000),
    "a bit of the document": lambda model: flip(model / "bundle.json", 300),
    "half a document": lambda model: (model / "bundle.json").write_text('{"files": {', encoding="utf-8"),
    "another document": lambda model: (model / "bundle.json").write_text("[]", encoding="utf-8"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_a_lost_model_is_noticed(finished: Run, run: Run, name: str) -> None:
    assert not model_problem(run) and not status(run).message
    LOSSES[name](run.bundle)
    found = status(run)
    assert found.state == "finished" and str(run.bundle) in found.message and "leuda resume" in found.remedy


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deleted", "no document", "a bit of the weights"])
def test_resume_writes_a_lost_model_again(finished: Run, run: Run, name: str) -> None:
    LOSSES[name](run.bundle)
    resume(run)
    assert {path.name: path.read_bytes() for path in run.bundle.iterdir()} == {
        path.name: path.read_bytes() for path in finished.bundle.iterdir()
    }
    assert not status(run).message


def test_a_lost_model_without_a_checkpoint_is_not_trained_again_unasked(run: Run) -> None:
    shutil.rmtree(run.bundle)
    run.checkpoint.unlink()
    assert "train again into a new folder" in status(run).remedy
    with pytest.raises(InputError, match="no checkpoint is left"):
        resume(run)


def test_segmenting_with_a_lost_model_says_what_to_do(run: Run) -> None:
    shutil.rmtree(run.bundle)
    with pytest.raises(InputError, match="leuda resume"):
        leuda_core.load_bundle(run.bundle)


# reproducing


@pytest.mark.slow
def test_a_model_is_reproduced_bit_for_bit(finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", str(finished.bundle), "--out", str(tmp_path / "again"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["equal"] and found["largest_difference"] == 0 and not found["dice"]
    assert found["data"] == found["software"] == []
    assert (tmp_path / "again" / "bundle" / WEIGHTS).read_bytes() == (finished.bundle / WEIGHTS).read_bytes()


@pytest.mark.slow
def test_a_reproduction_says_what_differs(finished: Run, dataset: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(dataset.parent, tmp_path / "data")
    shutil.copy(folder / "s1.nii.gz", folder / "s0.nii.gz")
    document = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    document["target"]["cases"].pop()
    (folder / "dataset.json").write_text(json.dumps(document), encoding="utf-8")
    bundle = load_bundle(finished.bundle)
    software = {**bundle.info.software, "torch": "1.0"}
    info = msgspec.structs.replace(bundle.info, software=software)
    other = save_bundle(tmp_path / "other", bundle.predictor(), bundle.task, info)
    said: list[str] = []
    found = leuda_core.reproduce(
        other, dataset=folder / "dataset.json", out=tmp_path / "again", on_difference=said.append
    )
    assert found.data == ("source case 1 (s0): image changed", "target case 2: is missing")
    assert len(found.software) == 1 and found.software[0].startswith("torch: 1.0, now ")
    assert said == [*found.data, *found.software]
    assert not found.equal and found.largest_difference > 0
    assert found.dice.keys() == {"recorded", "reproduced"}


@pytest.mark.slow
def test_an_interrupted_reproduction_continues(finished: Run, dataset: Path, tmp_path: Path) -> None:
    info = load_bundle(finished.bundle).info
    out = tmp_path / "again"
    create_run(dataset, info.method, out, steps=3, seed=5, settings=SETTINGS, device="cpu")
    assert leuda_core.reproduce(finished.bundle, out=out).equal
    with pytest.raises(InputError, match="already contains a run"):
        create_run(dataset, info.method, out, steps=4)


def test_a_bundle_names_neither_cases_nor_places(finished: Run, dataset: Path) -> None:
    document = (finished.bundle / "bundle.json").read_text(encoding="utf-8")
    assert json.loads(document)["info"]["training"]["threads"] >= 1
    assert str(dataset.parent) not in document and '"s0"' not in document and ".nii" not in document


@pytest.mark.slow
def test_a_bundle_names_its_translator_without_the_place(dataset: Path, tmp_path: Path) -> None:
    small = {**SETTINGS, "translator_channels": 4, "translator_blocks": 1}
    options = {"steps": 1, "device": "cpu"}
    first = train(dataset, "cyclegan", tmp_path / "patient", settings={**small, "translator_steps": 1}, **options)
    run = train(dataset, "cyclegan", tmp_path / "run", settings={**small, "translator": str(first.path)}, **options)
    assert load_bundle(run.bundle).info.settings["translator"] == "patient"
    assert str(tmp_path) not in (run.bundle / "bundle.json").read_text(encoding="utf-8")
    assert leuda_core.reproduce(run.bundle, out=tmp_path / "again").equal


def test_a_bundle_of_an_earlier_version_has_no_record(finished: Run, tmp_path: Path) -> None:
    bundle = load_bundle(finished.bundle)
    info = msgspec.structs.replace(bundle.info, training=msgspec.UNSET)
    saved = save_bundle(tmp_path / "model", bundle.predictor(), bundle.task, info)
    assert "training" not in json.loads((saved / "bundle.json").read_text(encoding="utf-8"))["info"]
    with pytest.raises(InputError, match="give it with --dataset"):
        leuda_core.reproduce(saved, out=tmp_path / "again")


# long runs


def test_the_previews_of_a_long_run_are_thinned_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "MOST", 8)
    previewer = preview.Previewer.__new__(preview.Previewer)
    previewer._folder = tmp_path
    for step in range(0, 10_000_000, 50_000):
        (tmp_path / f"step-{step:06d}.png").touch()
        previewer._thin_out()
    steps = sorted(int(path.stem.removeprefix("step-")) for path in tmp_path.iterdir())
    assert len(steps) <= 8 and steps[0] == 0 and steps[-1] == 9_950_000


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "every"), [(500, 10), (200_000, 10), (1_000_000, 50)])
def test_a_long_run_logs_fewer_of_its_steps(dataset: Path, tmp_path: Path, steps: int, every: int) -> None:
    run = create_run(dataset, "source_only", tmp_path / "run", steps=steps, settings=SETTINGS, device="cpu")
    assert Training(run, lambda *_, **__: None, None).log_every == every

"""The window of CT through a whole run: kept when it continues, recorded in the bundle, and used by the model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ct_volumes import AFFINE, BONE, METAL, body, mr, windowed, write_cases
from leuda_core.bundle.model import load_bundle, save_bundle
from leuda_core.cli import main
from leuda_core.config import read_run_config
from leuda_core.data import tasks
from leuda_core.data.fingerprint import DataRecord
from leuda_core.evaluation import score_bundle
from leuda_core.io.nifti import write_nifti
from leuda_core.prediction.job import OTHER_UNITS, SliceJob
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.prediction.volumes import segment
from leuda_core.runs.folder import Run
from leuda_core.training.plans.planning import make_plan
from leuda_core.training.reproduce import reproduce
from leuda_core.training.run import create_run, resume, train
from leuda_core.types import Case, Normalization, Volume
from stopped_runs import stop_at

SETTINGS = {"base_channels": 4, "patch_size": 32, "spacing_mm": 2.0, "batch_size": 1, "unlabelled_batch_size": 1}
OPTIONS = {"steps": 4, "checkpoint_every": 2, "settings": SETTINGS, "device": "cpu"}
HU, LABEL = body()
CT_WINDOW = (-175.0, 275.0)


@pytest.fixture(scope="module")
def mr_to_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mr to ct")
    return write_cases(folder, ("MR", "CT"), [(mr(HU), LABEL)], [(body(seed)[0], None) for seed in (1, 2)])


@pytest.fixture(scope="module")
def ct_to_mr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ct to mr")
    return write_cases(folder, ("CT", "MR"), [body(0, BONE)], [(mr(HU), None), (mr(body(1)[0]), None)])


@pytest.fixture(scope="module")
def finished(mr_to_ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run to CT. Read only."""
    return train(mr_to_ct, "source_only", tmp_path_factory.mktemp("runs") / "run", **OPTIONS)


def recorded(run: Run) -> DataRecord:
    return msgspec.json.decode(run.data.read_bytes(), type=DataRecord)


def test_run_and_bundle_record_the_window(finished: Run) -> None:
    task = load_bundle(finished.bundle).task
    assert task.normalization == Normalization(ignores_padding=True, window=CT_WINDOW)
    assert task.source_normalization == Normalization(ignores_padding=True)
    assert (recorded(finished).normalization, recorded(finished).source_normalization) == (
        task.normalization,
        task.source_normalization,
    )
    card = (finished.bundle / "README.md").read_text(encoding="utf-8")
    assert "clipped to -175 to 275 Hounsfield units" in card
    assert "source volumes were clipped to percentiles 0.5 and 99.5" in card
    assert read_run_config(finished.config).rules == 3


@pytest.mark.slow
def test_a_source_in_ct_is_recorded_for_a_target_in_mr(ct_to_mr: Path, tmp_path: Path) -> None:
    task = load_bundle(train(ct_to_mr, "source_only", tmp_path / "run", **OPTIONS).bundle).task
    assert task.normalization.window is None and task.source_normalization.window[1] > BONE


@pytest.mark.slow
def test_a_run_continues_with_the_window_that_it_began_with(ct_to_mr: Path, tmp_path: Path, monkeypatch) -> None:
    run, whole = (create_run(ct_to_mr, "source_only", tmp_path / name, **OPTIONS) for name in ("stopped", "whole"))
    resume(whole)
    stop_at(run, 2)
    monkeypatch.setattr(tasks, "normalizations", None)  # it is not decided again, for which volumes would be read
    resume(run)
    first, second = load_bundle(run.bundle), load_bundle(whole.bundle)
    assert first.task == second.task and first.task.source_normalization.window[1] > BONE
    assert all(np.array_equal(first.weights[name], second.weights[name]) for name in second.weights)


@pytest.mark.slow
def test_a_run_of_the_rules_before_has_no_window(mr_to_ct: Path, tmp_path: Path) -> None:
    run = create_run(mr_to_ct, "source_only", tmp_path / "run", **OPTIONS)
    document = json.loads(run.config.read_text(encoding="utf-8"))
    del document["settings"]["ct_window_low"], document["settings"]["ct_window_high"]
    run.config.write_text(json.dumps({**document, "rules": 2}), encoding="utf-8")
    bundle = load_bundle(resume(run).bundle)
    assert bundle.task.normalization == Normalization(ignores_padding=True)
    assert bundle.task.source_normalization is None


@pytest.mark.slow
@pytest.mark.parametrize("rules", [2, 3])
def test_a_model_is_reproduced_by_the_rules_that_made_it(rules: int, ct_to_mr: Path, tmp_path: Path) -> None:
    run = train(ct_to_mr, "source_only", tmp_path / "run", rules=rules, **OPTIONS)
    assert reproduce(run.bundle, out=tmp_path / "again").equal


@pytest.mark.slow
def test_a_plan_knows_the_window(mr_to_ct: Path) -> None:
    assert make_plan(mr_to_ct, "source_only", settings=SETTINGS, device="cpu", steps=2).seconds_per_step["train"] > 0


@pytest.mark.parametrize("command", ["train", "plan"])
def test_the_command_line_refuses_an_empty_window(command: str, mr_to_ct: Path, tmp_path: Path, capsys) -> None:
    out = ["--out", str(tmp_path / "run")] if command == "train" else []
    options = ["--set", "ct_window_low=50", "--set", "ct_window_high=-50"]
    assert main([command, str(mr_to_ct), *out, *options]) == 2
    assert "ct_window_low=50 is not below ct_window_high=-50" in capsys.readouterr().err


def test_a_model_sees_the_same_grey_whatever_else_is_in_view(finished: Run) -> None:
    implant = HU.copy()
    implant[2:5, 18:22] = METAL
    task = load_bundle(finished.bundle).task
    seen = [SliceJob(Volume(data, AFFINE), task).images([0, 3]).numpy() for data in (HU, implant)]
    same = seen[0] == seen[1]
    assert 0.95 < same.mean() < 1 and seen[1][~same].min() > 0.9


@pytest.mark.slow
def test_a_volume_in_other_units_is_segmented_by_its_percentiles_and_says_so(
    finished: Run, tmp_path: Path, capsys
) -> None:
    bundle = load_bundle(finished.bundle)
    plain = save_bundle(
        tmp_path / "plain",
        bundle.predictor(),
        replace(bundle.task, normalization=Normalization(ignores_padding=True)),
        bundle.info,
    )
    volume = Volume(windowed(HU), AFFINE)
    found, expected = (segment(volume, model, device="cpu") for model in (finished.bundle, plain))
    assert OTHER_UNITS in found.notes and OTHER_UNITS not in expected.notes
    assert np.array_equal(found.label_map.data, expected.label_map.data)
    crop = segment(Volume(HU[8:32, 10:30], AFFINE), bundle, device="cpu")
    assert OTHER_UNITS not in crop.notes, "a crop without air is in Hounsfield units"
    write_nifti(volume.data, AFFINE, tmp_path / "v.nii")
    files = ["--input", str(tmp_path / "v.nii"), "--output", str(tmp_path / "l.nii")]
    assert main(["segment", "--model", str(finished.bundle), *files]) == 0
    assert OTHER_UNITS in capsys.readouterr().out
    write_nifti(LABEL, AFFINE, tmp_path / "r.nii")
    assert score_bundle(bundle, [Case("v", tmp_path / "v.nii", tmp_path / "r.nii")], device="cpu").scores


def test_a_note_is_about_one_volume_only(finished: Run) -> None:
    bundle = load_bundle(finished.bundle)
    segmenter = SliceSegmenter(bundle.predictor(), bundle.task, device="cpu")
    notes = [segmenter(Volume(data, AFFINE)).notes for data in (windowed(HU), HU, mr(HU))]
    assert [OTHER_UNITS in one for one in notes] == [True, False, True]

"""The whole demo, with a training too short to learn anything: every file exists and has the right content."""

from __future__ import annotations

import csv
import json

import pytest

from leuda_core.demo import demo, scene
from leuda_core.errors import InputError
from leuda_core.io.volumes import read_label_map, read_volume, same_grid

STEPS = {"source_only": 2, "le_uda": 2}
TINY = {"patch_size": 32, "base_channels": 4, "batch_size": 2}
SETTINGS = {
    "source_only": TINY,
    "le_uda": {**TINY, "translator_steps": 1, "translator_channels": 4, "translator_blocks": 1},
}
PHANTOM = {"source_cases": 2, "labelled": 1, "target_cases": 1, "test_cases": 1}


def run(folder, **options) -> dict:
    return demo.run_demo(folder, steps=STEPS, settings=SETTINGS, phantom=PHANTOM, **options)


@pytest.mark.slow
def test_demo_writes_everything_with_slicer_core_or_without(tmp_path, monkeypatch):
    out, stages = tmp_path / "demo", []
    with monkeypatch.context() as patch:
        patch.setattr(scene, "available", lambda: False)
        first = run(out, on_stage=lambda stage, detail: stages.append(stage))
    assert "mrb" not in first["files"]
    assert "pip install slicer-core" in first["notes"][0]
    assert stages[0] == "making phantom data" and "training le_uda" in stages

    found = run(out)  # replaces the earlier one
    assert found["dice"] == pytest.approx(first["dice"], abs=0.01)
    assert json.loads((out / "demo.json").read_text()) == found
    assert all((out / path).exists() for path in found["files"].values())
    assert ("mrb" in found["files"]) == scene.available() == (not found["notes"])
    segmentation = read_label_map(out / found["files"]["segmentation"], None)
    assert same_grid(read_volume(out / "data" / f"{found['case']}.nii.gz"), segmentation)
    assert segmentation.labels[0].name == "myocardium"
    assert len(list(csv.DictReader((out / found["files"]["table"]).open()))) == 2 * 4
    page = (out / found["files"]["report"]).read_text(encoding="utf-8")
    assert "Before and after" in page and "Dice, side by side" in page


def test_a_folder_with_other_files_is_not_changed(tmp_path):
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(InputError, match="holds other files"):
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

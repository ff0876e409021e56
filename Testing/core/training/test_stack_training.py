"""Runs with neighbouring slices or a second look, from the settings to the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread

import leuda_core
from leuda_core.bundle.model import load_bundle
from leuda_core.data.batches.prepared import CachedCase, SliceFile
from leuda_core.io.volumes import read_volume, write_volume
from leuda_core.methods.controls.source_only import SourceOnly
from leuda_core.runs.events import read_events
from leuda_core.training.plans.planning import make_plan
from leuda_core.training.preview import Previewer
from leuda_core.training.run import create_run, resume, train
from leuda_core.types import Label, Task, Volume
from stopped_runs import stop_at

SETTINGS = {"base_channels": 4, "patch_size": 48, "batch_size": 2, "unlabelled_batch_size": 2, "context": 1}
TRANSLATING = {**SETTINGS, "translator_channels": 4, "translator_blocks": 1, "translator_steps": 1}


@pytest.mark.slow
def test_a_run_with_neighbours_ends_in_a_model_that_says_so(tiny_dataset: Path, tmp_path: Path) -> None:
    run = train(tiny_dataset, "self_training", tmp_path / "run", steps=2, checkpoint_every=1, settings=TRANSLATING)
    bundle = load_bundle(run.bundle)
    assert (bundle.task.context, bundle.task.context_mm, bundle.spec.in_channels) == (1, 8.0, 3)
    assert bundle.info.settings["context"] == 1
    card = (run.bundle / "README.md").read_text(encoding="utf-8")
    assert "with 1 neighbour on each side, about 8 mm apart" in card
    assert len(list(run.previews.iterdir())) == 2
    assert [event for event in read_events(run.events)[0] if event["event"] == "watch"]
    volume = read_volume(tiny_dataset.parent / "test_t.nii.gz")
    assert leuda_core.segment(volume, bundle, device="cpu").label_map.data.shape == volume.shape


@pytest.mark.slow
def test_a_run_with_a_second_look_ends_in_a_model_that_says_so(tiny_dataset: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "context": 0, "patch_size": 32, "spacing_mm": 2.0, "zoom": 1.6}
    run = train(tiny_dataset, "self_training", tmp_path / "run", steps=2, checkpoint_every=1, settings=settings)
    bundle = load_bundle(run.bundle)
    assert (bundle.task.zoom, bundle.task.spacing_mm, bundle.task.closer.spacing_mm) == (1.6, 2.0, 1.25)
    card = (run.bundle / "README.md").read_text(encoding="utf-8")
    assert "at 2 mm, which show where the structures are, and then around them at 1.25 mm;" in card
    volume = read_volume(tiny_dataset.parent / "test_t.nii.gz")
    found = leuda_core.segment(volume, bundle, device="cpu")
    assert found.label_map.data.shape == volume.shape and {"locate", "segment"} <= set(found.seconds)


def test_a_plan_counts_steps_with_neighbours(tiny_dataset: Path) -> None:
    assert make_plan(tiny_dataset, "source_only", device="cpu", settings=SETTINGS).seconds > 0


def test_previews_show_the_central_slice(tmp_path: Path) -> None:
    task = Task((Label(1, "a"),), spacing_mm=1.0, patch_size=32, context=1)
    slices = np.linspace(-0.8, 0.8, 5, dtype=np.float16)[:, None, None] + np.zeros((5, 32, 32), np.float16)
    np.save(tmp_path / "image.npy", slices)
    case = CachedCase("c", SliceFile.at(tmp_path / "image.npy"), None, 5, (), (-2, 0, 2))
    method = SourceOnly(task, SourceOnly.Config(base_channels=4, patch_size=32, context=1))
    picture = imread(Previewer(tmp_path / "previews", case, task).write(method, 1))
    assert np.median(picture) == pytest.approx(127.5, abs=1)


@pytest.mark.slow
def test_a_resumed_run_keeps_the_distance_that_it_began_with(tiny_dataset: Path, tmp_path: Path) -> None:
    """A header had a say in it, of a volume that is left out: later, it may have another."""
    folder = Path(shutil.copytree(tiny_dataset.parent, tmp_path / "data"))
    volume, path = read_volume(folder / "t0.nii.gz"), folder / "t0.nii"
    document = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    document["target"]["cases"][0]["image"] = path.name
    (folder / "dataset.json").write_text(json.dumps(document), encoding="utf-8")

    def damaged(factor: float) -> None:
        write_volume(Volume(volume.data, volume.affine @ np.diag([1.0, 1.0, factor, 1.0])), path)
        path.write_bytes(path.read_bytes()[:2000])

    damaged(3.0)  # slices 24 mm apart, those of the other target volume 8 mm
    run = create_run(
        folder / "dataset.json", "source_only", tmp_path / "run", steps=3, checkpoint_every=1, settings=SETTINGS
    )
    stop_at(run, 1)
    damaged(5.0)
    resume(run)
    assert load_bundle(run.bundle).task.context_mm == 16.0

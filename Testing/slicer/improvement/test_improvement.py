"""Improving a model with corrected slices: in a real process, from the logic and from the panel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from host.driving import wait_until
from leuda_core.errors import Cancelled, InputError, LeudaError
from segmentation_panel import DISCS, apply_to_end, choose_model, click, settle
from segmentation_scene import paint, segment_voxels

LONG_S = 120


@pytest.fixture
def temporary(slicer_app, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slicer's temporary folder."""
    import slicer

    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(type(slicer.app), "temporaryPath", str(folder), raising=False)
    return folder


@pytest.fixture
def own(slicer_app, temporary, tmp_path: Path):
    """The logic with a list of one tiny model, and a corrected result of it."""
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic
    from LEUDASegmentationLib.self_test import LABEL, add_disc_volume, train_tiny_model

    logic = LEUDASegmentationLogic(modelsFolder=tmp_path / "models")
    entry = logic.importModel(train_tiny_model(tmp_path, steps=4, timeout_s=LONG_S), "discs")
    volume, disc = add_disc_volume("patient", seed=5)
    node = logic.segment(volume, entry, device="cpu")
    found = segment_voxels(node, LABEL, volume)
    found[3] = disc[3]
    paint(node, LABEL, volume, found)
    return logic


@pytest.mark.slow
def test_a_new_model_is_added_and_the_old_one_stays(own, temporary: Path) -> None:
    before = own.modelEntry("discs")
    told = []
    new = own.improve("discs", steps=3, device="cpu", onProgress=told.append)
    assert [entry.name for entry in own.models()] == ["discs", new.name] and "adapted" in new.name
    assert new.adapted_from == before.checksum and own.modelEntry("discs") == before
    document = json.loads((new.path / "bundle.json").read_text(encoding="utf-8"))
    assert document["info"]["target"]["labelled_slices"] == 1
    assert {progress.stage for progress in told} == {"corrections", "improve"}
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions) and fractions[-1] <= 1
    assert not left_behind(temporary)
    again = own.improve(new, steps=1, device="cpu")
    assert again.adapted_from == new.checksum


@pytest.mark.slow
def test_it_shows_pictures_and_can_be_cancelled(own, temporary: Path) -> None:
    errors: list[LeudaError] = []
    pictures: list[object] = []
    job = own.improve(
        "discs", steps=100_000, device="cpu", wait=False, onError=errors.append, onPreview=pictures.append
    )
    wait_until(lambda: pictures, LONG_S)
    job.cancel()
    wait_until(lambda: not job.running, LONG_S)
    assert [type(error) for error in errors] == [Cancelled]
    assert len(own.models()) == 1 and not left_behind(temporary)


@pytest.mark.slow
def test_it_can_be_cancelled_before_the_process(own, temporary: Path) -> None:
    errors: list[LeudaError] = []
    job = own.improve("discs", device="cpu", wait=False, onError=errors.append)
    job.cancel()
    settle()
    assert [type(error) for error in errors] == [Cancelled] and not job.running
    assert not left_behind(temporary)


@pytest.mark.slow
def test_nothing_stays_when_slicer_quits(own, temporary: Path) -> None:
    """The event loop has ended then, and the child process with its copies of volumes must not stay."""
    import slicer

    job = own.improve("discs", steps=100_000, device="cpu", wait=False)
    wait_until(lambda: list(temporary.glob("*/run/events.jsonl")), LONG_S)
    slicer.app.aboutToQuit.emit()
    assert not job.running and not left_behind(temporary)


@pytest.mark.slow
def test_every_error_ends_it(own, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from LEUDASegmentationLib.run import corrected_cases

    def fault(*_arguments):
        raise AttributeError("'NoneType' object has no attribute 'GetRepresentation'")

    monkeypatch.setattr(corrected_cases, "_write_case", fault)
    with pytest.raises(LeudaError, match="GetRepresentation"):
        own.improve("discs", device="cpu")
    assert not left_behind(temporary)


@pytest.mark.slow
def test_what_fails_is_told_and_leaves_nothing(own, temporary: Path) -> None:
    with pytest.raises(InputError, match="steps=0"):
        own.improve("discs", steps=0, device="cpu")
    with pytest.raises(InputError, match="no model"):
        own.improve("nothing")
    import slicer

    slicer.mrmlScene.Clear(0)
    with pytest.raises(InputError, match="was corrected"):
        own.improve("discs", device="cpu")
    assert len(own.models()) == 1 and not left_behind(temporary)


def left_behind(folder: Path) -> list[Path]:
    """Return what an improvement has left: the worker's own folder has neither data nor a run."""
    return [*folder.glob("*/data"), *folder.glob("*/run")]


# The panel


class FakeJob:
    def __init__(self, callbacks) -> None:
        self.callbacks, self.cancelled = callbacks, False

    def cancel(self) -> None:
        self.cancelled = True
        self.callbacks["onError"](Cancelled())


@pytest.fixture
def corrected(ready, worker, monkeypatch):
    """The panel with a result in which a slice was corrected; ``jobs`` are the improvements that were started."""
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic

    jobs: list[FakeJob] = []

    def improve(_logic, model, **callbacks):
        jobs.append(FakeJob({"model": model, **callbacks}))
        return jobs[-1]

    monkeypatch.setattr(LEUDASegmentationLogic, "improve", improve)
    apply_to_end(ready, worker)
    node = ready._parameterNode.outputSegmentation
    voxels = segment_voxels(node, "disc", ready._parameterNode.inputVolume)
    voxels[2, :3, :3] = True
    paint(node, "disc", ready._parameterNode.inputVolume, voxels)
    ready.panel.enter()
    settle()
    ready.jobs = jobs
    return ready


def test_the_panel_counts_what_was_corrected(ready, worker) -> None:
    control = ready.panel.improve
    assert not control.button.enabled and "Segment Editor" in control.facts.text
    apply_to_end(ready, worker)
    assert not control.button.enabled
    node = ready._parameterNode.outputSegmentation
    voxels = np.zeros((5, 12, 14), bool)
    paint(node, "disc", ready._parameterNode.inputVolume, voxels)
    ready.panel.enter()
    settle()
    assert control.button.enabled and control.facts.text == "3 slices corrected in one volume."
    choose_model(ready, 1)  # the same structures
    assert control.button.enabled


def test_the_new_model_is_chosen_and_told(corrected, entries) -> None:
    from dataclasses import replace

    panel = corrected.panel
    click(panel.improve.button)
    (job,) = corrected.jobs
    assert job.callbacks["model"].name == "discs" and not panel.improve.button.enabled
    assert panel.improve.progress.running and not corrected.ui.applyButton.enabled
    assert "improved" in corrected.ui.applyButton.toolTip
    new = replace(entries[0], name="discs, adapted", labels=DISCS)
    entries.append(new)
    job.callbacks["onDone"](new)
    settle()
    assert panel.models.selected_name == corrected._parameterNode.model == "discs, adapted"
    assert "discs, adapted" in panel.message_strip.cause and "choose “discs” to compare" in panel.message_strip.cause
    assert not panel.improve.progress.running and corrected.ui.applyButton.enabled


def test_a_choice_that_was_made_meanwhile_stays(corrected, entries) -> None:
    from dataclasses import replace

    panel = corrected.panel
    click(panel.improve.button)
    choose_model(corrected, 1)
    new = replace(entries[0], name="discs, adapted", labels=DISCS)
    entries.append(new)
    corrected.jobs[0].callbacks["onDone"](new)
    settle()
    assert panel.models.selected_name == "other discs" and panel.models.table.rowCount == 3
    assert "choose “discs” to compare" in panel.message_strip.cause


def test_the_chosen_device_is_used(corrected) -> None:
    corrected._parameterNode.device = "cpu"
    settle()
    click(corrected.panel.improve.button)
    assert corrected.jobs[0].callbacks["device"] == "cpu"


def test_apply_undo_and_improve_wait_for_each_other(corrected, worker) -> None:
    from segmentation_panel import apply

    panel, ui = corrected.panel, corrected.ui
    assert ui.undoButton.enabled
    click(panel.improve.button)
    assert not ui.undoButton.enabled and not ui.applyButton.enabled
    click(panel.improve.progress.cancel_button)
    assert ui.undoButton.enabled and ui.applyButton.enabled
    corrected._parameterNode.askedAboutCorrections = True
    apply(corrected, worker)
    assert not panel.improve.button.enabled
    worker.answer()
    wait_until(lambda: not panel.apply.running)
    settle()
    assert panel.improve.button.enabled  # what was corrected is kept


def test_cancel_and_errors_are_told(corrected) -> None:
    panel = corrected.panel
    click(panel.improve.button)
    click(panel.improve.progress.cancel_button)
    assert corrected.jobs[0].cancelled and "as it was" in panel.message_strip.cause
    assert panel.improve.button.enabled
    click(panel.improve.button)
    corrected.jobs[1].callbacks["onError"](InputError("the volume is gone", "load it"))
    settle()
    assert panel.message_strip.kind == "error" and panel.improve.button.enabled


def test_a_closed_scene_ends_it(corrected) -> None:
    import slicer

    click(corrected.panel.improve.button)
    slicer.mrmlScene.Clear(0)
    settle()
    assert corrected.jobs[0].cancelled and not corrected.panel.improve.button.enabled

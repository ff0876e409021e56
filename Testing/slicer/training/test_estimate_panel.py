"""The estimate of a training: by a plan and by timed steps, cancelled, and without a dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from leuda_core.errors import InputError
from shown_widgets import child


def test_a_plan_is_told_in_a_sentence_with_its_warnings(slicer_app) -> None:
    from LEUDATrainingLib.method.estimate_panel import plan_html

    plan = {
        "device": "cpu",
        "seconds": 660.0,
        "peak_memory_mib": 620,
        "labelled_slices": 4,
        "settings": {"spacing_mm": 3.0, "patch_size": 80},
        "segmenter_steps": 900,
        "reasons": {"spacing_mm": "'kidney' <spans> 6 pixels", "steps": "what fits"},
        "warnings": [{"message": "only 4 labelled slices", "remedy": "mark at least 10"}],
    }
    text = plan_html(plan)
    assert "About 11 min on cpu, 0.6 GB of memory, 4 labelled slices." in text
    assert "Only 4 labelled slices. Mark at least 10." in text
    assert "Spacing (mm): 3 (&#x27;kidney&#x27; &lt;spans&gt; 6 pixels)" in text
    assert "Steps: 900 (what fits)" in text and "Patch" not in text


def test_there_is_no_estimate_without_a_dataset(form) -> None:
    assert not child(form, "estimateButton").enabled

    def provider():
        raise InputError("there are no target volumes", "add at least one")

    form.set_dataset_provider(provider)
    child(form, "estimateButton").click()
    assert "There are no target volumes." in child(form, "messageText").text
    assert "Add at least one." in child(form, "messageText").text


@pytest.mark.slow
def test_an_estimate_by_probe_steps(form, tiny_dataset: Path, slicer_app) -> None:
    from LEUDATrainingLib.method.estimate_panel import EstimateDataset

    form.set_dataset_provider(lambda: EstimateDataset(tiny_dataset))
    form.set_values(method="source_only", steps=50, settings={"patch_size": 32, "base_channels": 4})
    child(form, "estimateButton").click()
    assert not child(form, "estimateButton").isVisible() and child(form, "cancelButton").isVisible()
    slicer_app.wait_until(lambda: child(form, "estimateButton").isVisible(), 120)
    text = child(form, "estimateResult").text
    assert "on cpu" in text and "GB of memory" in text and "labelled slices" in text, text
    child(form, "stepsBox").setValue(60)
    assert "estimate again" in child(form, "estimateResult").text and not child(form, "estimateResult").enabled


def test_an_estimate_can_be_cancelled(form, tiny_dataset: Path, slicer_app) -> None:
    from LEUDATrainingLib.method.estimate_panel import EstimateDataset

    form.set_dataset_provider(lambda: EstimateDataset(tiny_dataset))
    child(form, "estimateButton").click()
    slicer_app.wait_until(lambda: "probe steps" in child(form, "stageLabel").text)
    child(form, "cancelButton").click()
    slicer_app.wait_until(lambda: child(form, "estimateButton").isVisible(), 15)
    assert not child(form, "estimateResult").isVisible() and not child(form, "messageText").isVisible()


def test_a_dataset_that_cannot_be_written_is_told_and_leaves_nothing(form, tmp_path: Path, slicer_app) -> None:
    from LEUDATrainingLib.dataset.dataset_writer import WriteProgress
    from LEUDATrainingLib.method.estimate_panel import EstimateDataset

    def writing():
        yield WriteProgress("Writing Zoë MR", 0.5)
        raise InputError("there is no space left", "free some")

    (tmp_path / "temporary").mkdir()
    path = tmp_path / "temporary" / "dataset.json"
    form.set_dataset_provider(lambda: EstimateDataset(path, writing(), path.parent))
    child(form, "estimateButton").click()
    slicer_app.wait_until(lambda: child(form, "estimateButton").isVisible())
    assert "There is no space left." in child(form, "messageText").text
    assert not path.parent.exists()

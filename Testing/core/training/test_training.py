"""Runs: what they leave behind, how they stop, and that nothing that happens to them changes their weights."""

import json

import pytest

from leuda_core.bundle.model import load_bundle
from leuda_core.errors import Cancelled, InputError, LeudaError
from leuda_core.methods.controls.source_only import SourceOnly
from leuda_core.runs.control import request_stop
from leuda_core.runs.events import read_events
from leuda_core.runs.folder import Run
from leuda_core.runs.state import status
from leuda_core.training.run import create_run, resume, train

SMALL = {"base_channels": 4, "patch_size": 48, "batch_size": 2, "unlabelled_batch_size": 2}
TRANSLATING = {**SMALL, "translator_channels": 4, "translator_blocks": 1, "translator_steps": 20}


@pytest.mark.slow
def test_a_run_leaves_a_model_its_events_and_previews(tiny_dataset, tmp_path):
    seen = []
    run = train(
        tiny_dataset, "source_only", tmp_path / "run", steps=20, settings=SMALL, checkpoint_every=10,
        on_progress=lambda step, total, metrics: seen.append((step, total, metrics["segmentation"])),
    )  # fmt: skip
    assert [step for step, _, _ in seen] == [10, 20]
    bundle = load_bundle(run.bundle)
    assert [label.name for label in bundle.task.labels] == ["ring", "core"]
    assert bundle.info.method == "source_only" and bundle.info.source.labelled_slices == 12
    kinds = [event["event"] for event in read_events(run.events)[0]]
    assert kinds[0] == "start" and kinds[-1] == "end"
    assert kinds.count("checkpoint") == kinds.count("preview") == 2
    assert sorted(path.name for path in run.previews.iterdir()) == ["step-000010.png", "step-000020.png"]
    assert not run.cache.exists()
    assert status(run).state == "finished"
    assert resume(run) == run  # nothing left to do


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_others(tiny_dataset, tmp_path):
    def weights(seed, name):
        run = train(tiny_dataset, "mean_teacher", tmp_path / name, steps=6, seed=seed, settings=SMALL)
        return (run.bundle / "model.safetensors").read_bytes()

    assert weights(3, "a") == weights(3, "b")
    assert weights(3, "c") != weights(4, "d")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["le_uda", "source_only"])
def test_stopped_and_resumed_is_as_if_never_stopped(tiny_dataset, tmp_path, method):
    settings = TRANSLATING if method == "le_uda" else SMALL

    def stop_at(step, run):
        return lambda done, total, metrics: request_stop(run) if done == step else None

    whole = train(tiny_dataset, method, tmp_path / "whole", steps=20, settings=settings)
    run = create_run(tiny_dataset, method, tmp_path / "parts", steps=20, settings=settings)
    with pytest.raises(Cancelled, match="step 10 of"):
        resume(run, on_progress=stop_at(10, run))
    assert status(run).state == "stopped" and status(run).step == 10
    if method == "le_uda":  # and once more, in the second phase
        with pytest.raises(Cancelled, match="step 30 of 40"):
            resume(run, on_progress=stop_at(30, run))
    resume(run)
    assert status(run).state == "finished"
    name = "model.safetensors"
    assert (run.bundle / name).read_bytes() == (whole.bundle / name).read_bytes()


@pytest.mark.slow
def test_previews_begin_when_the_segmenter_does(tiny_dataset, tmp_path):
    run = train(tiny_dataset, "cyclegan", tmp_path / "run", steps=20, settings=TRANSLATING, checkpoint_every=10)
    checkpoints = [event["step"] for event in read_events(run.events)[0] if event["event"] == "checkpoint"]
    assert checkpoints == [10, 20, 30, 40]
    assert sorted(path.name for path in run.previews.iterdir()) == ["step-000030.png", "step-000040.png"]


def test_wrong_calls_write_nothing(tiny_dataset, tmp_path):
    out = tmp_path / "run"
    for options, words in [
        ({"method": "gan"}, "unknown method 'gan'"),
        ({"settings": {"augmentatoin": "paper"}}, "did you mean 'augmentation'"),
        ({"settings": {"ema_decay": 1.5}}, "ema_decay=1.5"),
        ({"steps": 0}, "steps=0"),
        ({"device": "gpu"}, "device='gpu'"),
        ({"dataset": tmp_path / "none.json"}, "none.json does not exist"),
    ]:
        call = {"dataset": tiny_dataset, "method": "mean_teacher", **options}
        with pytest.raises(InputError, match=words):
            train(call.pop("dataset"), call.pop("method"), out, **call)
        assert not out.exists()


def test_an_unusable_volume_is_named_and_leaves_nothing(tiny_dataset, tmp_path):
    document = json.loads(tiny_dataset.read_text(encoding="utf-8"))
    document["target"]["cases"][1]["image"] = "nothing.nii.gz"
    path = tiny_dataset.parent / "broken.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match=r"nothing\.nii\.gz"):
        train(path, "source_only", tmp_path / "run", steps=5, settings=SMALL)
    assert not (tmp_path / "run").exists()


def test_a_second_run_does_not_overwrite_the_first(tiny_dataset, tmp_path):
    train(tiny_dataset, "source_only", tmp_path / "run", steps=1, settings=SMALL)
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(InputError, match="already contains a run"):
        train(tiny_dataset, "source_only", tmp_path / "run", steps=2, settings=SMALL)
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_a_diverging_run_says_so(tiny_dataset, tmp_path, monkeypatch):
    step = SourceOnly.training_step
    monkeypatch.setattr(
        SourceOnly,
        "training_step",
        lambda *args: {name: loss * float("nan") for name, loss in step(*args).items()},
    )
    with pytest.raises(LeudaError, match="segmentation loss is not finite at step 10; lower learning_rate"):
        train(tiny_dataset, "source_only", tmp_path / "run", steps=10, settings=SMALL)
    assert status(Run(tmp_path / "run")).state == "failed"
    assert not (tmp_path / "run" / "bundle").exists()

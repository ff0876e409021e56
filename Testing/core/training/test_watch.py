"""The watch over a training: silent on a good one, clear on a bad one, and without any influence on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from leuda_core.bundle.model import load_bundle
from leuda_core.commands.runs import status as status_command
from leuda_core.config import MethodConfig
from leuda_core.errors import LeudaError
from leuda_core.methods.controls.source_only import SourceOnly
from leuda_core.runs.folder import Run
from leuda_core.runs.state import status, status_of
from leuda_core.training import signals
from leuda_core.training import watch as watching
from leuda_core.training.checkpoints import read_checkpoint
from leuda_core.training.run import train
from leuda_core.training.signals import Slices, answer, overlap, separability
from leuda_core.training.watch import TrainingWarning, Watch
from tiny_data import tiny_loader

SMALL = {"base_channels": 4, "patch_size": 48, "batch_size": 2, "unlabelled_batch_size": 2}
SETTINGS = MethodConfig(**SMALL)


class Scripted(SourceOnly):
    """A method whose answer is chosen by the test: one that knows the discs, or one class for every pixel."""

    shown: str = "discs"

    def predictor(self) -> Any:
        predictor = super().predictor()
        shown = self.shown

        class Head(torch.nn.Module):
            def forward(self, features: torch.Tensor) -> torch.Tensor:
                logits = torch.zeros(len(features), 3, *features.shape[-2:])
                if shown == "discs":  # half of every slice is ring, a quarter core
                    logits[:, 1, :, ::2], logits[:, 2, ::2, 1::2] = 9, 9
                    logits[:, 0, 1::2, 1::2] = 9
                elif shown != "even":
                    logits[:, {"nothing": 0, "flood": 1}.get(shown, 0)] = torch.nan if shown == "nan" else 9
                return logits

        predictor.segmenter.head = Head()
        return predictor


@pytest.fixture
def watched(tiny_dataset: Path, tmp_path: Path) -> tuple[Watch, Scripted, list[dict[str, Any]]]:
    loader, task = tiny_loader(tiny_dataset, tmp_path / "cache", SETTINGS)
    events: list[dict[str, Any]] = []
    watch = Watch(loader, task, lambda kind, /, **fields: events.append({"event": kind, **fields}))
    return watch, Scripted(task, SETTINGS), events


def kinds(watch: Watch) -> set[str]:
    return {warning.kind for warning in watch.warnings}


@pytest.fixture(autouse=True)
def without_a_student(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The scripted method has no student of its own."""
    if "watched" in request.fixturenames:
        monkeypatch.setattr(watching, "student", lambda method: None)


def test_a_good_model_raises_nothing(watched):
    watch, method, events = watched
    for step in (100, 200, 300):
        assert not watch.look(method, step, step / 300)
    assert watch.warnings == () and [event["event"] for event in events] == ["watch"] * 3
    figures = events[-1]
    assert set(figures["shares"]) == {"source", "target", "labels"} and set(figures["shares"]["target"]) == {
        "ring",
        "core",
    }
    assert 0 <= figures["entropy"]["target"] < 0.1 and 0 <= figures["separability"] <= 1


def test_a_collapse_is_seen_at_once_and_stays(watched):
    watch, method, events = watched
    assert not watch.look(method, 100, 0.1)
    method.shown = "nothing"
    assert watch.look(method, 200, 0.2), "it found structures before"
    assert not watch.look(method, 300, 0.3), "only once"
    assert kinds(watch) == {"collapsed"} and watch.collapsed
    method.shown = "discs"
    watch.look(method, 400, 0.9)
    assert kinds(watch) == {"unstable"}, "the structures are back"
    told = [event["kind"] for event in events if event["event"] == "warning"]
    assert len(told) == len(set(told)), "every warning is raised once"


def test_a_young_model_is_not_judged(watched):
    watch, method, _ = watched
    method.shown = "nothing"
    watch.look(method, 10, 0.1)
    assert watch.warnings == ()
    watch.look(method, 60, 0.5)
    assert watch.warnings == ()
    watch.look(method, 90, 0.9)
    assert kinds(watch) == {"nothing found"}


WRONG = [
    ("flood", {"vanished", "flooded"}),
    ("nan", {"not finite"}),
    ("even", {"nothing found", "unsure"}),
]


@pytest.mark.parametrize(("shown", "expected"), WRONG)
def test_models_that_cannot_be_right(watched, shown, expected):
    watch, method, events = watched
    method.shown = shown
    watch.look(method, 100, 1.0)
    watch.look(method, 200, 1.0)
    assert kinds(watch) == expected
    assert sorted(event["kind"] for event in events if event["event"] == "warning") == sorted(expected), "each once"
    assert all(warning.message and warning.remedy for warning in watch.warnings)


def test_a_student_that_disagrees_with_its_teacher(watched, monkeypatch):
    watch, method, _ = watched
    other = Scripted(method.task, SETTINGS)
    other.shown = "nothing"
    monkeypatch.setattr(watching, "student", lambda method: other.predictor())
    watch.look(method, 900, 0.9)
    assert kinds(watch) == {"apart"}


def test_losses_that_explode(watched):
    watch, _, _ = watched
    for step, value in ((10, 2.0), (20, 0.5), (30, 900.0)):
        watch.losses(step, {"segmentation": value})
    assert watch.warnings == ()
    watch.losses(40, {"segmentation": 5e4})
    watch.losses(50, {"segmentation": 6e4})
    assert [warning.kind for warning in watch.warnings] == ["loss"] and "step 40" in watch.warnings[0].message


def test_a_resumed_run_remembers(watched, tiny_dataset, tmp_path):
    watch, method, events = watched
    watch.look(method, 100, 0.1)
    method.shown = "nothing"
    loader, task = tiny_loader(tiny_dataset, tmp_path / "again", SETTINGS)
    again = Watch(loader, task, lambda kind, /, **fields: None)
    again.restore(events, 100)
    assert again.look(method, 200, 0.2), "the structures were there before the restart"
    fresh = Watch(loader, task, lambda kind, /, **fields: None)
    fresh.restore(events, 50)
    assert not fresh.look(method, 200, 0.2)


def test_a_resumed_run_says_nothing_twice_and_keeps_what_lasts(watched):
    watch, method, events = watched
    lasting, passing = TrainingWarning("loss", "the a loss was 1e9", "b"), TrainingWarning("unsure", "c", "d")
    told = {"kind": "loss", "message": "the a loss was 1e9", "remedy": "b"}
    looked = [told, {"kind": "unsure", "message": "c", "remedy": "d"}]
    watch.restore([{"event": "warning", **told}, {"event": "watch", "step": 1, "seen": True, "warnings": looked}], 1)
    assert set(watch.warnings) == {lasting, passing} and not watch.collapsed
    watch.add([lasting])
    assert not any(event["event"] == "warning" and event["kind"] == "loss" for event in events)
    watch.look(method, 2, 0.9)
    assert watch.warnings == (lasting,)


@pytest.mark.parametrize("found", [True, False])
def test_structures_that_few_slices_show_are_looked_for_in_more(watched, monkeypatch, found):
    watch, method, _ = watched

    def shown(predictor: Any, slices: Slices, patch: int) -> Any:
        whole = answer(predictor, slices, patch)
        few = slices is watch._source or slices is watch._target
        return whole if found and not few else replace(whole, shares=np.array([0.8, 0.2, 0.0]))

    monkeypatch.setattr(watching, "answer", shown)
    watch.look(method, 100, 0.9)
    assert kinds(watch) == (set() if found else {"vanished"})


def test_too_little_memory_to_look_ends_no_training(watched, monkeypatch):
    watch, method, events = watched
    failures: list[Exception] = [MemoryError(), RuntimeError("shapes differ")]

    def fail(*_: object) -> None:
        raise failures.pop(0)

    monkeypatch.setattr(watching, "answer", fail)
    assert not watch.look(method, 100, 0.9) and not events
    with pytest.raises(RuntimeError, match="shapes differ"):
        watch.look(method, 100, 0.9)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mean_teacher", "adabn"])
def test_the_watch_changes_no_weight(tiny_dataset, tmp_path, monkeypatch, method):
    def weights(name: str) -> bytes:
        run = train(tiny_dataset, method, tmp_path / name, steps=6, checkpoint_every=2, settings=SMALL)
        return (run.bundle / "model.safetensors").read_bytes()

    watched = weights("watched")
    monkeypatch.setattr(Watch, "look", lambda self, method, step, progress: False)
    assert weights("unwatched") == watched


def test_a_run_with_warnings_says_so_everywhere(tiny_dataset, tmp_path, monkeypatch):
    def look(self: Watch, method: object, step: int, progress: float) -> bool:
        self.add([TrainingWarning("collapsed", "every structure vanished", "train again")])
        return step == 4

    monkeypatch.setattr(Watch, "look", look)
    run = train(tiny_dataset, "source_only", tmp_path / "run", steps=4, checkpoint_every=2, settings=SMALL)
    assert read_checkpoint(run.good_checkpoint, torch.device("cpu"))["step"] == 2, "the last one before the collapse"
    assert [one["message"] for one in status(run).warnings] == ["every structure vanished"]
    args = type("Args", (), {"run": run.path})
    result = status_command(args)
    assert "warning: every structure vanished; train again" in result.text
    assert result.data["warnings"][0]["remedy"] == "train again"
    assert load_bundle(run.bundle).info.warnings == ("every structure vanished; train again",)
    assert "- every structure vanished; train again" in (run.bundle / "README.md").read_text(encoding="utf-8")


def test_losses_that_are_not_finite_keep_the_checkpoint_before(tiny_dataset, tmp_path, monkeypatch):
    step = SourceOnly.training_step
    calls: list[int] = []

    def late(*args: Any) -> Any:
        calls.append(1)
        factor = float("nan") if len(calls) == 10 else 1.0
        return {name: loss * factor for name, loss in step(*args).items()}

    monkeypatch.setattr(SourceOnly, "training_step", late)
    with pytest.raises(LeudaError, match="not finite at step 10"):
        train(tiny_dataset, "source_only", tmp_path / "run", steps=10, checkpoint_every=5, settings=SMALL)
    assert read_checkpoint(Run(tmp_path / "run").good_checkpoint, torch.device("cpu"))["step"] == 5


def test_the_state_has_the_warnings_that_hold(tmp_path):
    def warned(*kinds: str) -> list[dict[str, str]]:
        return [{"kind": kind, "message": kind, "remedy": "r"} for kind in kinds]

    events: list[dict[str, Any]] = [{"event": "start", "time": 0.0}]
    events += [{"event": "warning", **one} for one in warned("noise")]
    assert [one["kind"] for one in status_of(Run(tmp_path), events, running=False).warnings] == ["noise"]
    events += [
        {"event": "warning", **warned("vanished")[0]},
        {"event": "watch", "warnings": warned("noise", "vanished")},
    ]
    events.append({"event": "watch", "warnings": warned("noise")})
    assert [one["kind"] for one in status_of(Run(tmp_path), events, running=False).warnings] == ["noise"]


def test_figures_of_two_segmentations_and_of_two_domains():
    first, second = np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])
    assert overlap(first, second) == pytest.approx(2 * 2 / 6)
    assert overlap(np.zeros(3), np.zeros(3)) is None
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(8, 5)), rng.normal(5, 1, (8, 5))
    assert separability(near, far) == 1 and separability(near, rng.normal(size=(8, 5))) < 0.8


def test_slices_of_several_sizes_are_answered_one_group_after_another(watched):
    _, method, _ = watched
    images = [np.zeros((1, *size), np.float32) for size in ((30, 40), (30, 40), (1, 60))]
    found = answer(method.predictor(), Slices(images, []), 48)
    assert found.classes.size == 2 * 30 * 40 + 60 and len(found.features) == 3 and found.finite
    assert found.shares.sum() == pytest.approx(1)


def test_few_pixels_are_looked_at_at_once_whatever_is_looked_at(watched, monkeypatch):
    _, method, _ = watched
    images = np.random.default_rng(0).random((5, 1, 48, 48), np.float32)
    predictor, slices, sizes = method.predictor(), Slices(list(images), []), []
    predictor.translator.register_forward_hook(lambda _module, images, _result: sizes.append(len(images[0])))
    together = answer(predictor, slices, 48)
    monkeypatch.setattr(signals, "PIXELS_AT_ONCE", 2 * 48 * 48)
    apart = answer(predictor, slices, 48)
    assert sizes == [5, 2, 2, 1]
    assert (apart.classes == together.classes).mean() > 0.999  # random weights: pixels between two classes may change
    assert apart.shares == pytest.approx(together.shares, abs=1e-3)
    assert apart.entropy == pytest.approx(together.entropy, rel=1e-5)
    assert apart.features == pytest.approx(together.features, rel=1e-4, abs=1e-5)

"""What a training chooses by itself: stored with its reasons, kept when it continues, and never against the caller."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import leuda_core
from leuda_core.config import read_run_config
from leuda_core.durations import DEFAULT_BUDGET, budget_minutes
from leuda_core.errors import InputError
from leuda_core.methods import METHODS
from leuda_core.runs.events import read_events
from leuda_core.runs.folder import Run
from leuda_core.training.plans import planning, rules
from leuda_core.training.plans.planning import planned_config
from leuda_core.training.plans.probe import Timing
from leuda_core.training.run import create_run, resume, train
from refusals import Place, refuses

SMALL = {"base_channels": 4, "batch_size": 2, "unlabelled_batch_size": 2, "translator_channels": 4}


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the timed steps: a step takes a second, and two steps are enough."""

    def pace(**phases: tuple[int, float]) -> None:
        timing = Timing(1.0, {name: [(0.5, 1.0)] for name in phases}, phases)
        monkeypatch.setattr(planning, "time_steps", lambda *_, **__: timing)

    monkeypatch.setattr(rules, "FEWEST_STEPS", 2)
    pace(train=(0, 1.0))
    return pace


@pytest.fixture
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a clock was read")

    monkeypatch.setattr(planning, "time_steps", refuse)


def choose(dataset: Path, method: str = "source_only", **options: Any):
    settings = {
        **{key: value for key, value in SMALL.items() if "translator" not in key},
        **options.pop("settings", {}),
    }
    return planned_config(dataset, method, device="cpu", settings=settings, **options)[0]


def test_without_a_budget_a_slow_machine_takes_longer_instead_of_few_steps(
    tiny_dataset: Path, paced: Callable[..., None]
) -> None:
    paced(train=(0, 60.0))
    assert choose(tiny_dataset).steps == METHODS["source_only"].default_steps
    assert choose(tiny_dataset, budget="25m").steps < METHODS["source_only"].default_steps


@pytest.mark.slow
def test_a_run_stores_what_was_chosen_and_why(tiny_dataset: Path, tmp_path: Path, paced: Callable[..., None]) -> None:
    told: list[object] = []
    settings = {key: value for key, value in SMALL.items() if "translator" not in key}
    options = {"budget": "0.1m", "device": "cpu", "settings": settings, "on_plan": told.append}
    run = train(tiny_dataset, "source_only", tmp_path / "run", **options)
    config = read_run_config(run.config)
    assert told == [config] and config.steps == 2 and config.budget_minutes == pytest.approx(0.1)
    assert config.reasons.keys() == {"spacing_mm", "patch_size", "zoom", "rotation_deg", "scaling", "steps"}
    assert config.settings["patch_size"] == 48 and config.settings["rotation_deg"] == 20
    (event,) = (one for one in read_events(run.events)[0] if one["event"] == "plan")
    assert event["reasons"] == config.reasons and event["values"]["patch_size"] == 48 and event["values"]["steps"] == 2
    bundle = leuda_core.load_bundle(run.bundle)
    assert bundle.info.reasons == config.reasons and bundle.task.patch_size == 48
    card = (run.bundle / "README.md").read_text(encoding="utf-8")
    assert f"| patch_size | 48 | {config.reasons['patch_size']} |" in card
    resume(run)
    assert read_run_config(run.config) == config


@pytest.mark.slow
def test_a_run_that_continues_never_plans_again(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"steps": 2, "device": "cpu", "settings": {"base_channels": 4, "batch_size": 2}}
    run = create_run(tiny_dataset, "source_only", tmp_path / "run", **options)
    before = run.config.read_bytes()
    monkeypatch.setattr(planning, "planned_config", None)
    monkeypatch.setattr(planning, "take_survey", None)
    resume(run)
    resume(run)
    assert run.config.read_bytes() == before
    assert sum(event["event"] == "plan" for event in read_events(run.events)[0]) == 1
    found = leuda_core.reproduce(run.bundle, out=tmp_path / "again")
    assert found.equal


def test_with_steps_no_clock_is_read(tiny_dataset: Path, no_clock: None, monkeypatch: pytest.MonkeyPatch) -> None:
    first = choose(tiny_dataset, steps=7)
    assert first == choose(tiny_dataset, steps=7) and first.steps == 7 and first.budget_minutes is None
    assert "steps" not in first.reasons
    monkeypatch.setattr(planning, "memory_gb", lambda device: (64.0, 9.0))
    assert choose(tiny_dataset, steps=7) == first


def test_what_is_given_is_kept(tiny_dataset: Path, no_clock: None, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"spacing_mm": 1.5, "patch_size": 64, "zoom": 1.5, "rotation_deg": 3.0, "scaling": 1.1}
    given["unlabelled_batch_size"] = 7
    monkeypatch.setattr(planning, "take_survey", None)  # nothing is left to choose: no volume is opened
    config = choose(tiny_dataset, steps=3, settings=given)
    assert {name: config.settings[name] for name in given} == given and not config.reasons


def test_a_budget_is_shared_with_the_translator(tiny_dataset: Path, paced: Callable[..., None]) -> None:
    paced(translate=(1000, 0.0), train=(0, 1.0))
    config = choose(tiny_dataset, "cyclegan", budget="20m", settings=SMALL)
    assert (config.settings["translator_steps"], config.steps) == (320, 750)
    config = choose(tiny_dataset, "cyclegan", budget="20m", settings={**SMALL, "translator_steps": 1000})
    assert (config.settings["translator_steps"], config.steps) == (1000, 70)
    assert "translator_steps" not in config.reasons


def test_with_many_steps_a_translator_gets_more_and_a_refinement_does_not(tiny_dataset: Path, no_clock: None) -> None:
    config = choose(tiny_dataset, "cyclegan", steps=3000, settings=SMALL)
    assert config.settings["translator_steps"] == 3000 and "3,000" in config.reasons["translator_steps"]
    config = choose(tiny_dataset, "cyclegan", steps=3000, settings={**SMALL, "translator_steps": 70})
    assert config.settings["translator_steps"] == 70 and "translator_steps" not in config.reasons
    config = choose(tiny_dataset, "early_features", steps=3000)
    assert (config.settings["head_steps"], config.settings["refine_steps"]) == (600, 200)


@pytest.mark.slow
def test_a_given_translator_decides_its_sizes(tiny_dataset: Path, tmp_path: Path, no_clock: None) -> None:
    sizes = {"translator_channels": 8, "translator_blocks": 2, "translator_halvings": 1}
    first = train(
        tiny_dataset, "cyclegan", tmp_path / "first", steps=1, settings={**SMALL, **sizes, "translator_steps": 1}
    )
    config = choose(tiny_dataset, "mt_uda", steps=1, settings={"translator": str(first.path)})
    assert {name: config.settings[name] for name in sizes} == sizes
    assert all("given translator" in config.reasons[name] for name in sizes)
    longer = choose(tiny_dataset, "mt_uda", steps=3000, settings={"translator": str(first.path)})
    assert "translator_steps" not in longer.reasons  # it is not trained again
    train(
        tiny_dataset,
        "mt_uda",
        tmp_path / "second",
        steps=1,
        settings={"base_channels": 4, "translator": str(first.path)},
    )


def test_a_refinement_does_not_get_longer_with_a_budget(tiny_dataset: Path, paced: Callable[..., None]) -> None:
    paced(train=(0, 1.0), head=(200, 0.0), refine=(200, 0.0))
    config = choose(tiny_dataset, "early_features", budget="20m")
    assert (config.settings["head_steps"], config.settings["refine_steps"]) == (260, 200)


def test_without_budget_and_steps_there_is_a_default(tiny_dataset: Path, paced: Callable[..., None]) -> None:
    config = choose(tiny_dataset)
    assert config.budget_minutes == DEFAULT_BUDGET == 25 and config.steps == 1340


def test_a_budget_that_is_too_short_is_told(
    tiny_dataset: Path, paced: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(
        planning, "time_steps", lambda *_, **__: Timing(1.0, {"train": [(0.5, 1.0)]}, {"train": (0, 1.0)})
    )
    config, (warning,) = planned_config(tiny_dataset, "source_only", budget="1m", device="cpu")
    assert config.steps == 300 and "too short for 300 steps" in warning.message and warning.remedy


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("20m", 20), ("2h", 120), ("1h30m", 90), ("1.5 h", 90), ("20 min", 20), ("45 Minutes", 45), (7, 7), (0.5, 0.5)],
)
def test_a_budget_is_a_time(text: str | float, minutes: float) -> None:
    assert budget_minutes(text) == minutes


NO_TIMES: list[Any] = ["0", "0m", "abc", "-5m", "", " ", "m", "20", "1e3m", "nan", "٣m", "99999999999h"]
NO_TIMES += [0, -1.0, True, [20], float("nan"), float("inf"), b"20m"]


@pytest.mark.parametrize("budget", NO_TIMES, ids=str)
def test_what_is_no_time_is_refused(budget: Any, tiny_dataset: Path) -> None:
    with pytest.raises(InputError, match="budget") as caught:
        choose(tiny_dataset, budget=budget)
    assert caught.value.remedy


@pytest.mark.parametrize("words", [["--budget", "0m"], ["--budget", "abc"], ["--budget=-1h"]])
def test_the_commands_refuse_them_too(place: Place, words: list[str]) -> None:
    command = [word for word in place.command("plan") if word not in ("--steps", "1")]
    refuses(place, [*command, *words], ("budget", "20m or 2h"))


def test_budget_and_steps_together_are_refused(place: Place) -> None:
    for name in ("plan", "train"):
        refuses(place, [*place.command(name), "--budget", "20m"], ("both 1 steps", "'20m'"))


@pytest.mark.slow
def test_runs_of_earlier_versions_have_no_reasons(tiny_dataset: Path, tmp_path: Path) -> None:
    run = create_run(
        tiny_dataset, "source_only", tmp_path / "run", steps=2, device="cpu", settings={"base_channels": 4}
    )
    document = json.loads(run.config.read_text(encoding="utf-8"))
    assert document["reasons"]
    for name in ("reasons", "budget_minutes"):
        del document[name]
    for name in ("rotation_deg", "scaling", "context", "context_mm"):
        del document["settings"][name]
    run.config.write_text(json.dumps(document), encoding="utf-8")
    config = read_run_config(run.config)
    assert config.reasons == {} and config.budget_minutes is None
    resume(run)
    assert not any(event["event"] == "plan" for event in read_events(run.events)[0])
    card = (Run(run.path).bundle / "README.md").read_text(encoding="utf-8")
    assert "## Chosen for these data" not in card and leuda_core.load_bundle(run.bundle).info.reasons == {}


@pytest.mark.slow
def test_the_command_tells_choice_and_reasons(place: Place) -> None:
    words = ["plan", str(place.dataset), "--method", "source_only", "--device", "cpu", "--steps", "3"]
    words += ["--set", "base_channels=4", "--set", "batch_size=2"]
    code, out, _ = place.call(words)
    assert code == 0 and "patch_size" in out and "holds a typical target slice" in out and "base_channels" not in out
    code, out, _ = place.call([*words, "--json"])
    document = json.loads(out)
    assert code == 0 and document["settings"]["patch_size"] == 48 and document["segmenter_steps"] == 3
    planned = {"spacing_mm", "patch_size", "zoom", "rotation_deg", "scaling", "unlabelled_batch_size"}
    assert document["reasons"].keys() == planned
    assert document["survey"]["structures"][0]["name"] == "ring" and document["survey"]["gap"] > 0.1
    assert 390 < document["predicted_memory_mib"] < 500 and document["budget_minutes"] is None

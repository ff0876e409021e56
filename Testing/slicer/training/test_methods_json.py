"""The list of methods that the form opens with is the one that the core has."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from repository import ROOT

pytestmark = pytest.mark.slow

FILE = ROOT / "LEUDASegmentation" / "Resources" / "methods.json"


def test_the_file_is_what_the_command_prints() -> None:
    from leuda_core.commands.info import methods
    from leuda_core.commands.output import to_json

    now = json.loads(to_json(methods(Namespace()).data))
    remake = "make it again: leuda methods --json > LEUDASegmentation/Resources/methods.json"
    assert json.loads(FILE.read_text(encoding="utf-8")) == now, remake


def test_the_recommended_method_is_first_and_comparisons_are_last(slicer_app) -> None:
    from leuda_core.config import DEFAULT_METHOD
    from leuda_core.durations import DEFAULT_BUDGET
    from LEUDATrainingLib.logic import LEUDATrainingLogic
    from LEUDATrainingLib.method_catalog import RECOMMENDED, load_methods

    methods = list(load_methods().values())
    assert methods[0].name == DEFAULT_METHOD == RECOMMENDED
    node = LEUDATrainingLogic().getParameterNode()
    assert (node.method, node.steps, node.budget) == (RECOMMENDED, 0, DEFAULT_BUDGET)
    assert [method.name for method in methods if method.needs_target_labels] == ["target_supervised"]
    assert methods[-1].needs_target_labels
    assert all(method.summary and method.paper for method in methods)


def test_the_module_names_the_default_method_and_the_paper_of_the_project(slicer_app) -> None:
    import slicer

    from LEUDATrainingLib.method_catalog import RECOMMENDED, load_methods

    slicer_app.loadModule(ROOT / "LEUDASegmentation" / "LEUDASegmentation.py")
    slicer_app.loadModule(ROOT / "LEUDATraining" / "LEUDATraining.py")
    text, default = slicer.modules.leudatraining.acknowledgementText, load_methods()[RECOMMENDED]
    for words in (default.title, default.paper, "LE-UDA: Label-efficient", "Transactions on Medical Imaging"):
        assert words in text


def test_the_presets_are_times_that_the_command_takes(slicer_app) -> None:
    from leuda_core.durations import DEFAULT_BUDGET, budget_minutes
    from LEUDATrainingLib.method.presets import all_presets, preset_of

    minutes = [preset.minutes for preset in all_presets()]
    assert minutes == sorted(minutes) and DEFAULT_BUDGET in minutes
    assert [budget_minutes(f"{one:g}m") for one in minutes] == minutes
    assert preset_of(60.0).title == "1 hour" and preset_of(37.5).title == "37.5 minutes"


def test_a_method_without_a_paper_is_refused(slicer_app, tmp_path: Path) -> None:
    from LEUDATrainingLib.method_catalog import load_methods

    entries = json.loads(FILE.read_text(encoding="utf-8"))
    del entries[0]["paper"]
    (tmp_path / "methods.json").write_text(json.dumps(entries), encoding="utf-8")
    with pytest.raises(KeyError, match="paper"):
        load_methods(tmp_path / "methods.json")

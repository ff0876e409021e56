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
    from LEUDATrainingLib.logic import LEUDATrainingLogic
    from LEUDATrainingLib.method_catalog import RECOMMENDED, RECOMMENDED_STEPS, load_methods

    methods = list(load_methods().values())
    assert methods[0].name == DEFAULT_METHOD == RECOMMENDED
    assert methods[0].default_steps == RECOMMENDED_STEPS
    node = LEUDATrainingLogic().getParameterNode()
    assert (node.method, node.steps) == (RECOMMENDED, RECOMMENDED_STEPS)
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


def test_presets_scale_the_steps_of_the_core(slicer_app) -> None:
    from leuda_core.config import make_config
    from leuda_core.methods import METHODS
    from LEUDATrainingLib.method.presets import all_presets, matching_preset
    from LEUDATrainingLib.method_catalog import load_methods

    quick, standard, thorough = all_presets()
    for name, method in load_methods().items():
        values = standard.values(method)
        assert values["steps"] == METHODS[name].default_steps
        assert {key: 3 * value for key, value in values.items()} == thorough.values(method)
        assert ("translator_steps" in values) == ("translator_steps" in method.properties)
        for preset in (quick, standard, thorough):
            numbers = preset.values(method)
            assert matching_preset(numbers, method) == preset.key
            numbers.pop("steps")
            make_config(METHODS[name].Config, numbers)  # raises when out of range
        assert matching_preset(values | {"steps": values["steps"] + 1}, method) == ""


def test_a_method_without_a_paper_is_refused(slicer_app, tmp_path: Path) -> None:
    from LEUDATrainingLib.method_catalog import load_methods

    entries = json.loads(FILE.read_text(encoding="utf-8"))
    del entries[0]["paper"]
    (tmp_path / "methods.json").write_text(json.dumps(entries), encoding="utf-8")
    with pytest.raises(KeyError, match="paper"):
        load_methods(tmp_path / "methods.json")

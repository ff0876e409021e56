"""One spelling and one word for one thing: in code, settings, messages and documents."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from leuda_core.bench.plan import parse_variant
from leuda_core.config import RunConfig, make_config, read_run_config
from leuda_core.methods.mean_teacher import MeanTeacher
from repository import ROOT

pytestmark = pytest.mark.slow

EARLIER = ROOT / "leuda_core" / "earlier.py"  # the one place that knows what names were before
CORE = [path for path in sorted((ROOT / "leuda_core").rglob("*.py")) if path != EARLIER]
MODULES = [path for name in ("LEUDASegmentation", "LEUDATraining") for path in sorted((ROOT / name).rglob("*.*"))]
TEXTS = [path for path in MODULES if path.suffix in (".py", ".ui", ".json")]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
DOCUMENTS.remove(ROOT / "CHANGELOG.md")  # it tells of the change
OTHER_WORDS = re.compile(r"\b\w*(unlabeled|labeled|labeling|judge)\w*", re.IGNORECASE)
SNAKE_CASE = re.compile(r"_*[a-z0-9_]*")


@pytest.mark.parametrize("path", [*CORE, *TEXTS, *DOCUMENTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_labelled_and_discriminator_are_the_words(path: Path) -> None:
    assert not OTHER_WORDS.findall(path.read_text(encoding="utf-8")), "write labelled, unlabelled, discriminator"


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_and_arguments_of_the_core_are_in_snake_case(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    names = {function.name for function in functions}
    names |= {argument.arg for node in ast.walk(tree) if isinstance(node, ast.arguments) for argument in node.args}
    assert not [name for name in names if not SNAKE_CASE.fullmatch(name)]


def test_settings_by_their_earlier_names_are_accepted(tmp_path: Path) -> None:
    assert make_config(MeanTeacher.Config, {"unlabeled_batch_size": "3"}).unlabelled_batch_size == 3
    assert parse_variant("mean_teacher:unlabeled_batch_size=3")[1] == {"unlabelled_batch_size": "3"}
    path = tmp_path / "run.json"
    fields = {"dataset": "d.json", "method": "mean_teacher", "settings": {"unlabeled_batch_size": 3}}
    path.write_text(json.dumps(fields), encoding="utf-8")
    expected = RunConfig(dataset="d.json", method="mean_teacher", settings={"unlabelled_batch_size": 3})
    assert read_run_config(path) == expected

"""LE-UDA Segmentation as a module of Slicer: what it says of itself, its import, its self-test."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest

import pytest

from repository import ROOT
from segmentation_panel import MODULE

pytestmark = pytest.mark.slow

# The module itself


def test_the_module_says_what_it_is_for(slicer_app) -> None:
    slicer_app.loadModule(MODULE)
    import slicer

    about = slicer.modules.leudasegmentation
    assert about.title == "LE-UDA Segmentation" and list(about.categories) == ["Segmentation"]
    for words in ("not a medical device", "Nothing leaves this computer", "adapted to their modality"):
        assert words in about.helpText
    assert "TMI" in about.acknowledgementText or "Transactions on Medical Imaging" in about.acknowledgementText


def test_console_users_get_the_logic(module) -> None:
    import slicer

    logic = slicer.util.getModuleLogic("LEUDASegmentation")
    assert logic is module.logic and [model.name for model in logic.models()] == ["discs", "other discs"]


_IMPORT = """
import sys, time
sys.path.insert(0, {testing!r})
from host import boot
boot()
import slicer, qt, ctk, vtk, numpy, slicer.util, slicer.ScriptedLoadableModule, slicer.parameterNodeWrapper, slicer.i18n
sys.path.insert(0, {folder!r})
before = set(sys.modules)
begin = time.process_time()
import LEUDASegmentation
seconds = time.process_time() - begin
heavy = [name for name in ("torch", "SimpleITK", "scipy", "msgspec", "monai", "skimage") if name in sys.modules]
print(f"RESULT {{seconds:.4f}} {{heavy}}")
"""


def test_importing_the_module_is_quick_and_loads_nothing_heavy() -> None:
    code = _IMPORT.format(testing=str(MODULE.parents[1] / "Testing"), folder=str(MODULE.parent))
    found = min(_import_once(code) for _try in range(3))
    assert found[1] == "[]"
    assert found[0] < 0.3


def _import_once(code: str) -> tuple[float, str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT")), "")
    assert line, done.stderr
    _word, seconds, heavy = line.split(maxsplit=2)
    return float(seconds), heavy


# The self-test that Slicer offers


@pytest.fixture
def self_test(slicer_app):
    slicer_app.loadModule(MODULE)
    return sys.modules["LEUDASegmentation"].LEUDASegmentationTest


@pytest.mark.timeout(600)
def test_the_self_test_runs_and_passes(self_test) -> None:
    case = self_test()
    case.messageDelay = 0
    case.runTest()


def test_the_self_test_never_passes_when_nothing_ran(self_test, monkeypatch) -> None:
    from LEUDASegmentationLib.processes import installation

    monkeypatch.setattr(installation, "missing_packages", lambda: ["torch"])
    with pytest.raises(unittest.SkipTest, match="nothing was tested: torch missing"):
        self_test().runTest()


@pytest.mark.timeout(600)
def test_the_self_test_notices_a_model_that_has_not_learnt(self_test) -> None:
    case = self_test()
    case.messageDelay, case.STEPS = 0, 1
    with pytest.raises(AssertionError):
        case.runTest()


_RELOAD = """
import shutil, sys
from pathlib import Path
sys.path[:0] = [{testing!r}, {root!r}]
from host import boot
app = boot()
import slicer
for name in ("LEUDASegmentation", "LEUDATraining"):
    copied = shutil.copytree(Path({root!r}, name), Path({folder!r}, name))
    app.loadModule(copied / f"{{name}}.py")
    widget = slicer.modules.__dict__[name.lower()].widgetRepresentation().self()
    widget.enter()
    part = {{"LEUDASegmentation": "scene/steps.py", "LEUDATraining": "labels/marks.py"}}[name]
    with open(copied / f"{{name}}Lib" / part, "a") as file:
        file.write("CHANGED = True" + chr(10))
    before = getattr(widget, "panel")
    widget.onReload()
    after = getattr(slicer.modules, f"{{name}}Widget")
    assert after is not widget and after.panel is not before
    after.enter()
    app.processEvents()
    module = sys.modules[f"{{name}}Lib." + part.replace("/", ".").removesuffix(".py")]
    print("RESULT", name, module.CHANGED, sys.modules[name].__file__.startswith({folder!r}))
app.close()
"""


def test_a_reload_takes_the_files_of_the_library_as_well(tmp_path) -> None:
    script = _RELOAD.format(testing=str(ROOT / "Testing"), root=str(ROOT), folder=str(tmp_path))
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines == ["RESULT LEUDASegmentation True True", "RESULT LEUDATraining True True"], done.stderr[-3000:]
    assert "Traceback" not in done.stderr

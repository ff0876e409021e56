"""Windows and runs that several files of tests use."""

from __future__ import annotations

from pathlib import Path

import pytest

from repository import ROOT
from run_folders import make_run
from shown_widgets import shown

MODULES = [ROOT / name / f"{name}.py" for name in ("LEUDASegmentation", "LEUDATraining")]


@pytest.fixture
def widget(slicer_app):
    for module in MODULES:
        found = slicer_app.loadModule(module)
    slicer_app.processEvents()
    return found


@pytest.fixture
def find(widget):
    """Return a child of the window by its name; the step that contains it is opened first, as its user would."""
    import slicer

    def found(name: str):
        child = slicer.util.findChild(widget.parent, name)
        if not name.endswith("Section"):
            inner = [step for step in widget.panel.guide._sections.values() if step.isAncestorOf(child)]
            for step in inner:
                if step.collapsed:
                    step.collapsed = False
                    slicer.app.processEvents()
        return child

    return found


@pytest.fixture
def node(widget):
    return widget.logic.getParameterNode()


@pytest.fixture
def form(slicer_app):
    from LEUDATrainingLib.method.method_form import MethodForm

    with shown(MethodForm(), 900) as widget:
        yield widget


@pytest.fixture
def view(slicer_app):
    from LEUDATrainingLib.runs.run_view import RunView

    with shown(RunView(), 1100) as widget:
        yield widget


@pytest.fixture
def run(tmp_path: Path):
    return make_run(tmp_path / "Knie links" / "run")

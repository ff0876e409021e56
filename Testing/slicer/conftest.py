"""A running host for module tests: a fresh scene, settings of its own, and no unhandled exception left unseen."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from repository import ROOT

pytest.importorskip("slicer_core", reason="slicer-core is not installed (pip install slicer-core)")
pytest.importorskip("PySide6", reason="PySide6 is not installed (pip install PySide6-Essentials)")

import host
from effect_editor import open_editor
from host import Host, boot
from host.python_layer.modules import forget_modules_below
from package_machine import installation, machine
from segmentation_jobs import held, logic
from segmentation_panel import entries, module, ready, shown, worker
from training_scene import node, source

# The fixtures of LEUDASegmentation, those of LEUDATraining, and those of installing.
__all__ = [
    "entries",
    "held",
    "installation",
    "logic",
    "machine",
    "module",
    "node",
    "open_editor",
    "ready",
    "shown",
    "source",
    "worker",
]

MODULES = ("LEUDASegmentation", "LEUDATraining")


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("core_fixtures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_core = _load(ROOT / "Testing" / "core" / "conftest.py")
tiny_dataset, untrained_bundle = _core.tiny_dataset, _core.untrained_bundle  # the same fixtures as the core's tests


@pytest.fixture
def exchange(tmp_path: Path) -> Path:
    """A folder through which a fake worker and its client pass files."""
    folder = tmp_path / "exchange"
    folder.mkdir()
    return folder


class UnhandledErrors(list):
    """Tracebacks of what slots, VTK observers and module methods let through. Clear it where one is meant."""

    def hook(self, kind: type[BaseException], error: BaseException, trace: object) -> None:
        self.append("".join(traceback.format_exception(kind, error, trace)))


@pytest.fixture
def unhandled_errors(monkeypatch: pytest.MonkeyPatch) -> Iterator[UnhandledErrors]:
    """What would have been printed to Slicer's console; the test fails if anything is left here at its end."""
    errors = UnhandledErrors()
    monkeypatch.setattr(sys, "excepthook", errors.hook)
    yield errors
    if errors:
        pytest.fail("unhandled exceptions in the host:\n" + "\n".join(errors))


@pytest.fixture
def slicer_app(tmp_path: Path, unhandled_errors: UnhandledErrors) -> Iterator[Host]:
    """The host with its window: a new scene and an empty settings folder. Tests may close it and boot again."""
    yield boot(tmp_path / "slicer settings")
    running = host.running()
    if running:
        running.close()
    for name in MODULES:
        forget_modules_below(ROOT / name)  # what a test imported without loading the module


@pytest.fixture
def scene(slicer_app: Host):
    """The scene of the running host."""
    return slicer_app.scene

"""The modules that Slicer has and a plain Python lacks: ``slicer`` filled up, ``qt``, ``ctk``, and aliases."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import slicer
import slicer_core as core
from PySide6 import QtCore, QtGui, QtPrintSupport, QtWidgets

from host import parameters
from host.python_layer import packages, sample_data, translation
from host.python_layer.ui_loader import UiLoader
from host.views import plots
from host.widgets import registry, scripted_effects, segment_editor

STAND_INS = (parameters, plots, segment_editor)  # importing them has registered their classes
QT_LIBRARIES = (QtCore, QtGui, QtWidgets, QtPrintSupport)
NOT_IN_PYTHONQT = ("SIGNAL", "SLOT", "ClassInfo", "QEnum", "QFlag")


def install() -> None:
    """Put ``qt``, ``ctk`` and what is missing of ``slicer`` into sys.modules. Calling it again does nothing."""
    if "qt" in sys.modules:
        return
    _alias_inner_modules()
    sys.modules["qt"] = _qt()
    sys.modules["ctk"] = _module("ctk", registry.classes["ctk"])
    vars(slicer).update(registry.classes["slicer"])
    sys.modules["SampleData"] = sample_data.module()
    sys.modules.update(scripted_effects.python_modules())
    for name in ("modules", "moduleNames"):
        _add_to_slicer(name, {})
    _add_to_slicer("i18n", {name: getattr(translation, name) for name in ("tr", "translate", "getContext")})
    public = ("load_requirements", "pip_check", "pip_ensure", "pip_install", "pip_uninstall", "isPipInstallInProgress")
    _add_to_slicer("packaging", {name: getattr(packages, name) for name in public})
    _add_to_slicer("parameterNodeWrapper", {name: getattr(parameters, name) for name in parameters.__all__})


def install_base_classes() -> None:
    """Add ``slicer.ScriptedLoadableModule``; it needs ``slicer.app``."""
    if "slicer.ScriptedLoadableModule" not in sys.modules:
        from host.python_layer import scripted_module

        names = {name: getattr(scripted_module, name) for name in scripted_module.__all__}
        _add_to_slicer("ScriptedLoadableModule", {**names, "__all__": scripted_module.__all__})


def _alias_inner_modules() -> None:
    """Make ``import vtkSegmentationCorePython`` and the like find the modules inside slicer_core."""
    inner = [name for name in vars(core) if isinstance(getattr(core, name), ModuleType)]
    for name in inner:
        module = sys.modules.get(f"slicer_core.{name}")
        if module:
            for alias in (name, f"{name}Python"):
                sys.modules.setdefault(alias, module)


def _qt() -> ModuleType:
    names: dict[str, Any] = {}
    for library in QT_LIBRARIES:
        names.update({name: getattr(library, name) for name in dir(library) if not name.startswith("_")})
    for name in NOT_IN_PYTHONQT:
        names.pop(name, None)
    return _module("qt", {**names, "QUiLoader": UiLoader})


def _module(name: str, members: dict[str, Any]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(members)
    return module


def _add_to_slicer(name: str, members: dict[str, Any]) -> None:
    module = _module(f"slicer.{name}", members)
    sys.modules[f"slicer.{name}"] = module
    setattr(slicer, name, module)

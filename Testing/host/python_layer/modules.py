"""``slicer.modules`` and the module manager: built-in modules with their logics, scripted modules from files."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer_core as core
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QVBoxLayout

from host.python_layer import pythonqt, signals
from host.widgets import segment_editor_module
from host.widgets.registry import stands_in, stored
from host.widgets.scene_widgets import SceneWidget


@stands_in("slicer")
class qSlicerLoadableModule(QObject):
    """A module written in C++, of which there is the logic and no widget."""

    def __init__(self, name: str, logic: Any = None):
        super().__init__()
        self.setObjectName(name)
        self._moduleName, self._logic = name, logic

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> None:
        return None

    def createNewWidgetRepresentation(self) -> None:
        return None

    name = pythonqt.QtCore.Property(str, lambda self: self._moduleName)
    title = stored(str, "title", "")
    path = stored(str, "path", "")


@stands_in("slicer")
class qSlicerScriptedLoadableModule(QObject):
    """A module from a Python file: the ``parent`` its class is given."""

    def __init__(self, path: Path, scene: Any):
        super().__init__()
        self._moduleName, self._file, self._scene = path.stem, str(path), scene
        self._widget: Any = None
        self._instance: Any = None

    def _load(self) -> None:
        _import(Path(self._file))
        self._instance = getattr(sys.modules[self._moduleName], self._moduleName)(self)
        if hasattr(self._instance, "setup"):
            self._instance.setup()

    def logic(self) -> Any:
        return core.vtkSlicerScriptedLoadableModuleLogic()

    def _hasWidget(self) -> bool:
        return hasattr(sys.modules[self._moduleName], f"{self._moduleName}Widget")

    def widgetRepresentation(self) -> Any:
        if self._widget is None and self._hasWidget():
            self._widget = self.createNewWidgetRepresentation()
        return self._widget

    def createNewWidgetRepresentation(self) -> Any:
        widget = qSlicerScriptedLoadableModuleWidget(self._moduleName)
        widget.setMRMLScene(self._scene)
        widget._create()
        return widget

    name = pythonqt.QtCore.Property(str, lambda self: self._moduleName)
    path = pythonqt.QtCore.Property(str, lambda self: self._file)
    title = stored(str, "title", "")
    categories = stored("QStringList", "categories", [])
    dependencies = stored("QStringList", "dependencies", [])
    contributors = stored("QStringList", "contributors", [])
    associatedNodeTypes = stored("QStringList", "associatedNodeTypes", [])
    helpText = stored(str, "helpText", "")
    acknowledgementText = stored(str, "acknowledgementText", "")
    hidden = stored(bool, "hidden", False)
    index = stored(int, "index", -1)
    icon = stored(QIcon, "icon", QIcon())
    widgetRepresentationCreationEnabled = stored(bool, "widgetRepresentationCreationEnabled", True)


@stands_in("slicer")
class qSlicerScriptedLoadableModuleWidget(SceneWidget):
    """The panel of a scripted module. Its Python object's exceptions are reported, not raised, as in Slicer."""

    def __init__(self, name: str):
        super().__init__()
        self._moduleName, self._python, self._entered = name, None, False
        QVBoxLayout(self)

    def _create(self) -> None:
        cls = getattr(sys.modules[self._moduleName], f"{self._moduleName}Widget")
        self._python = _call(lambda: cls(self))
        if self._python is not None:
            setattr(sys.modules["slicer.modules"], f"{self._moduleName}Widget", self._python)
            _call(self._python.setup)

    def self(self) -> Any:
        return self._python

    def reload(self) -> None:
        self._create()

    def setup(self) -> None:
        _call(self._python.setup)

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._python, "enter"):
            _call(self._python.enter)

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._python, "exit"):
            _call(self._python.exit)

    isEntered = pythonqt.QtCore.Property(bool, lambda self: self._entered)


@stands_in("slicer")
class qSlicerModuleManager(QObject):
    """The modules by name, and the signals their widgets listen to."""

    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)
    moduleUnloaded = Signal(str)

    def __init__(self, world: Any, application: Any):
        super().__init__()
        self._world, self._application = world, application
        self._modules: dict[str, Any] = {}
        for name, logic in world.logics.items():
            self._add(qSlicerLoadableModule(name, logic))
        self._editor = segment_editor_module.qSlicerSegmentEditorModule(world.scene)
        self._add(self._editor)

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def factoryManager(self) -> Any:
        return self

    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(self._modules)

    def _add(self, module: Any) -> None:
        self._modules[module.name] = module
        setattr(sys.modules["slicer.modules"], module.name.lower(), module)
        setattr(sys.modules["slicer.moduleNames"], module.name, module.name)

    def _load(self, path: Path) -> Any:
        if path.stem not in self._modules:
            module = qSlicerScriptedLoadableModule(path, self._world.scene)
            module._load()
            missing = [name for name in module.dependencies if name not in self._modules]
            if missing:
                raise RuntimeError(f"{path.stem} depends on {', '.join(missing)}: load that before")
            setattr(sys.modules["slicer.modules"], f"{path.stem}Instance", module._instance)
            self._add(module)
            self.moduleLoaded.emit(path.stem)
            self._application.startupCompleted.emit()
            signals.disconnect(self._application, "startupCompleted()")  # it comes once in Slicer's life
        return self._modules[path.stem]

    def _unload(self) -> None:
        """Tell every scripted module, delete its widget and drop its Python module, so that it can be loaded anew."""
        scripted = [m for m in self._modules.values() if isinstance(m, qSlicerScriptedLoadableModule)]
        for module in reversed(scripted):
            self.moduleAboutToBeUnloaded.emit(module.name)
            self.moduleUnloaded.emit(module.name)
        for module in reversed(scripted):
            if module._widget is not None:
                module._widget.setParent(None)
                pythonqt.shiboken6.delete(module._widget)
            _forget(module.name, module.path)
        if self._editor._widget is not None:
            self._editor._widget.setParent(None)
            pythonqt.shiboken6.delete(self._editor._widget)
        for name in self._modules:
            vars(sys.modules["slicer.modules"]).pop(name.lower(), None)


def _import(path: Path) -> ModuleType:
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if path.stem not in sys.modules:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    return sys.modules[path.stem]


def forget_modules_below(folder: Path) -> None:
    """Drop the Python modules that were imported from a folder, as the end of the process would."""
    for name, module in list(sys.modules.items()):
        if folder in Path(getattr(module, "__file__", None) or "/").parents:
            del sys.modules[name]


def _forget(name: str, path: str) -> None:
    forget_modules_below(Path(path).parent)
    for suffix in ("Instance", "Widget"):
        vars(sys.modules["slicer.modules"]).pop(f"{name}{suffix}", None)


def _call(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:
        pythonqt.report(error)
        return None

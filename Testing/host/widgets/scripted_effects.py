"""Effects of the Segment Editor that are written in Python: how Slicer makes them, and the factory that lists them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QCursor, QIcon

from host.python_layer import pythonqt
from host.widgets.editor_effects import qSlicerSegmentEditorAbstractEffect
from host.widgets.registry import stands_in


class qSlicerSegmentEditorScriptedEffect(qSlicerSegmentEditorAbstractEffect):
    """An effect from a Python file. Exceptions of its Python object are reported, not raised, as in Slicer."""

    _standsIn = True

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._python: Any = None

    def setPythonSource(self, path: str) -> bool:
        """Make the Python object: the file's folder names the module, the file itself the class."""
        source = Path(path)
        if source.suffix not in (".py", ".pyc") or "\\" in path:
            return False
        module = source.parent.name
        name = source.stem if source.stem.endswith("Effect") else f"{source.stem}Effect"
        if not hasattr(sys.modules.get(module), name):
            spec = importlib.util.spec_from_file_location(module, source)
            sys.modules[module] = loaded = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaded)
        self._python = getattr(sys.modules[module], name)(self)
        return True

    def self(self) -> Any:
        return self._python

    def clone(self) -> Any:
        return self._python.clone()

    def activate(self) -> None:
        super().activate()
        self._call("activate")

    def deactivate(self) -> None:
        super().deactivate()
        self._call("deactivate")

    def processViewNodeEvents(self, node: Any, event: int, widget: Any) -> None:
        self._call("processViewNodeEvents", node, event, widget)

    def icon(self) -> QIcon:
        return self._call("icon") or QIcon()

    def helpText(self) -> str:
        return self._call("helpText") or ""

    def createCursor(self, widget: Any) -> QCursor:
        return self._call("createCursor", widget) or QCursor()

    def _call(self, method: str, *arguments: Any) -> Any:
        function = getattr(self._python, method, None)
        if function is None:
            return None
        try:
            return function(*arguments)
        except Exception as error:
            pythonqt.report(error)
            return None


for _method in ("setMRMLDefaults", "setupOptionsFrame", "updateGUIFromMRML", "sourceVolumeNodeChanged", "cleanup"):
    setattr(qSlicerSegmentEditorScriptedEffect, _method, lambda self, method=_method: self._call(method))


@stands_in("slicer")
class qSlicerSegmentEditorEffectFactory(QObject):
    """The list of registered effects; every editor has a copy of each."""

    effectRegistered = Signal(str)
    _only: ClassVar[Any] = None

    def __init__(self) -> None:
        super().__init__()
        self._effects: list[Any] = []

    @classmethod
    def instance(cls) -> qSlicerSegmentEditorEffectFactory:
        if cls._only is None:
            cls._only = cls()
        return cls._only

    @classmethod
    def _forget(cls) -> None:
        """Forget all effects: Slicer ends."""
        cls._only = None

    def registerEffect(self, effect: Any) -> bool:
        """Take an effect; ``False`` if one of this name is there already."""
        if not effect.name or effect.name in [one.name for one in self._effects]:
            return False
        self._effects.append(effect)
        self.effectRegistered.emit(effect.name)
        return True

    def registeredEffects(self) -> list[Any]:
        return list(self._effects)


class AbstractScriptedSegmentEditorEffect:
    """The base class of scripted effects, of Slicer's module ``SegmentEditorEffects``."""

    def __init__(self, scriptedEffect: Any):
        self.scriptedEffect = scriptedEffect

    def register(self) -> None:
        qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)

    def cleanup(self) -> None:
        """Let go of everything before the effect is deleted."""


def python_modules() -> dict[str, ModuleType]:
    """Return the Python modules that effects import, by their names in Slicer."""
    members = {
        "qSlicerSegmentationsEditorEffectsPythonQt": {
            "qSlicerSegmentEditorScriptedEffect": qSlicerSegmentEditorScriptedEffect
        },
        "SegmentEditorEffects": {"AbstractScriptedSegmentEditorEffect": AbstractScriptedSegmentEditorEffect},
    }
    modules = {}
    for name, content in members.items():
        modules[name] = ModuleType(name)
        vars(modules[name]).update(content)
    return modules

"""Widgets that are given a scene."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer_core as core
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from host.widgets.observing import Observers
from host.widgets.registry import parent_among, stands_in

SCENE_EVENTS = (
    core.vtkMRMLScene.NodeAddedEvent,
    core.vtkMRMLScene.NodeRemovedEvent,
    core.vtkMRMLScene.EndBatchProcessEvent,
    core.vtkMRMLScene.EndCloseEvent,
    core.vtkMRMLScene.EndImportEvent,
)


class SceneWidget(QWidget):
    """A widget that is given a scene."""

    mrmlSceneChanged = Signal(object)
    _signatures: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged(PyObject)"}

    def __init__(self, *arguments: object) -> None:
        super().__init__(parent_among(arguments))
        self._scene: Any = None
        self._observers = Observers(self)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self._observers.clear()
            if scene is not None:
                self._observers.add(scene, SCENE_EVENTS, lambda _: self._onSceneEvent())
            self._onSceneEvent()
            self.mrmlSceneChanged.emit(scene)

    def _onSceneEvent(self) -> None:
        """Called at each change of the scene's nodes; subclasses refresh themselves."""


@stands_in("slicer")
class qMRMLWidget(SceneWidget):
    pass

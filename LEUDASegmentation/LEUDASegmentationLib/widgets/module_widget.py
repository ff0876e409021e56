"""The common base of both modules' widgets: it connects a panel to the scene."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import Any

import qt
import slicer
import vtk
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin


class ModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin, ABC):
    """A module's widget: its panel follows the parameter node, the closing of the scene, and added and removed nodes.

    A module implements ``makePanel`` and ``makeParameterNode``; its ``.ui`` file has the name of the module. A panel
    has ``set_parameter_node`` (``None`` when the scene is closed), ``refresh`` (nodes may have been added or removed),
    ``enter``, ``leave`` and ``cleanup`` (its widgets are about to be deleted).
    """

    REFRESH_MS = 0  # loading a scene adds many nodes at once: the panel is refreshed once

    def __init__(self, parent: Any = None) -> None:
        self.logic: Any = None
        self.panel: Any = None
        self._parameterNode: Any = None
        self._guiTag = None
        super().__init__(parent)  # also initialises the mixin; without a parent, it calls ``setup``

    @abstractmethod
    def makePanel(self) -> Any:
        """Set ``logic`` and return the panel; ``ui`` has the widgets of the ``.ui`` file as attributes."""

    @abstractmethod
    def makeParameterNode(self) -> Any:
        """Return the module's parameter node in the current scene; create it if there is none."""

    def setup(self) -> None:
        """Create the panel; called once, when the module is opened for the first time."""
        super().setup()
        self._uiWidget = slicer.util.loadUI(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.layout.addWidget(self._uiWidget)
        self.ui = slicer.util.childWidgetVariables(self._uiWidget)
        self._uiWidget.setMRMLScene(slicer.mrmlScene)
        self.panel = self.makePanel()
        self._refreshTimer = qt.QTimer(self._uiWidget)
        self._refreshTimer.setSingleShot(True)
        self._refreshTimer.setInterval(self.REFRESH_MS)
        self._refreshTimer.connect("timeout()", self._refresh)
        self._observeScene()
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Release everything; called when Slicer quits or the module is reloaded."""
        self._refreshTimer.stop()
        self.setParameterNode(None)
        self.removeObservers()
        self.panel.cleanup()

    def onReload(self) -> None:
        """Reload the module with its library; called by the button *Reload* of Slicer's developer mode.

        The library that both modules share is reloaded with LEUDASegmentation.
        """
        library = f"{self.moduleName}Lib"
        for name in [name for name in sys.modules if name == library or name.startswith(f"{library}.")]:
            del sys.modules[name]
        super().onReload()

    def enter(self) -> None:
        """Called each time the user opens the module."""
        self.initializeParameterNode()
        self.panel.enter()

    def exit(self) -> None:
        """Called each time the user opens another module."""
        self.panel.leave()

    def initializeParameterNode(self) -> None:
        """Ensure that there is a parameter node."""
        self.setParameterNode(self.makeParameterNode())

    def setParameterNode(self, parameterNode: Any) -> None:
        """Show and observe another parameter node; ``None`` if there is none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
        self.panel.set_parameter_node(parameterNode)

    def _observeScene(self) -> None:
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneEndClose)
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._onSceneChanged)

    def _onSceneStartClose(self, _caller: Any, _event: Any) -> None:
        self.panel.leave()
        self.setParameterNode(None)

    def _onSceneEndClose(self, _caller: Any, _event: Any) -> None:
        if self.parent.isEntered:
            self.enter()

    def _onParametersChanged(self, _caller: Any, _event: Any) -> None:
        self._onSceneChanged()

    def _onSceneChanged(self, _caller: Any = None, _event: Any = None) -> None:
        if not self._refreshTimer.active:
            self._refreshTimer.start()

    def _refresh(self) -> None:
        if self._parameterNode is not None and not slicer.mrmlScene.IsClosing():
            self.panel.refresh()

"""A small scripted module, written as modules for Slicer are, that the tests of the host load."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class HostExample(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Host example")
        parent.categories = ["Examples"]
        slicer.app.connect("startupCompleted()", self.onStartup)
        self.starts = 0

    def onStartup(self):
        self.starts += 1


class Mode(Enum):
    FAST = 1
    SLOW = 2


@parameterNodeWrapper
class Parameters:
    inputVolume: slicer.vtkMRMLScalarVolumeNode
    threshold: Annotated[float, WithinRange(-100, 200)] = 100
    invert: bool = False
    mode: Mode
    title: str
    count: Annotated[int, WithinRange(0, 9)] = 4
    pick: Annotated[str, Choice(["a", "b"])] = "a"
    folder: Path
    names: list[str]


class HostExampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.parameters = self.guiTag = None
        self.calls = []

    def setup(self):
        super().setup()
        widget = slicer.util.loadUI(self.resourcePath("UI/HostExample.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = HostExampleLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        slicer.app.connect("aboutToQuit()", self.onQuit)
        self.calls.append("setup")

    def bind(self, parameters):
        if self.parameters:
            self.parameters.disconnectGui(self.guiTag)
        self.parameters = parameters
        if parameters:
            self.guiTag = parameters.connectGui(self.ui)

    def enter(self):
        self.calls.append("enter")
        self.bind(self.logic.getParameterNode())

    def exit(self):
        self.calls.append("exit")
        self.bind(None)

    def cleanup(self):
        self.calls.append("cleanup")
        self.removeObservers()

    def onQuit(self):
        self.calls.append("quit")

    def onSceneStartClose(self, caller, event):
        self.bind(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.bind(self.logic.getParameterNode())

    def onApply(self):
        self.calls.append("apply")


class HostExampleLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return Parameters(super().getParameterNode())


class HostExampleTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def test_scene_is_empty(self):
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"), 0)

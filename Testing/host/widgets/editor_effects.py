"""The effects of the Segment Editor: the base class with everything an effect is given, and those written in C++.

What an effect changes goes through Slicer's own logic (``vtkSlicerSegmentEditorLogic``): masking, editable area,
overwriting and undo are real. Effects written in C++ can be chosen and do nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer_core as core
from PySide6.QtCore import QObject
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QFormLayout, QFrame, QLabel, QLayout, QMessageBox, QWidget

from host.widgets.registry import stands_in, stored

BUILT_IN = (
    "Threshold",
    "Paint",
    "Draw",
    "Erase",
    "Level tracing",
    "Grow from seeds",
    "Fill between slices",
    "Margin",
    "Hollow",
    "Smoothing",
    "Scissors",
    "Islands",
    "Logical operators",
    "Mask volume",
)
Logic = core.vtkSlicerSegmentEditorLogic


@stands_in("slicer")
class qSlicerSegmentEditorAbstractEffect(QObject):
    """An effect as the editor knows it: its name, its options, its parameters, and the way to the segments."""

    ModificationModeSet, ModificationModeAdd = Logic.ModificationModeSet, Logic.ModificationModeAdd
    ModificationModeRemove, ModificationModeRemoveAll = Logic.ModificationModeRemove, Logic.ModificationModeRemoveAll
    NotConfirmed, ConfirmedWithoutDialog, ConfirmedWithDialog = 0, 1, 2

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._active, self._node, self._logic = False, None, None
        self._select: Callable[[str], None] = lambda _name: None
        self._confirmed: Any = None
        self._frame = QFrame()
        QFormLayout(self._frame).setContentsMargins(4, 4, 4, 4)

    name = stored(str, "effectName", "")
    title = stored(str, "title", "")
    perSegment = stored(bool, "perSegment", True)
    requireSegments = stored(bool, "requireSegments", True)
    showEffectCursorInSliceView = stored(bool, "showEffectCursorInSliceView", True)
    showEffectCursorInThreeDView = stored(bool, "showEffectCursorInThreeDView", False)

    # What the editor calls

    def _join(self, logic: Any, select: Callable[[str], None]) -> None:
        self._logic, self._select = logic, select

    def setParameterSetNode(self, node: Any) -> None:
        self._node = node

    def setMRMLDefaults(self) -> None:
        pass

    def setupOptionsFrame(self) -> None:
        pass

    def activate(self) -> None:
        self._frame.setVisible(True)
        self._active = True
        self.updateGUIFromMRML()

    def deactivate(self) -> None:
        self._frame.setVisible(False)
        self._active = False

    def updateGUIFromMRML(self) -> None:
        pass

    def sourceVolumeNodeChanged(self) -> None:
        pass

    def processViewNodeEvents(self, node: Any, event: int, widget: Any) -> None:
        pass

    def icon(self) -> QIcon:
        return QIcon()

    def helpText(self) -> str:
        return ""

    def cleanup(self) -> None:
        pass

    # What an effect calls

    def active(self) -> bool:
        return self._active

    def parameterSetNode(self) -> Any:
        return self._node

    def scene(self) -> Any:
        return self._node.GetScene() if self._node else None

    def optionsFrame(self) -> QFrame:
        return self._frame

    def optionsLayout(self) -> QFormLayout:
        return self._frame.layout()

    def addOptionsWidget(self, options: QWidget | QLayout) -> None:
        self.optionsLayout().addRow(options)

    def addLabeledOptionsWidget(self, label: str, options: QWidget | QLayout) -> QLabel:
        widget = QLabel(label)
        self.optionsLayout().addRow(widget, options)
        return widget

    def selectEffect(self, name: str) -> None:
        self._select(name)

    def parameter(self, name: str) -> str:
        """Return a parameter; where Slicer reports that there is none, a test fails here."""
        if self._node is None:
            return ""
        for key in (f"{self.name}.{name}", name):
            value = self._node.GetAttribute(key)
            if value is not None:
                return value
        raise KeyError(f"the effect {self.name} has no parameter {name}")

    def integerParameter(self, name: str) -> int:
        return int(self.parameter(name) or 0)

    def doubleParameter(self, name: str) -> float:
        return float(self.parameter(name) or 0)

    def setParameter(self, name: str, value: str | float) -> None:
        self.setCommonParameter(f"{self.name}.{name}", value)

    def setCommonParameter(self, name: str, value: str | float) -> None:
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise TypeError(f"a parameter is a text or a number, not {value!r}")
        if self._node is None:
            raise RuntimeError(f"the effect {self.name} has no editor node to keep {name} in")
        if self._node.GetAttribute(name) == str(value) or (self._node.GetAttribute(name) is None and value == ""):
            return
        quiet = self._node.GetDisableModifiedEvent()
        self._node.SetDisableModifiedEvent(1)
        self._node.SetAttribute(name, str(value))
        self._node.SetDisableModifiedEvent(quiet)
        self._node.InvokeCustomModifiedEvent(core.vtkMRMLSegmentEditorNode.EffectParameterModified)

    def setParameterDefault(self, name: str, value: str | float) -> None:
        if not self.parameterDefined(name):
            self.setParameter(name, value)

    def parameterDefined(self, name: str) -> bool:
        """As in Slicer, an empty text counts as not defined."""
        return bool(self._node is not None and self._node.GetAttribute(f"{self.name}.{name}"))

    def nodeReference(self, name: str) -> Any:
        return self._node.GetNodeReference(f"{self.name}.{name}") if self._node is not None else None

    def setNodeReference(self, name: str, node: Any) -> None:
        if node is not self.nodeReference(name):
            self._node.SetNodeReferenceID(f"{self.name}.{name}", node.GetID() if node else None)
            self._node.InvokeCustomModifiedEvent(core.vtkMRMLSegmentEditorNode.EffectParameterModified)

    def defaultModifierLabelmap(self) -> Any:
        return self._logic.GetModifierLabelmap() if self._logic.ResetModifierLabelmapToDefault() else None

    def modifierLabelmap(self) -> Any:
        return self._logic.GetModifierLabelmap()

    def maskLabelmap(self) -> Any:
        return self._logic.GetMaskLabelmap() if self._logic.UpdateMaskLabelmap() else None

    def selectedSegmentLabelmap(self) -> Any:
        return self._logic.GetSelectedSegmentLabelmap() if self._logic.UpdateSelectedSegmentLabelmap() else None

    def sourceVolumeImageData(self) -> Any:
        return self._logic.GetAlignedSourceVolume() if self._logic.UpdateAlignedSourceVolume() else None

    def saveStateForUndo(self) -> None:
        self._logic.SaveStateForUndo()

    def modifySelectedSegmentByLabelmap(self, labelmap: Any, mode: int, *rest: Any) -> None:
        node = self._node
        self.modifySegmentByLabelmap(node.GetSegmentationNode(), node.GetSelectedSegmentID(), labelmap, mode, *rest)

    def modifySegmentByLabelmap(self, segmentation: Any, segment: str, labelmap: Any, mode: int, *rest: Any) -> None:
        """As in Slicer, ``rest`` is an extent of six numbers, whether masking is bypassed, or both."""
        extents = [tuple(one) for one in rest if not isinstance(one, bool)]
        bypass = any(one for one in rest if isinstance(one, bool))
        self._logic.ModifySegmentByLabelmap(segmentation, segment, labelmap, mode, *extents, self.perSegment, bypass)

    def confirmCurrentSegmentVisible(self) -> int:
        """Ask what to do if the selected segment is hidden, once for each segment."""
        node = self._node.GetSegmentationNode() if self._node else None
        identifier = self._node.GetSelectedSegmentID() if self._node else ""
        segment = node.GetSegmentation().GetSegment(identifier) if node and identifier else None
        if segment is None or segment is self._confirmed:
            return self.ConfirmedWithoutDialog
        displays = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
        if any(one.GetVisibility() and one.GetSegmentVisibility(identifier) for one in displays):
            return self.ConfirmedWithoutDialog
        buttons = QMessageBox.StandardButton
        box = QMessageBox()
        box.setText("The selected segment is hidden. Show it?")
        box.setStandardButtons(buttons.Yes | buttons.No | buttons.Cancel)
        answer = box.exec()
        if answer == buttons.Cancel:
            return self.NotConfirmed
        if answer == buttons.Yes:
            node.GetDisplayNode().SetVisibility(True)
            node.GetDisplayNode().SetSegmentVisibility(identifier, True)
        else:
            self._confirmed = segment
        return self.ConfirmedWithDialog


class BuiltInEffect(qSlicerSegmentEditorAbstractEffect):
    """An effect written in C++: it can be chosen, and does nothing."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name

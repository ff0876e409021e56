"""Slicer's modules and buttons around the segment editor: the module of this name, and the button for surfaces."""

from __future__ import annotations

from typing import Any

import slicer_core as core
from PySide6.QtCore import Property, QObject
from PySide6.QtWidgets import QPushButton

from host.widgets.registry import parent_among, stands_in, stored
from host.widgets.segment_editor import qMRMLSegmentEditorWidget

SURFACE = core.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()


@stands_in("slicer")
class qMRMLSegmentationShow3DButton(QPushButton):
    """Creates and removes the surfaces of a segmentation; without the real one's menu."""

    def __init__(self, *arguments: object) -> None:
        super().__init__("Show 3D", parent_among(arguments))
        self._node: Any = None
        self.setCheckable(True)
        self.toggled.connect(lambda on: self._onToggled(on))
        self.setSegmentationNode(None)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._node = node
        self.setEnabled(node is not None)
        blocked = self.blockSignals(True)
        self.setChecked(node is not None and node.GetSegmentation().ContainsRepresentation(SURFACE))
        self.blockSignals(blocked)

    def _onToggled(self, on: bool) -> None:
        if on:
            self._node.CreateClosedSurfaceRepresentation()
        else:
            self._node.RemoveClosedSurfaceRepresentation()

    locked = stored(bool, "locked", False)


class _SegmentEditorWidget(qMRMLSegmentEditorWidget):
    """The panel of the module: the editor, which has the shortcuts while the module is open."""

    _standsIn = True

    def __init__(self, scene: Any):
        super().__init__()
        self._shown = False
        self.setMRMLScene(scene)
        self._choose()

    def _choose(self) -> None:
        node = self.mrmlScene().GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
        if node is None:
            node = core.vtkMRMLSegmentEditorNode()
            node.SetSingletonTag("SegmentEditor")
            node = self.mrmlScene().AddNode(node)
        if node is not self.mrmlSegmentEditorNode():
            self.setMRMLSegmentEditorNode(node)

    @property
    def editor(self) -> Any:
        """What the module's Python object gives to others."""
        return self

    def enter(self) -> None:
        self._shown = True
        self._choose()
        self.installKeyboardShortcuts()

    def exit(self) -> None:
        self._shown = False
        self.setActiveEffect(None)
        self.uninstallKeyboardShortcuts()
        self.removeViewObservations()


@stands_in("slicer")
class qSlicerSegmentEditorModule(QObject):
    """The module Segment Editor."""

    def __init__(self, scene: Any):
        super().__init__()
        self._scene, self._widget = scene, None

    def widgetRepresentation(self) -> Any:
        if self._widget is None:
            self._widget = _SegmentEditorWidget(self._scene)
        return self._widget

    name = Property(str, lambda self: "SegmentEditor")
    title = Property(str, lambda self: "Segment Editor")
    path = Property(str, lambda self: "")
    helpText = Property(str, lambda self: "")
    acknowledgementText = Property(str, lambda self: "")

"""The stand-in for the segment editor: all of it but what its effects do."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer_core as core
import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QGridLayout, QGroupBox, QHBoxLayout, QPushButton, QVBoxLayout

from host.widgets.node_selectors import qMRMLNodeComboBox
from host.widgets.observing import Observers
from host.widgets.registry import stands_in, stored
from host.widgets.scene_widgets import SceneWidget
from host.widgets.segments_table import qMRMLSegmentsTableView

EFFECTS = (
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


def _part(name: str) -> Property:
    """A property that shows or hides a part of the editor."""

    def show(self: Any, visible: bool) -> None:
        getattr(self, name).setVisible(visible)

    return Property(bool, lambda self: not getattr(self, name).isHidden(), show)


class qSlicerSegmentEditorEffect:
    """An effect by its name; it does nothing."""

    def __init__(self, name: str):
        self.name = name


@stands_in("slicer")
class qMRMLSegmentEditorWidget(SceneWidget):
    """The segment editor: node selectors, segments, adding and removing. Its effects can be chosen and do nothing."""

    currentSegmentIDChanged = Signal(str)
    segmentationNodeChanged = Signal(object)
    sourceVolumeNodeChanged = Signal(object)
    _signatures: ClassVar = {
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)": "segmentationNodeChanged(PyObject)",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)": "sourceVolumeNodeChanged(PyObject)",
    }

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._editor: Any = None
        self._effect: qSlicerSegmentEditorEffect | None = None
        self._editorNode = Observers(self)
        self._shortcuts: list[QShortcut] = []
        self._observes = False
        self._segmentations = self._selector("vtkMRMLSegmentationNode")
        self._volumes = self._selector("vtkMRMLScalarVolumeNode")
        self._add, self._remove = QPushButton("Add", self), QPushButton("Remove", self)
        self._table = qMRMLSegmentsTableView(self)
        self._arrange()
        self._segmentations.currentNodeChanged.connect(lambda node: self._onSegmentation(node))
        self._volumes.currentNodeChanged.connect(lambda node: self._onVolume(node))
        self._add.clicked.connect(lambda: self._onAdd())
        self._remove.clicked.connect(lambda: self._onRemove())
        self._table.selectionChanged.connect(lambda *_: self._onSelection())

    def _selector(self, kind: str) -> qMRMLNodeComboBox:
        selector = qMRMLNodeComboBox(self)
        selector.nodeTypes, selector.noneEnabled = [kind], True
        return selector

    def _arrange(self) -> None:
        column, row = QVBoxLayout(self), QHBoxLayout()
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self._segmentations, self._volumes):
            column.addWidget(widget)
        row.addWidget(self._add)
        row.addWidget(self._remove)
        column.addLayout(row)
        column.addWidget(self._table)
        column.addWidget(self._effectButtons())

    def _effectButtons(self) -> QGroupBox:
        box = QGroupBox("Effects")
        grid = QGridLayout(box)
        grid.setSpacing(2)
        self._buttons: dict[str, QPushButton] = {}
        for place, name in enumerate(("None", *EFFECTS)):
            button = QPushButton(name)
            button.setCheckable(True)
            button.clicked.connect(lambda _, name=name: self.setActiveEffectByName(name))
            self._buttons[name] = button
            grid.addWidget(button, place // 3, place % 3)
        return box

    def setMRMLScene(self, scene: Any) -> None:
        for widget in (self._segmentations, self._volumes, self._table):
            widget.setMRMLScene(scene)
        super().setMRMLScene(scene)

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self._editor = node
        self._editorNode.clear()
        if node is not None:
            self._editorNode.add(node, (vtk.vtkCommand.ModifiedEvent,), lambda _: self.updateWidgetFromMRML())
        self.updateWidgetFromMRML()

    def mrmlSegmentEditorNode(self) -> Any:
        return self._editor

    def updateWidgetFromMRML(self) -> None:
        node = self._editor
        self._segmentations.setCurrentNode(node.GetSegmentationNode() if node else None)
        self._volumes.setCurrentNode(node.GetSourceVolumeNode() if node else None)
        if self._table.segmentationNode() is not self.segmentationNode():
            self._table.setSegmentationNode(self.segmentationNode())
        if node and node.GetSelectedSegmentID():
            self._table.setSelectedSegmentIDs([node.GetSelectedSegmentID()])

    def segmentationNode(self) -> Any:
        return self._editor.GetSegmentationNode() if self._editor else None

    def setSegmentationNode(self, node: Any) -> None:
        if self._editor is None:
            raise RuntimeError("setMRMLSegmentEditorNode comes before setSegmentationNode")
        if node is not self.segmentationNode():
            self._editor.SetAndObserveSegmentationNode(node)
            self.updateWidgetFromMRML()
            self.segmentationNodeChanged.emit(node)
            self._selectFirst()

    def _selectFirst(self) -> None:
        first = next(iter(self._table.displayedSegmentIDs()), "")
        self.setCurrentSegmentID(first)

    def sourceVolumeNode(self) -> Any:
        return self._editor.GetSourceVolumeNode() if self._editor else None

    def setSourceVolumeNode(self, node: Any) -> None:
        """Choose the volume that is edited upon; the segmentation takes its geometry if it has none."""
        if node is self.sourceVolumeNode():
            return
        self._editor.SetAndObserveSourceVolumeNode(node)
        segmentation = self.segmentationNode()
        role = core.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        if node is not None and segmentation is not None and segmentation.GetNodeReference(role) is None:
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(node)
        self.updateWidgetFromMRML()
        self.sourceVolumeNodeChanged.emit(node)

    def currentSegmentID(self) -> str:
        return (self._editor.GetSelectedSegmentID() or "") if self._editor else ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        if self._editor is not None and segment_id != self.currentSegmentID():
            self._editor.SetSelectedSegmentID(segment_id)
            self.updateWidgetFromMRML()
            self.currentSegmentIDChanged.emit(segment_id)

    def _onSegmentation(self, node: Any) -> None:
        if self._editor is not None:
            self.setSegmentationNode(node)

    def _onVolume(self, node: Any) -> None:
        if self._editor is not None:
            self.setSourceVolumeNode(node)

    def _onAdd(self) -> None:
        if self.segmentationNode() is not None and self.sourceVolumeNode() is not None:
            self.setCurrentSegmentID(self.segmentationNode().GetSegmentation().AddEmptySegment())

    def _onRemove(self) -> None:
        if self.currentSegmentID():
            self.segmentationNode().GetSegmentation().RemoveSegment(self.currentSegmentID())
            self._selectFirst()

    def _onSelection(self) -> None:
        selected = self._table.selectedSegmentIDs()
        if selected:
            self.setCurrentSegmentID(selected[0])

    def effectByName(self, name: str) -> qSlicerSegmentEditorEffect | None:
        return qSlicerSegmentEditorEffect(name) if name in EFFECTS else None

    def activeEffect(self) -> qSlicerSegmentEditorEffect | None:
        return self._effect

    def setActiveEffect(self, effect: qSlicerSegmentEditorEffect | None) -> None:
        self._effect = effect
        for name, button in self._buttons.items():
            button.setChecked(name == (effect.name if effect else "None"))
        if self._editor is not None:
            self._editor.SetActiveEffectName(effect.name if effect else "")

    def setActiveEffectByName(self, name: str) -> None:
        self.setActiveEffect(self.effectByName(name))

    def setupViewObservations(self) -> None:
        """Effects do not listen to the views; only remembers that they would."""
        self._observes = True

    def removeViewObservations(self) -> None:
        """See ``setupViewObservations``."""
        self._observes = False

    observesViews = Property(bool, lambda self: self._observes)

    def installKeyboardShortcuts(self, parent: Any = None) -> None:
        """Esc ends the active effect, 1 to 0 choose one; as in Slicer, a second call adds a second set."""
        actions = {"Esc": "None"} | {str(number % 10): EFFECTS[number - 1] for number in range(1, 11)}
        for key, name in actions.items():
            shortcut = QShortcut(QKeySequence(key), parent or self.window())
            shortcut.activated.connect(lambda name=name: self.setActiveEffectByName(name))
            self._shortcuts.append(shortcut)

    def uninstallKeyboardShortcuts(self) -> None:
        while self._shortcuts:
            shortcut = self._shortcuts.pop()
            shortcut.setEnabled(False)
            shortcut.deleteLater()

    segmentationNodeSelectorVisible = _part("_segmentations")
    sourceVolumeNodeSelectorVisible = _part("_volumes")
    autoShowSourceVolumeNode = stored(bool, "autoShowSourceVolumeNode", True)
    maskingSectionVisible = stored(bool, "maskingSectionVisible", True)
    specifyGeometryButtonVisible = stored(bool, "specifyGeometryButtonVisible", True)
    show3DButtonVisible = stored(bool, "show3DButtonVisible", True)
    switchToSegmentationsButtonVisible = stored(bool, "switchToSegmentationsButtonVisible", True)
    unorderedEffectsVisible = stored(bool, "unorderedEffectsVisible", True)
    undoEnabled = stored(bool, "undoEnabled", True)
    maximumNumberOfUndoStates = stored(int, "maximumNumberOfUndoStates", 10)
    effectColumnCount = stored(int, "effectColumnCount", 2)
    readOnly = stored(bool, "readOnly", False)
    jumpToSelectedSegmentEnabled = stored(bool, "jumpToSelectedSegmentEnabled", False)
    defaultTerminologyEntry = stored(str, "defaultTerminologyEntry", "")

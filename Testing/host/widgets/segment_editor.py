"""The stand-in for the segment editor: all of it but what the effects do that are written in C++."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import slicer
import slicer_core as core
import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout

from host.widgets.editor_effects import BUILT_IN, BuiltInEffect
from host.widgets.effect_widgets import EffectButtons, EffectOptions, EffectShortcuts
from host.widgets.node_selectors import qMRMLNodeComboBox
from host.widgets.observing import Observers
from host.widgets.registry import stands_in, stored
from host.widgets.scene_widgets import SceneWidget
from host.widgets.scripted_effects import qSlicerSegmentEditorEffectFactory
from host.widgets.segments_table import qMRMLSegmentsTableView


def _part(name: str) -> Property:
    """A property that shows or hides a part of the editor."""

    def show(self: Any, visible: bool) -> None:
        getattr(self, name).setVisible(visible)

    return Property(bool, lambda self: not getattr(self, name).isHidden(), show)


def _clean_up(effects: list[Any], _widget: Any) -> None:
    for effect in effects:
        effect.cleanup()


@stands_in("slicer")
class qMRMLSegmentEditorWidget(SceneWidget):
    """The segment editor: node selectors, segments, adding and removing, scripted effects and their options, undo."""

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
        self._effect: Any = None
        self._effects: list[Any] = []
        self._logic = core.vtkSlicerSegmentEditorLogic()
        self._editorNode = Observers(self)
        self._shortcuts = EffectShortcuts(self.setActiveEffectByName)
        self._observes = False
        self._viewNodes = Observers(self)
        self._segmentations = self._selector("vtkMRMLSegmentationNode")
        self._volumes = self._selector("vtkMRMLScalarVolumeNode")
        self._add, self._remove = QPushButton("Add", self), QPushButton("Remove", self)
        self._table = qMRMLSegmentsTableView(self)
        self._buttons, self._options = EffectButtons(), EffectOptions()
        self._arrange()
        self._segmentations.currentNodeChanged.connect(lambda node: self._onSegmentation(node))
        self._volumes.currentNodeChanged.connect(lambda node: self._onVolume(node))
        self._add.clicked.connect(lambda: self._onAdd())
        self._remove.clicked.connect(lambda: self._onRemove())
        self._table.selectionChanged.connect(lambda *_: self._onSelection())
        self._buttons.chosen.connect(lambda name: self.setActiveEffectByName(name))
        factory = qSlicerSegmentEditorEffectFactory.instance()
        factory.effectRegistered.connect(lambda _: self.updateEffectList())
        self.destroyed.connect(partial(_clean_up, self._effects))
        self.updateEffectList()

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
        column.addWidget(self._buttons)
        column.addWidget(self._options)

    def updateEffectList(self) -> None:
        """Copy the effects that were registered since, in Slicer's order: defaults come before the options."""
        registered = qSlicerSegmentEditorEffectFactory.instance().registeredEffects()
        known = [effect.name for effect in self._effects]
        built_in = [] if known else [BuiltInEffect(name) for name in BUILT_IN]
        for effect in [*built_in, *(one.clone() for one in registered if one.name not in known)]:
            effect._join(self._logic, self.setActiveEffectByName)
            if self._editor is not None:
                effect.setParameterSetNode(self._editor)
                effect.setMRMLDefaults()
            self._buttons.addButton(effect.name, effect.title or effect.name, effect.icon())
            effect.setupOptionsFrame()
            self._options.addOptions(effect)
            self._effects.append(effect)
        self._updateEffects()

    def setMRMLScene(self, scene: Any) -> None:
        for widget in (self._segmentations, self._volumes, self._table):
            widget.setMRMLScene(scene)
        super().setMRMLScene(scene)

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self._editor = node
        self._editorNode.clear()
        self._logic.SetMRMLScene(self.mrmlScene())
        self._logic.SetSegmentEditorNode(node)
        for effect in self._effects:
            effect.setParameterSetNode(node)
            if node is not None:
                effect.setMRMLDefaults()
        if node is not None:
            self._editorNode.add(node, (vtk.vtkCommand.ModifiedEvent,), lambda _: self.updateWidgetFromMRML())
            changed = (core.vtkMRMLSegmentEditorNode.EffectParameterModified,)
            self._editorNode.add(node, changed, lambda _: self._showParameters())
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
        self._updateEffects()

    def _showParameters(self) -> None:
        for effect in self._effects:
            effect.updateGUIFromMRML()

    def _updateEffects(self) -> None:
        """Enable the effects that can be used, and switch to the one that the editor node names."""
        node = self._editor
        segmentation = node.GetSegmentationNode() if node else None
        has_segments = segmentation is not None and segmentation.GetSegmentation().GetNumberOfSegments() > 0
        self._buttons.setEnabled(self.sourceVolumeNode() is not None)
        for effect in self._effects:
            usable = not effect.requireSegments or (has_segments and (self.currentSegmentID() or not effect.perSegment))
            self._buttons.setUsable(effect.name, bool(usable))
        chosen = self.effectByName(node.GetActiveEffectName() or "") if node else None
        if chosen is self._effect:
            return
        before, self._effect = self._effect, chosen
        if before is not None:
            before.deactivate()
        if chosen is not None:
            self.setupViewObservations()
            self._options.describe(chosen)
            chosen.activate()
        else:
            self.removeViewObservations()
        self._options.setVisible(chosen is not None)
        self._buttons.setActive(chosen.name if chosen else "None")

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
        for effect in self._effects:
            effect.sourceVolumeNodeChanged()
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

    def effectByName(self, name: str) -> Any:
        return next((effect for effect in self._effects if effect.name == name), None)

    def availableEffectNames(self) -> tuple[str, ...]:
        return tuple(effect.name for effect in self._effects)

    def activeEffect(self) -> Any:
        return self._effect

    def setActiveEffect(self, effect: Any) -> None:
        if self._editor is not None:
            self._editor.SetActiveEffectName(effect.name if effect else "")

    def setActiveEffectByName(self, name: str) -> None:
        self.setActiveEffect(self.effectByName(name))

    def undo(self) -> None:
        self._logic.Undo()

    def redo(self) -> None:
        self._logic.Redo()

    def setupViewObservations(self) -> None:
        """Tell the active effect when a slice view is moved; what the mouse does in it is not told."""
        self.removeViewObservations()
        self._observes = True
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            self._viewNodes.add(node, (vtk.vtkCommand.ModifiedEvent,), self._onView)

    def removeViewObservations(self) -> None:
        self._observes = False
        self._viewNodes.clear()

    def _onView(self, node: Any) -> None:
        if self._effect is not None:
            widget = slicer.app.layoutManager().viewWidget(node)
            self._effect.processViewNodeEvents(node, vtk.vtkCommand.ModifiedEvent, widget)

    observesViews = Property(bool, lambda self: self._observes)

    def installKeyboardShortcuts(self, parent: Any = None) -> None:
        """Esc ends the active effect, 1 to 0 choose one; as in Slicer, a second call adds a second set."""
        self._shortcuts.install(parent or self.window())

    def uninstallKeyboardShortcuts(self) -> None:
        self._shortcuts.uninstall()

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

"""Slicer's Segment Editor inside a section of the panel."""

from __future__ import annotations

from typing import Any

import slicer

EDITOR_TAG = "LEUDATraining"
UNDO_STATES = 10


class SegmentEditor:
    """An embedded Segment Editor. It is created when it is first shown, because that takes a noticeable time.

    Args:
        layout: where its widget is added.

    Attributes:
        widget: the ``qMRMLSegmentEditorWidget``, ``None`` before it is first shown.
    """

    def __init__(self, layout: Any) -> None:
        self._layout = layout
        self.widget: Any = None

    def enter(self) -> None:
        """Take the keyboard shortcuts and the views."""
        if self.widget is not None:
            self.widget.installKeyboardShortcuts()
            self.widget.setupViewObservations()

    def leave(self) -> None:
        """Release the keyboard shortcuts and the views."""
        if self.widget is not None:
            self.widget.setActiveEffect(None)
            self.widget.uninstallKeyboardShortcuts()
            self.widget.removeViewObservations()

    def show(self, volume: Any, segmentation: Any) -> None:
        """Edit a segmentation on a volume."""
        if self.widget is None:
            self.widget = _new_editor()
            self._layout.addWidget(self.widget)
        editor = self.widget
        editor.visible = True
        if editor.segmentationNode() is not segmentation or editor.sourceVolumeNode() is not volume:
            editor.setSegmentationNode(segmentation)
            editor.setSourceVolumeNode(volume)

    def hide(self) -> None:
        """Hide the editor."""
        if self.widget is not None:
            self.widget.visible = False


def _new_editor() -> Any:
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setSegmentationNodeSelectorVisible(False)
    editor.setSourceVolumeNodeSelectorVisible(False)
    editor.setAutoShowSourceVolumeNode(False)  # the user's views are left alone
    editor.setSwitchToSegmentationsButtonVisible(False)
    editor.setMaximumNumberOfUndoStates(UNDO_STATES)
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setMRMLSegmentEditorNode(_editor_node())
    return editor


def _editor_node() -> Any:
    """Return the module's own Segment Editor node, separate from that of the Segment Editor module."""
    node = slicer.mrmlScene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")
    if node is not None:
        return node
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
    node.UnRegister(None)
    node.SetSingletonTag(EDITOR_TAG)
    return slicer.mrmlScene.AddNode(node)

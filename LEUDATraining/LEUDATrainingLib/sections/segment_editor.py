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
        self._entered = False  # the module is shown
        self._shown = False
        self._active = False  # has the keyboard shortcuts and the views
        self.widget: Any = None

    def enter(self) -> None:
        """The module is shown: the editor takes the keyboard shortcuts and the views as long as it is shown, too."""
        self._entered = True
        self._activate()

    def leave(self) -> None:
        """Another module is shown, or the scene is being closed."""
        self._entered = False
        self._activate()

    def show(self, volume: Any, segmentation: Any) -> None:
        """Edit a segmentation on a volume."""
        if self.widget is None:
            self.widget = _new_editor()
            self._layout.addWidget(self.widget)
        self._shown = self.widget.visible = True
        if self.widget.segmentationNode() is not segmentation or self.widget.sourceVolumeNode() is not volume:
            self.widget.setSegmentationNode(segmentation)
            self.widget.setSourceVolumeNode(volume)
        self._activate()

    def hide(self) -> None:
        """Hide the editor, and let go of the segmentation: nothing can be drawn on what is not seen."""
        if self.widget is None or not self._shown:
            return
        self._shown = self.widget.visible = False
        self._activate()
        self.widget.setSegmentationNode(None)

    def _activate(self) -> None:
        """Take or release the keyboard shortcuts and the views; without them, no effect is active."""
        active = self._entered and self._shown
        if active == self._active:
            return
        self._active = active
        if active:
            self.widget.installKeyboardShortcuts()
            self.widget.setupViewObservations()
        else:
            self.widget.setActiveEffect(None)
            self.widget.uninstallKeyboardShortcuts()
            self.widget.removeViewObservations()


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

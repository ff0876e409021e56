"""What one does with a result: see it in 3-D and through, and edit it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ctk
import qt
import slicer
import vtk
from slicer.i18n import tr as _

from leuda_core.errors import InputError, LeudaError
from LEUDASegmentationLib.widgets.layout import column_in, new_button

_EDITOR = "SegmentEditor"


class ResultTools:
    """Slicer's button for 3-D, a button that opens the Segment Editor, and the opacity; hidden without a result.

    Args:
        on_error: called with the ``LeudaError`` of an action that failed.
    """

    def __init__(self, on_error: Callable[[LeudaError], None]) -> None:
        self._on_error = on_error
        self._segmentation: Any = None
        self._volume: Any = None
        self._observed: tuple[Any, int] | None = None  # the display node and the tag of its observer
        self.widget = qt.QWidget()
        self.widget.objectName = "resultTools"
        column, row = column_in(self.widget), qt.QHBoxLayout()
        self.show_3d = slicer.qMRMLSegmentationShow3DButton()
        self.show_3d.objectName = "show3DButton"
        row.addWidget(self.show_3d)
        self.edit_button = new_button(row, "editResultButton", _("Edit"), self.edit)
        self.edit_button.toolTip = _("Correct this result in the Segment Editor; come back to improve the model")
        column.addLayout(row)
        opacity = qt.QHBoxLayout()
        opacity.addWidget(qt.QLabel(_("Opacity:")))
        self.opacity = ctk.ctkSliderWidget()
        self.opacity.objectName = "resultOpacity"
        self.opacity.minimum, self.opacity.maximum, self.opacity.singleStep = 0.0, 1.0, 0.05
        self.opacity.connect("valueChanged(double)", self._on_opacity)
        opacity.addWidget(self.opacity, 1)
        column.addLayout(opacity)

    def show(self, segmentation: Any | None, volume: Any | None) -> None:
        """Take another result, and the volume that it lies on."""
        self._segmentation, self._volume = segmentation, volume
        self.widget.visible = segmentation is not None
        self.show_3d.setSegmentationNode(segmentation)
        display = segmentation.GetDisplayNode() if segmentation is not None else None
        if self._observed is not None:
            node, tag = self._observed
            node.RemoveObserver(tag)
            self._observed = None
        if display is not None:
            tag = display.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda _caller, _event: self._show_opacity())
            self._observed = display, tag
        self.opacity.enabled = display is not None
        self._show_opacity()

    def edit(self) -> None:
        """Open the Segment Editor with this result and its volume."""
        if self._segmentation is None:
            return
        if slicer.app.moduleManager().module(_EDITOR) is None:
            self._on_error(InputError(_("this Slicer has no Segment Editor"), _("install a complete Slicer")))
            return
        segmentation, volume = self._segmentation, self._volume  # this panel is left now
        slicer.util.selectModule(_EDITOR)
        editor = slicer.util.getModuleWidget(_EDITOR).editor
        editor.setSegmentationNode(segmentation)
        if volume is not None:
            editor.setSourceVolumeNode(volume)

    def _show_opacity(self) -> None:
        if self._observed is not None:
            was_blocked = self.opacity.blockSignals(True)
            self.opacity.value = self._observed[0].GetOpacity()
            self.opacity.blockSignals(was_blocked)

    def _on_opacity(self, value: float) -> None:
        if self._observed is not None:
            self._observed[0].SetOpacity(value)

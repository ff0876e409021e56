"""The result of Apply: its segments, their statistics, and Undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from leuda_core.errors import LeudaError
from LEUDASegmentationLib.panel.result_tools import ResultTools
from LEUDASegmentationLib.panel.statistics_table import StatisticsTable
from LEUDASegmentationLib.parameter_node import is_alive
from LEUDASegmentationLib.scene.steps import EventLoopWork
from LEUDASegmentationLib.widgets.tables import empty_state

_MOST_SEGMENT_ROWS = 6
_SEGMENT_ROW_PIXELS = 30  # rows of Slicer's segments table are higher than text


class ResultPanel:
    """Fills the section "Result" of the panel.

    Args:
        ui: has ``resultSection``, ``segmentsTable`` and ``undoButton``.
        logic: has ``statistics``, ``canUndo`` and ``undo``.
        on_message: called with the ``LeudaError`` of an action that failed, or with a text that says what was done.
    """

    def __init__(self, ui, logic, on_message: Callable[[LeudaError | str], None]) -> None:
        self._ui, self._logic, self._on_message = ui, logic, on_message
        self._shown: Any = None
        self._counting: EventLoopWork | None = None
        self._undoing: EventLoopWork | None = None
        self._undo_allowed = True
        self._empty = empty_state("noResultLabel", _("No result yet: press Apply."))
        ui.resultSection.layout().insertWidget(0, self._empty)
        self.tools = ResultTools(on_message)
        ui.resultSection.layout().addWidget(self.tools.widget)
        self.statistics = StatisticsTable()
        ui.resultSection.layout().addWidget(self.statistics.widget)
        self.statistics.buttons.insertWidget(0, ui.undoButton)
        ui.undoButton.connect("clicked()", self.undo)
        self.show(None)

    def show(self, segmentation) -> None:
        """Show a segmentation and start to compute its statistics; ``None`` shows nothing."""
        self._shown = segmentation if is_alive(segmentation) else None
        present = self._shown is not None
        self._ui.segmentsTable.setSegmentationNode(self._shown)
        self._ui.segmentsTable.visible = present
        self._empty.visible = not present
        self.tools.show(self._shown, reference_volume(self._shown))
        self.statistics.widget.visible = present
        if present:
            rows = min(_MOST_SEGMENT_ROWS, max(1, self._shown.GetSegmentation().GetNumberOfSegments()))
            self._ui.segmentsTable.setFixedHeight((rows + 1) * _SEGMENT_ROW_PIXELS)
        self.statistics.show_counting()
        self.refresh()

    def show_changed(self, segmentation) -> None:
        """Show a segmentation unless it is already shown, since its statistics take time."""
        alive = segmentation if is_alive(segmentation) else None
        if alive is not self._shown:
            self.show(alive)

    def refresh(self) -> None:
        """Compute the statistics again, for example after a correction; they are shown when they are ready."""
        self._stop_counting()
        self._show_undo()
        volume = reference_volume(self._shown)
        if volume is None:
            self.statistics.set_rows([])
            return
        self._counting = self._logic.statistics(
            self._shown, volume, wait=False, onDone=self._on_counted, onError=self._on_count_failed
        )

    def undo(self) -> None:
        """Undo what the last Apply wrote into the shown segmentation."""
        segmentation, name = self._shown, self._shown.GetName()
        self._stop_counting()
        try:
            self._undoing = self._logic.undo(
                segmentation,
                wait=False,
                onDone=lambda _nothing: self._on_undone(segmentation, name),
                onError=self._on_message,
            )
        except LeudaError as error:
            self._on_message(error)
        self._show_undo()

    def allow_undo(self, allowed: bool) -> None:
        """Forbid Undo while something reads the results."""
        self._undo_allowed = allowed
        self._show_undo()

    def close(self) -> None:
        """Do not use widgets any more: they are about to be deleted."""
        self._stop_counting()
        self.tools.show(None, None)
        if self._undoing is not None:
            self._undoing.stop()

    def _stop_counting(self) -> None:
        if self._counting is not None:
            self._counting.stop()

    def _show_undo(self) -> None:
        undoing = self._undoing is not None and self._undoing.running
        self._ui.undoButton.enabled = self._undo_allowed and not undoing and self._logic.canUndo(self._shown)

    def _on_counted(self, rows) -> None:
        self.statistics.set_rows([(row.name, row.volume_mL, row.mean_intensity) for row in rows])

    def _on_count_failed(self, error: LeudaError) -> None:
        self.statistics.set_rows([])
        self._on_message(error)

    def _on_undone(self, segmentation, name: str) -> None:
        self._show_undo()
        if segmentation is self._shown:
            self.show(segmentation)
        self._on_message(_("The last Apply on {name} was undone.").format(name=name))


def reference_volume(segmentation):
    """Return the volume that defines the grid of a segmentation, or ``None``."""
    if not is_alive(segmentation):
        return None
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    volume = segmentation.GetNodeReference(role)
    return volume if is_alive(volume) and volume.GetImageData() else None

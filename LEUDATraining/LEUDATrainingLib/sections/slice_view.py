"""The choice of a slice view, and following the slice that it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk


class SliceViewBox:
    """A combo box with the slice views of the layout.

    Args:
        on_chosen: called when another view is chosen.
        on_moved: called when the view that is followed shows another slice.
    """

    def __init__(self, on_chosen: Callable[[], None], on_moved: Callable[[], None]) -> None:
        self._on_moved = on_moved
        self._followed: tuple[Any, int] | None = None  # the view node and the tag of its observer
        self.widget = qt.QComboBox()
        self.widget.objectName = "markingViewBox"
        self.widget.connect("currentIndexChanged(int)", lambda _index: on_chosen())

    def node(self) -> Any | None:
        """Return the node of the chosen view, after updating the list of views."""
        views = {node.GetLayoutName(): node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")}
        names = [self.widget.itemText(index) for index in range(self.widget.count)]
        if names != list(views):
            self._fill(list(views))
        return views.get(self.widget.currentText)

    def follow(self) -> None:
        """Follow the chosen view instead of any other one."""
        view = self.node()
        if self._followed is not None and self._followed[0] is view:
            return
        self.stop_following()
        if view is not None:
            tag = view.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda _caller, _event: self._on_moved())
            self._followed = view, tag

    def stop_following(self) -> None:
        """Follow no view."""
        if self._followed is not None:
            view, tag = self._followed
            view.RemoveObserver(tag)
            self._followed = None

    def _fill(self, names: list[str]) -> None:
        chosen = self.widget.currentText
        was_blocked = self.widget.blockSignals(True)
        self.widget.clear()
        self.widget.addItems(names)
        self.widget.setCurrentIndex(names.index(chosen) if chosen in names else 0)
        self.widget.blockSignals(was_blocked)

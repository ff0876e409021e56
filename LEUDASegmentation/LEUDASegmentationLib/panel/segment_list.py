"""The list of a model's labels, to choose which of them are written as segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
from slicer.i18n import tr as _

from LEUDASegmentationLib.widgets.layout import column_in
from LEUDASegmentationLib.widgets.tables import ROW_PADDING, color_icon, empty_state, line_height

_MOST_ROWS = 6


class SegmentList:
    """A checkable list of the labels of the chosen model, in their colours.

    Args:
        on_changed: called without arguments when the user checks or unchecks a label.
    """

    def __init__(self, on_changed: Callable[[], None]) -> None:
        self._on_changed = on_changed
        self._filling = False
        self.widget = qt.QWidget()
        self.widget.objectName = "segmentListPlace"
        layout = column_in(self.widget)
        self._empty = empty_state("noLabelLabel", _("Choose a model to see what it segments."))
        layout.addWidget(self._empty)
        self.list = qt.QListWidget()
        self.list.objectName = "segmentList"
        self.list.setSelectionMode(qt.QAbstractItemView.NoSelection)
        self.list.toolTip = _("Only checked segments are written; other segments of the output do not change")
        self.list.connect("itemChanged(QListWidgetItem*)", self._on_item_changed)
        layout.addWidget(self.list)
        self.set_labels([], [])

    def set_labels(self, labels: Sequence, skipped: Sequence[str]) -> None:
        """List labels (with ``name`` and ``color``), all checked except those named in ``skipped``."""
        self._filling = True
        try:
            self.list.clear()
            for label in labels:
                self._add(label, label.name not in skipped)
        finally:
            self._filling = False
        rows = max(1, min(len(labels), _MOST_ROWS))
        self.list.setFixedHeight(rows * (line_height(self.list) + ROW_PADDING) + 2 * self.list.frameWidth)
        self.list.visible = bool(labels)
        self._empty.visible = not labels

    def skipped(self) -> list[str]:
        """Return the names of the unchecked labels."""
        items = [self.list.item(row) for row in range(self.list.count)]
        return [item.text() for item in items if item.checkState() != qt.Qt.Checked]

    def _add(self, label, checked: bool) -> None:
        item = qt.QListWidgetItem(label.name)
        item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
        item.setCheckState(qt.Qt.Checked if checked else qt.Qt.Unchecked)
        item.setIcon(color_icon(label.color))
        item.setSizeHint(qt.QSize(0, line_height(self.list) + ROW_PADDING))
        self.list.addItem(item)

    def _on_item_changed(self, _item) -> None:
        if not self._filling:
            self._on_changed()

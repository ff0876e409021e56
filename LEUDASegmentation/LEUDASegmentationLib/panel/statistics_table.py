"""Volume and mean intensity of each segment."""

from __future__ import annotations

import math
from collections.abc import Sequence

import qt
import slicer
from slicer.i18n import tr as _

from LEUDASegmentationLib.widgets.layout import column_in, new_button
from LEUDASegmentationLib.widgets.tables import align_column_header, empty_state, fit_height, new_table, text_item

_MOST_ROWS = 8


class StatisticsTable:
    """A table of segment, volume in mL and mean intensity, and a button that copies it.

    ``buttons`` is the layout of that button; others may add buttons on its left.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str]] = []
        self._headers = (_("Segment"), _("Volume (mL)"), _("Mean intensity"))
        self.widget = qt.QWidget()
        self.widget.objectName = "statisticsPlace"
        layout = column_in(self.widget)
        self._empty = empty_state("noStatisticsLabel", "")
        layout.addWidget(self._empty)
        self.table = new_table("statisticsTable", self._headers)
        for column in (1, 2):
            align_column_header(self.table, column, right=True)
        layout.addWidget(self.table)
        self.buttons = qt.QHBoxLayout()
        self.buttons.addStretch(1)
        self.copy_button = new_button(self.buttons, "copyStatisticsButton", _("Copy table"), self.copy)
        self.copy_button.toolTip = _("Copy the table, to paste it into a spreadsheet")
        layout.addLayout(self.buttons)
        self.set_rows([])

    def set_rows(self, rows: Sequence[tuple[str, float, float]]) -> None:
        """Show rows of name, volume in mL and mean intensity (NaN for an empty segment)."""
        self._rows = [(name, number_text(volume_ml), number_text(mean)) for name, volume_ml, mean in rows]
        self.table.setRowCount(len(self._rows))
        for row, texts in enumerate(self._rows):
            for column, text in enumerate(texts):
                self.table.setItem(row, column, text_item(text, right=column > 0))
        fit_height(self.table, most_rows=_MOST_ROWS)
        self._empty.text = _("No statistics: the segmentation has no segment with voxels.")
        self._empty.visible = not self._rows
        self.table.visible = self.copy_button.enabled = bool(self._rows)

    def show_counting(self) -> None:
        """Show that the statistics are being computed."""
        self.set_rows([])
        self._empty.text = _("Counting voxels…")

    def copy(self) -> None:
        """Copy the table to the clipboard, with tabs between the columns."""
        slicer.app.clipboard().setText("\n".join("\t".join(row) for row in (self._headers, *self._rows)))


def number_text(value: float) -> str:
    """Return a number with about four significant digits, without an exponent; a dash for NaN."""
    if not math.isfinite(value):
        return "–"
    digits = 0 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 4)}f}"

"""Tables for the panels of both modules: read-only rows that can be selected, as high as their content."""

from __future__ import annotations

from collections.abc import Sequence

import qt

READ_ONLY = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
ROW_PADDING = 6  # pixels around the text of a row
_ICON_SIZE = 12  # pixels


def new_table(name: str, headers: Sequence[str], *, stretch: int = 0, selectable: bool = True):
    """Return an empty ``QTableWidget`` whose column ``stretch`` takes the remaining width."""
    table = qt.QTableWidget(0, len(headers))
    table.objectName = name
    table.setHorizontalHeaderLabels(list(headers))
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    mode = qt.QAbstractItemView.SingleSelection if selectable else qt.QAbstractItemView.NoSelection
    table.setSelectionMode(mode)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
    table.showGrid = False
    table.wordWrap = False
    table.alternatingRowColors = True
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(line_height(table) + ROW_PADDING)
    header = table.horizontalHeader()
    header.highlightSections = False
    for column in range(len(headers)):
        wide = qt.QHeaderView.Stretch if column == stretch else qt.QHeaderView.ResizeToContents
        header.setSectionResizeMode(column, wide)
        align_column_header(table, column, right=False)
    return table


def line_height(widget) -> int:
    """Return the height of a line of text in pixels."""
    return qt.QFontMetrics(widget.font).height()


def align_column_header(table, column: int, *, right: bool) -> None:
    """Align a column's title like its values."""
    side = qt.Qt.AlignRight if right else qt.Qt.AlignLeft
    table.horizontalHeaderItem(column).setTextAlignment(side | qt.Qt.AlignVCenter)


def text_item(text: str, *, tooltip: str = "", right: bool = False):
    """Return a read-only cell; use ``right`` for numbers."""
    item = qt.QTableWidgetItem(text)
    item.setFlags(READ_ONLY)
    item.setToolTip(tooltip or text)
    item.setTextAlignment((qt.Qt.AlignRight if right else qt.Qt.AlignLeft) | qt.Qt.AlignVCenter)
    return item


def fit_height(table, *, most_rows: int) -> None:
    """Make a table as high as its rows; a table of more than ``most_rows`` scrolls."""
    rows = max(1, min(table.rowCount, most_rows))
    header = table.horizontalHeader()
    title = 0 if header.isHidden() else header.sizeHint.height()
    table.setFixedHeight(title + rows * table.verticalHeader().defaultSectionSize + 2 * table.frameWidth)


def empty_state(name: str, text: str):
    """Return a label that is shown instead of an empty table, and says what to do."""
    label = qt.QLabel(text)
    label.objectName = name
    label.wordWrap = True
    font = qt.QFont(label.font)
    font.setItalic(True)
    label.setFont(font)
    label.setContentsMargins(4, 4, 4, 4)
    return label


def color_icon(color: Sequence[float]):
    """Return an icon: a square of one colour (RGB in [0, 1])."""
    pixmap = qt.QPixmap(_ICON_SIZE, _ICON_SIZE)
    pixmap.fill(qt.QColor(*(round(255 * channel) for channel in color)))
    return qt.QIcon(pixmap)

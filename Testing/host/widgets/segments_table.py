"""The stand-in for the segments table, over real segmentation nodes."""

from __future__ import annotations

from typing import Any

import slicer_core as core
from PySide6.QtCore import Property, QItemSelection, Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout

from host.widgets.observing import Observers
from host.widgets.registry import stands_in, stored
from host.widgets.scene_widgets import SceneWidget

VISIBLE, COLOR, OPACITY, NAME = range(4)
COUNT_EVENTS = (core.vtkSegmentation.SegmentAdded, core.vtkSegmentation.SegmentRemoved)
CHANGE_EVENTS = (core.vtkSegmentation.SegmentModified, core.vtkSegmentation.SegmentsOrderModified)
ID_ROLE = Qt.ItemDataRole.UserRole


def _column(column: int, name: str) -> Property:
    """A property that shows or hides a column."""

    def show(self: Any, visible: bool) -> None:
        self._table.setColumnHidden(column, not visible)

    return Property(bool, lambda self: not self._table.isColumnHidden(column), show)


@stands_in("slicer")
class qMRMLSegmentsTableView(SceneWidget):
    """The segments of a segmentation: visibility, colour, opacity, name; the first and the last can be edited."""

    selectionChanged = Signal(QItemSelection, QItemSelection)
    segmentAboutToBeModified = Signal(str)

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._node: Any = None
        self._busy = False
        self._segmentation = Observers(self)
        self._table = QTableWidget(0, 4, self)
        self._table.setHorizontalHeaderLabels(["", "", "Opacity", "Name"])
        self._table.verticalHeader().hide()
        self._table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        header = self._table.horizontalHeader()
        for column in (VISIBLE, COLOR):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self._table)
        self._table.itemChanged.connect(lambda item: self._onEdited(item))
        self._table.itemSelectionChanged.connect(lambda: self._onSelection())

    def setSegmentationNode(self, node: Any) -> None:
        self._node = node
        self._segmentation.clear()
        if node is not None:
            self._segmentation.add(node.GetSegmentation(), COUNT_EVENTS, lambda _: self._fill())
            self._segmentation.add(node.GetSegmentation(), CHANGE_EVENTS, lambda _: self._refresh())
            self._segmentation.add(node, (core.vtkMRMLDisplayableNode.DisplayModifiedEvent,), lambda _: self._refresh())
        self._fill()

    def segmentationNode(self) -> Any:
        return self._node

    def _onSceneEvent(self) -> None:
        if self._node is not None and (self._scene is None or not self._scene.IsNodePresent(self._node)):
            self.setSegmentationNode(None)

    def _ids(self) -> list[str]:
        if self._node is None:
            return []
        segmentation = self._node.GetSegmentation()
        return [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())]

    def _refresh(self) -> None:
        if len(self._ids()) == self._table.rowCount:  # else a segment comes that has no display properties yet
            self._fill()

    def _fill(self) -> None:
        selected = self.selectedSegmentIDs()
        self._busy = True
        self._table.setRowCount(len(self._ids()))
        for row, segment_id in enumerate(self._ids()):
            self._fillRow(row, segment_id)
        self._busy = False
        self.setSelectedSegmentIDs(selected)

    def _fillRow(self, row: int, segment_id: str) -> None:
        segment, display = self._node.GetSegmentation().GetSegment(segment_id), self._node.GetDisplayNode()
        items = [QTableWidgetItem() for _ in range(4)]
        shown = display is None or display.GetSegmentVisibility(segment_id)
        items[VISIBLE].setCheckState(Qt.CheckState.Checked if shown else Qt.CheckState.Unchecked)
        items[COLOR].setBackground(QColor.fromRgbF(*segment.GetColor()))
        items[OPACITY].setText(f"{display.GetSegmentOpacity3D(segment_id) if display else 1.0:.2f}")
        items[NAME].setText(segment.GetName() or "")
        for column, item in enumerate(items):
            item.setData(ID_ROLE, segment_id)
            if column in (COLOR, OPACITY) or self.readOnly:
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
            self._table.setItem(row, column, item)

    def _onEdited(self, item: QTableWidgetItem) -> None:
        if self._busy:
            return
        segment_id = item.data(ID_ROLE)
        self.segmentAboutToBeModified.emit(segment_id)
        if item.column() == VISIBLE and self._node.GetDisplayNode():
            shown = item.checkState() == Qt.CheckState.Checked
            self._node.GetDisplayNode().SetSegmentVisibility(segment_id, shown)
        elif item.column() == NAME:
            self._node.GetSegmentation().GetSegment(segment_id).SetName(item.text())

    def _onSelection(self) -> None:
        if not self._busy:
            self.selectionChanged.emit(QItemSelection(), QItemSelection())

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        rows = sorted({index.row() for index in self._table.selectedIndexes()})
        return tuple(self._table.item(row, NAME).data(ID_ROLE) for row in rows)

    def setSelectedSegmentIDs(self, ids: Any) -> None:
        before, self._busy = self.selectedSegmentIDs(), True
        self._table.clearSelection()
        selection = self._table.selectionModel()
        for row, segment_id in enumerate(self._ids()):
            if segment_id in ids:
                flags = selection.SelectionFlag.Select | selection.SelectionFlag.Rows
                selection.select(self._table.model().index(row, NAME), flags)
        self._busy = False
        if before != self.selectedSegmentIDs():
            self._onSelection()

    def clearSelection(self) -> None:
        self.setSelectedSegmentIDs(())

    def displayedSegmentIDs(self) -> tuple[str, ...]:
        return tuple(self._ids())

    def tableWidget(self) -> QTableWidget:
        return self._table

    def setSelectionMode(self, mode: Any) -> None:
        self._table.setSelectionMode(QTableWidget.SelectionMode(mode))

    selectionMode = Property(int, lambda self: int(self._table.selectionMode().value), setSelectionMode)
    visibilityColumnVisible = _column(VISIBLE, "visibilityColumnVisible")
    colorColumnVisible = _column(COLOR, "colorColumnVisible")
    opacityColumnVisible = _column(OPACITY, "opacityColumnVisible")
    statusColumnVisible = stored(bool, "statusColumnVisible", False)
    layerColumnVisible = stored(bool, "layerColumnVisible", False)
    filterBarVisible = stored(bool, "filterBarVisible", False)
    jumpToSelectedSegmentEnabled = stored(bool, "jumpToSelectedSegmentEnabled", False)
    readOnly = stored(bool, "readOnly", False)
    segmentCount = Property(int, lambda self: len(self._ids()))

"""Stand-ins for Slicer's plot view: they draw what a plot chart node says, with Qt in the place of VTK's charts.

As in Slicer the chart is read when it is modified, a series whose table lacks a column draws nothing, and the legend
shows the names of the series nodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer_core as core
import vtk
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QVBoxLayout, QWidget
from vtk.util.numpy_support import vtk_to_numpy

from host.widgets.observing import Observers
from host.widgets.registry import stands_in
from host.widgets.scene_widgets import SceneWidget

MARGIN, INK, GRID = 8, QColor(40, 40, 40), QColor(225, 225, 225)
SERIES, CHART_CHANGED = core.vtkMRMLPlotSeriesNode, core.vtkMRMLPlotViewNode.PlotChartNodeChangedEvent


@dataclass(eq=False)
class Line:
    """A series as it was when the chart was read: ``x`` and ``y`` of shape (n,)."""

    name: str
    x: np.ndarray
    y: np.ndarray
    pen: QPen
    markers: bool


@stands_in("slicer")
class qMRMLPlotViewControllerWidget(SceneWidget):
    """The bar above a plot; the tests need only that it can be hidden."""


@stands_in("slicer")
class qMRMLPlotView(SceneWidget):
    """Draws the chart of a plot view node."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._view: Any = None
        self._chart: Any = None
        self._lines: list[Line] = []
        self._chartObservers = Observers(self)
        self._viewObservers = Observers(self)

    def mrmlPlotViewNode(self) -> Any:
        return self._view

    def setMRMLPlotViewNode(self, view: Any) -> None:
        self._view = view
        self._viewObservers.clear()
        if view is not None:
            self._viewObservers.add(view, (vtk.vtkCommand.ModifiedEvent, CHART_CHANGED), lambda _: self._readView())
        self._readView()

    def sizeHint(self) -> QSize:
        return QSize(150, 150)

    def _onSceneEvent(self) -> None:
        self._readView()

    def _readView(self) -> None:
        identifier = self._view.GetPlotChartNodeID() if self._view is not None else None
        self._chart = self._scene.GetNodeByID(identifier) if self._scene is not None and identifier else None
        self._chartObservers.clear()
        if self._chart is not None:
            self._chartObservers.add(self._chart, (vtk.vtkCommand.ModifiedEvent,), lambda _: self._readChart())
        self._readChart()

    def _readChart(self) -> None:
        count = self._chart.GetNumberOfPlotSeriesNodes() if self._chart is not None else 0
        lines = [_line(self._chart.GetNthPlotSeriesNode(index)) for index in range(count)]
        self._lines = [line for line in lines if line is not None]
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect, Qt.GlobalColor.white)
        if self._chart is not None:
            _Drawing(painter, self._chart, self._lines, QRectF(self.rect)).draw()
        painter.end()


@stands_in("slicer")
class qMRMLPlotWidget(SceneWidget):
    """A plot view with its controller above it."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._controller, self._plot = qMRMLPlotViewControllerWidget(), qMRMLPlotView()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._controller)
        column.addWidget(self._plot, 1)

    def setMRMLScene(self, scene: Any) -> None:
        super().setMRMLScene(scene)
        self._plot.setMRMLScene(scene)

    def mrmlPlotViewNode(self) -> Any:
        return self._plot.mrmlPlotViewNode()

    def setMRMLPlotViewNode(self, view: Any) -> None:
        self._plot.setMRMLPlotViewNode(view)

    def plotView(self) -> QWidget:
        return self._plot

    def plotController(self) -> QWidget:
        return self._controller


def _line(series: Any) -> Line | None:
    """Read a series node; None when it or its table is incomplete."""
    table = series.GetTableNode().GetTable() if series is not None and series.GetTableNode() is not None else None
    if table is None or series.GetPlotType() not in (SERIES.PlotTypeScatter, SERIES.PlotTypeLine):
        return None
    y = table.GetColumnByName(series.GetYColumnName())
    x = table.GetColumnByName(series.GetXColumnName()) if series.IsXColumnRequired() else y
    if x is None or y is None:
        return None
    values = vtk_to_numpy(y).astype(float)
    places = vtk_to_numpy(x).astype(float) if series.IsXColumnRequired() else np.arange(len(values), dtype=float)
    color = QColor.fromRgbF(*series.GetColor(), series.GetOpacity())
    pen = QPen(color, series.GetLineWidth())
    return Line(series.GetName() or "", places, values, pen, series.GetMarkerStyle() != SERIES.MarkerStyleNone)


class _Drawing:
    """One painting of a chart: titles, axes with round numbers, lines, legend."""

    def __init__(self, painter: QPainter, chart: Any, lines: list[Line], area: QRectF) -> None:
        self._painter, self._chart, self._lines = painter, chart, lines
        self._area = area.adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
        self._x = self._range("X", [line.x for line in lines])
        self._y = self._range("Y", [line.y for line in lines])

    def draw(self) -> None:
        self._painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        chart = self._chart
        if chart.GetTitleVisibility() and chart.GetTitle():
            self._text(chart.GetTitle(), chart.GetTitleFontSize(), "top")
        if chart.GetXAxisTitleVisibility() and chart.GetXAxisTitle():
            self._text(chart.GetXAxisTitle(), chart.GetAxisTitleFontSize(), "bottom")
        if chart.GetYAxisTitleVisibility() and chart.GetYAxisTitle():
            self._text(chart.GetYAxisTitle(), chart.GetAxisTitleFontSize(), "left")
        self._axes()
        self._painter.save()
        self._painter.setClipRect(self._area)
        for line in self._lines:
            self._draw_line(line)
        self._painter.restore()
        if chart.GetLegendVisibility():
            self._legend()

    def _range(self, axis: str, columns: list[np.ndarray]) -> tuple[float, float]:
        if not getattr(self._chart, f"Get{axis}AxisRangeAuto")():
            return tuple(getattr(self._chart, f"Get{axis}AxisRange")())
        values = np.concatenate(columns) if columns else np.zeros(0)
        values = values[np.isfinite(values)]
        low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
        margin = 0.05 * (high - low) or 0.5
        return float(low - margin), float(high + margin)

    def _font(self, pixels: int) -> None:
        font = self._painter.font()
        font.setPixelSize(pixels)
        self._painter.setFont(font)

    def _text(self, text: str, size: int, side: str) -> None:
        """Write a title along a side, and leave the room it takes out of the area."""
        self._font(size)
        self._painter.setPen(INK)
        height = self._painter.fontMetrics().height() + 4
        area = self._area
        if side == "left":
            self._painter.save()
            self._painter.translate(area.left(), area.bottom())
            self._painter.rotate(-90)
            self._painter.drawText(QRectF(0, 0, area.height(), height), Qt.AlignmentFlag.AlignCenter, text)
            self._painter.restore()
            area.setLeft(area.left() + height)
        elif side == "top":
            self._painter.drawText(
                QRectF(area.left(), area.top(), area.width(), height), Qt.AlignmentFlag.AlignCenter, text
            )
            area.setTop(area.top() + height)
        else:
            place = QRectF(area.left(), area.bottom() - height, area.width(), height)
            self._painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)
            area.setBottom(area.bottom() - height)

    def _axes(self) -> None:
        self._font(self._chart.GetAxisLabelFontSize())
        metrics, area = self._painter.fontMetrics(), self._area
        across, upward = _ticks(*self._x), _ticks(*self._y)
        area.setLeft(area.left() + max(metrics.horizontalAdvance(f"{tick:g}") for tick in upward) + 6)
        area.setBottom(area.bottom() - metrics.height() - 4)
        area.setRight(area.right() - 12)
        for tick in upward:
            y = self._place(0, tick).y()
            self._grid(QPointF(area.left(), y), QPointF(area.right(), y))
            label = QRectF(0, y - 10, area.left() - 4, 20)
            self._painter.drawText(label, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{tick:g}")
        for tick in across:
            x = self._place(tick, 0).x()
            self._grid(QPointF(x, area.top()), QPointF(x, area.bottom()))
            label = QRectF(x - 40, area.bottom() + 4, 80, metrics.height())
            self._painter.drawText(label, Qt.AlignmentFlag.AlignHCenter, f"{tick:g}")
        self._painter.setPen(INK)
        self._painter.drawLine(area.bottomLeft(), area.bottomRight())
        self._painter.drawLine(area.bottomLeft(), area.topLeft())

    def _grid(self, start: QPointF, end: QPointF) -> None:
        if self._chart.GetGridVisibility():
            self._painter.setPen(GRID)
            self._painter.drawLine(start, end)
        self._painter.setPen(INK)

    def _place(self, x: float, y: float) -> QPointF:
        right = (x - self._x[0]) / ((self._x[1] - self._x[0]) or 1)
        up = (y - self._y[0]) / ((self._y[1] - self._y[0]) or 1)
        return QPointF(self._area.left() + right * self._area.width(), self._area.bottom() - up * self._area.height())

    def _draw_line(self, line: Line) -> None:
        points = [self._place(x, y) for x, y in zip(line.x, line.y, strict=True)]
        self._painter.setPen(line.pen)
        self._painter.drawPolyline(QPolygonF(points))
        for point in points if line.markers else []:
            self._painter.drawEllipse(point, 3, 3)

    def _legend(self) -> None:
        self._font(self._chart.GetLegendFontSize())
        metrics = self._painter.fontMetrics()
        width = max((metrics.horizontalAdvance(line.name) for line in self._lines), default=0) + 34
        row, left, top = metrics.height() + 2, self._area.right() - width, self._area.top() + 4
        self._painter.fillRect(QRectF(left, top, width, row * len(self._lines) + 4), QColor(255, 255, 255, 220))
        for line in self._lines:
            middle = top + row / 2
            self._painter.setPen(line.pen)
            self._painter.drawLine(QPointF(left + 4, middle), QPointF(left + 24, middle))
            self._painter.setPen(INK)
            self._painter.drawText(QRectF(left + 28, top, width, row), Qt.AlignmentFlag.AlignVCenter, line.name)
            top += row


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers in a range, about five."""
    span = (high - low) or 1.0
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (factor * step) <= 6)
    first = math.ceil(low / step)
    return [round(number * step, 12) for number in range(first, math.floor(high / step) + 1)]

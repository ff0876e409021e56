"""A Slicer plot shown in a panel: chart, series and table nodes, and a view of its own that no layout manages.

The nodes are tools of the panel: hidden, not saved with the scene, and made anew after the scene was closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

_TITLE_SIZE, _AXIS_SIZE, _NUMBER_SIZE = 13, 12, 11


@dataclass(frozen=True, eq=False)
class Curve:
    """A named line: ``x`` and ``y`` of shape ``(n,)``; colour as RGB in [0, 1]; width in pixels."""

    name: str
    x: np.ndarray
    y: np.ndarray
    color: tuple[float, float, float]
    width: float = 2.0
    opacity: float = 1.0


class CurvePlot:
    """Draws curves in a ``qMRMLPlotWidget``."""

    def __init__(self, widget: Any) -> None:
        self._widget = widget
        self._owner: Any = None
        self._view: Any = None
        self._chart: Any = None
        self._tables: list[Any] = []
        self._series: list[Any] = []

    @property
    def chart_node(self) -> Any:
        """The chart node, or None before the first drawing and after the scene was closed."""
        return self._chart if self._alive() else None

    def show(
        self, curves: Sequence[Curve], *, title: str, x_title: str, y_title: str, x_range: tuple[float, float]
    ) -> None:
        """Draw these curves in place of those drawn before."""
        self._ensure_nodes()
        modified = self._chart.StartModify()  # one drawing for all of it
        self._set_series_count(len(curves))
        for table, series, curve in zip(self._tables, self._series, curves, strict=True):
            _fill(table, curve)
            _style(series, curve)
        self._chart.SetTitle(title)
        self._chart.SetXAxisTitle(x_title)
        self._chart.SetYAxisTitle(y_title)
        self._chart.SetXAxisRangeAuto(False)
        self._chart.SetXAxisRange(*x_range)
        self._chart.SetLegendVisibility(len(curves) > 1)
        self._chart.Modified()
        self._chart.EndModify(modified)

    def remove(self) -> None:
        """Take the nodes out of the scene again."""
        for node in [self._view, self._owner, self._chart, *self._series, *self._tables]:
            if node is not None and slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node)
        self._owner = self._view = self._chart = None
        self._tables, self._series = [], []

    def _alive(self) -> bool:
        nodes = [self._owner, self._view, self._chart, *self._series, *self._tables]
        return all(node is not None and slicer.mrmlScene.IsNodePresent(node) for node in nodes)

    def _ensure_nodes(self) -> None:
        if self._alive():
            return
        self.remove()
        # A view with an owner is left alone by the layout manager, as are views shown in windows of their own.
        self._owner = _add("vtkMRMLScriptedModuleNode", "LE-UDA curves owner")
        self._view = slicer.mrmlScene.CreateNodeByClass("vtkMRMLPlotViewNode")
        self._view.UnRegister(None)
        self._view.SetLayoutName("LEUDACurves")
        self._view.SetAndObserveParentLayoutNodeID(self._owner.GetID())
        self._view = _hide(slicer.mrmlScene.AddNode(self._view))
        self._view.SetDoPropagatePlotChartSelection(False)  # charts chosen for other views are not for this one
        self._chart = _make_chart()
        self._view.SetPlotChartNodeID(self._chart.GetID())
        self._widget.setMRMLScene(slicer.mrmlScene)
        self._widget.setMRMLPlotViewNode(self._view)

    def _set_series_count(self, count: int) -> None:
        while len(self._series) < count:
            table, series = _add("vtkMRMLTableNode", "LE-UDA losses"), _add("vtkMRMLPlotSeriesNode", "LE-UDA loss")
            series.SetAndObserveTableNodeID(table.GetID())
            self._tables.append(table)
            self._series.append(series)
            self._chart.AddAndObservePlotSeriesNodeID(series.GetID())
        while len(self._series) > count:
            series, table = self._series.pop(), self._tables.pop()
            self._chart.RemovePlotSeriesNodeID(series.GetID())
            slicer.mrmlScene.RemoveNode(series)
            slicer.mrmlScene.RemoveNode(table)


def _add(kind: str, name: str) -> Any:
    return _hide(slicer.mrmlScene.AddNewNodeByClass(kind, name))


def _hide(node: Any) -> Any:
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    return node


def _make_chart() -> Any:
    chart = _add("vtkMRMLPlotChartNode", "LE-UDA learning curves")
    chart.SetTitleFontSize(_TITLE_SIZE)
    chart.SetAxisTitleFontSize(_AXIS_SIZE)
    chart.SetAxisLabelFontSize(_NUMBER_SIZE)
    chart.SetLegendFontSize(_NUMBER_SIZE)
    chart.SetGridVisibility(True)
    return chart


def _fill(node: Any, curve: Curve) -> None:
    table = vtk.vtkTable()
    for name, values in (("x", curve.x), ("y", curve.y)):
        column = numpy_to_vtk(np.ascontiguousarray(values, float), deep=True)
        column.SetName(name)
        table.AddColumn(column)
    node.SetAndObserveTable(table)


def _style(series: Any, curve: Curve) -> None:
    series.SetName(curve.name)  # the legend shows it
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetXColumnName("x")
    series.SetYColumnName("y")
    few = len(curve.x) < 3
    circle, none = slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle, slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone
    series.SetMarkerStyle(circle if few else none)
    series.SetLineWidth(curve.width)
    series.SetColor(*curve.color)
    series.SetOpacity(curve.opacity)

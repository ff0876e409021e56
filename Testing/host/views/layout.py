"""``slicer.app.layoutManager()``: the views of the current layout, in a grid as near to Slicer's as one grid can be."""

from __future__ import annotations

import math
from typing import Any

import slicer_core as core
import vtk
from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtWidgets import QGridLayout, QWidget

from host.views.mrml_views import Picture, qMRMLSliceWidget, qMRMLThreeDWidget
from host.views.plots import qMRMLPlotWidget
from host.widgets.observing import Observers
from host.widgets.registry import stands_in


@stands_in("slicer")
class qSlicerLayoutManager(QObject):
    """Makes a widget for each view node of the layout node's arrangement, and keeps it while the scene has the node."""

    layoutChanged = Signal(int)

    def __init__(self, world: Any):
        super().__init__()
        self._world, self._viewport = world, QWidget()
        self._widgets: dict[str, Any] = {}
        self._logics = vtk.vtkCollection()
        self._grid = QGridLayout(self._viewport)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(2)
        self._observers = Observers(self)
        self._shown: list[str] = []
        self._world.application.SetSliceLogics(self._logics)
        self._follow()

    def _follow(self) -> None:
        scene = self._world.scene
        self._observers.add(self._layoutNode(), (vtk.vtkCommand.ModifiedEvent,), lambda _: self._arrange())
        events = (
            core.vtkMRMLScene.EndCloseEvent,
            core.vtkMRMLScene.EndImportEvent,
            core.vtkMRMLScene.EndBatchProcessEvent,
        )
        self._observers.add(scene, events, lambda _: self._arrange())
        self._arrange()

    def _layoutNode(self) -> Any:
        return self._world.layout.GetLayoutNode()

    def _viewNodes(self) -> list[Any]:
        nodes = self._world.layout.GetViewNodes()
        return [nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems())]

    def _arrange(self) -> None:
        """Put the widgets of the current layout into the grid."""
        nodes = [node for node in self._viewNodes() if node is not None]
        shown = [node.GetID() for node in nodes]
        if shown == self._shown or self._world.scene.IsBatchProcessing():
            return
        self._shown = shown
        for widget in self._widgets.values():
            self._grid.removeWidget(widget)
            widget.hide()
        columns = math.ceil(math.sqrt(len(nodes))) or 1
        for place, node in enumerate(nodes):
            widget = self._widget(node)
            if widget is not None:
                self._grid.addWidget(widget, place // columns, place % columns)
                widget.show()
        self.layoutChanged.emit(self.layout)

    def _widget(self, node: Any) -> Any:
        key = node.GetID()
        if key not in self._widgets:
            widget = self._make(node)
            if widget is not None:
                self._widgets[key] = widget
        return self._widgets.get(key)

    def _make(self, node: Any) -> Any:
        application = self._world.application
        if node.IsA("vtkMRMLSliceNode"):
            return qMRMLSliceWidget(application, self._logic(node))
        if node.IsA("vtkMRMLViewNode"):
            return qMRMLThreeDWidget(application, node)
        if node.IsA("vtkMRMLPlotViewNode"):
            widget = qMRMLPlotWidget()
            widget.setMRMLScene(self._world.scene)
            widget.setMRMLPlotViewNode(node)
            return widget
        return None

    def _logic(self, node: Any) -> Any:
        logic = core.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self._world.application)
        logic.SetMRMLScene(self._world.scene)
        logic.SetSliceNode(node)
        self._logics.AddItem(logic)
        return logic

    def _pictures(self) -> list[Picture]:
        widgets = [self._widgets[key] for key in self._shown if key in self._widgets]
        return [w.viewWidget() for w in widgets if isinstance(w, (qMRMLSliceWidget, qMRMLThreeDWidget))]

    def _render(self) -> None:
        """Draw the views that can be seen."""
        for picture in self._pictures():
            if picture.isVisible():
                picture.forceRender()

    def _close(self) -> None:
        self._observers.clear()
        for widget in self._widgets.values():
            if isinstance(widget, (qMRMLSliceWidget, qMRMLThreeDWidget)):
                widget.viewWidget()._close()
        self._world.application.SetSliceLogics(None)

    def viewport(self) -> QWidget:
        return self._viewport

    def mrmlSliceLogics(self) -> Any:
        return self._logics

    def mrmlScene(self) -> Any:
        return self._world.scene

    def _named(self, cls: type, name: str) -> Any:
        found = [w for w in self._widgets.values() if isinstance(w, cls)]
        return next((w for w in found if self._nodeOf(w).GetLayoutName() == name), None)

    def _nodeOf(self, widget: Any) -> Any:
        return widget.mrmlSliceNode() if isinstance(widget, qMRMLSliceWidget) else widget.mrmlViewNode()

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._nodeOf(w).GetLayoutName() for w in self._of(qMRMLSliceWidget))

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._named(qMRMLSliceWidget, name)

    def _of(self, cls: type) -> list[Any]:
        return [self._widgets[key] for key in self._shown if isinstance(self._widgets.get(key), cls)]

    def threeDWidget(self, which: int | str) -> qMRMLThreeDWidget | None:
        return self._named(qMRMLThreeDWidget, which) if isinstance(which, str) else self._of(qMRMLThreeDWidget)[which]

    def plotWidget(self, index: int) -> qMRMLPlotWidget:
        return self._of(qMRMLPlotWidget)[index]

    def viewWidget(self, node: Any) -> Any:
        return self._widgets.get(node.GetID())

    def resetSliceViews(self) -> None:
        for widget in self._of(qMRMLSliceWidget):
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        for widget in self._of(qMRMLThreeDWidget):
            widget.threeDView().resetFocalPoint()

    def setLayout(self, layout: int) -> None:
        self._layoutNode().SetViewArrangement(layout)

    layout = Property(int, lambda self: self._layoutNode().GetViewArrangement(), setLayout)
    threeDViewCount = Property(int, lambda self: len(self._of(qMRMLThreeDWidget)))
    plotViewCount = Property(int, lambda self: len(self._of(qMRMLPlotWidget)))

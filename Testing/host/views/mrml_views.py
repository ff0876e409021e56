"""Stand-ins for the slice and 3-D views: real logics and displayable managers, drawn when a picture is asked for.

Slicer draws at once; here `forceRender`, or a grab of the window, does it. So tests that show no picture pay nothing,
and what a test measures of the event loop is the module's own doing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk
from PySide6.QtCore import Property, QEvent, QSize, Qt
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from host.views import offscreen
from host.widgets.ctk_values import ctkSliderWidget
from host.widgets.observing import Observers
from host.widgets.registry import stands_in
from host.widgets.scene_widgets import SceneWidget

BAR_HEIGHT = 22
THREE_D_COLOR = QColor(116, 151, 255)


class Picture(SceneWidget):
    """Shows the last picture that was rendered of a view."""

    def __init__(self, make: Callable[[], offscreen.OffscreenView]):
        super().__init__()
        self._make, self._view, self._image = make, None, QImage()
        self.setMinimumSize(60, 60)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)

    def _offscreen(self) -> offscreen.OffscreenView:
        if self._view is None:
            self._view = self._make()
        return self._view

    def forceRender(self) -> None:
        self._image = self._offscreen().picture(max(self.width, 1), max(self.height, 1))
        self.update()

    def interactor(self) -> Any:
        return self._offscreen().interactor

    def renderer(self) -> Any:
        return self._offscreen().renderer

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect, Qt.GlobalColor.black)
        painter.drawImage(0, 0, self._image)
        painter.end()

    def _close(self) -> None:
        if self._view is not None:
            self._view.close()
            self._view = None


@stands_in("slicer")
class qMRMLSliceView(Picture):
    """The picture of a slice. The wheel moves through the slices, the mouse moves the crosshair's cursor."""

    def __init__(self, application: Any, logic: Any):
        super().__init__(lambda: offscreen.OffscreenSlice(application, logic))
        self._logic = logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def sizeHint(self) -> QSize:
        return QSize(300, 300)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._logic.ResizeSliceNode(self.width, self.height)

    def convertDeviceToXYZ(self, xy: Any) -> tuple[float, ...]:
        """Return view coordinates of a device position (origin at the lower left): one slice is shown, so z is 0."""
        return (float(xy[0]), float(xy[1]), 0.0)

    def wheelEvent(self, event: QWheelEvent) -> None:
        step = self._logic.GetLowestVolumeSliceSpacing()[2]
        forward = 1 if event.angleDelta().y() > 0 else -1
        self._logic.SetSliceOffset(self._logic.GetSliceOffset() + forward * step)
        self._logic.SnapSliceOffsetToIJK()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        node = self._crosshair()
        if node is not None:
            position = event.position()
            xyz = self.convertDeviceToXYZ((position.x(), self.height - position.y() - 1))
            node.SetCursorPositionXYZ(list(xyz), self.mrmlSliceNode())

    def leaveEvent(self, event: QEvent) -> None:
        node = self._crosshair()
        if node is not None:
            node.SetCursorPositionInvalid()

    def _crosshair(self) -> Any:
        scene = self._logic.GetMRMLScene()
        return scene.GetFirstNodeByClass("vtkMRMLCrosshairNode") if scene else None


@stands_in("slicer")
class qMRMLThreeDView(Picture):
    """The picture of a 3-D view."""

    def __init__(self, application: Any, node: Any):
        super().__init__(lambda: offscreen.three_d_view(application, node))
        self._node, self._framed = node, False

    def mrmlViewNode(self) -> Any:
        return self._node

    def forceRender(self) -> None:
        if not self._framed:
            self.resetFocalPoint()
        super().forceRender()

    def resetFocalPoint(self) -> None:
        """Look at everything that is shown."""
        self._offscreen().renderer.ResetCamera()
        self._framed = True


def _bar(label: str, color: QColor) -> tuple[QWidget, QHBoxLayout]:
    """Return the coloured bar above a view, with its letter."""
    bar = QWidget()
    bar.setFixedHeight(BAR_HEIGHT)
    bar.setAutoFillBackground(True)
    palette = bar.palette
    palette.setColor(palette.ColorRole.Window, color)
    bar.setPalette(palette)
    row = QHBoxLayout(bar)
    row.setContentsMargins(6, 0, 6, 0)
    row.addWidget(QLabel(f"<b>{label}</b>"))
    return bar, row


@stands_in("slicer")
class qMRMLSliceControllerWidget(SceneWidget):
    """The bar above a slice view: its letter and the slider of its offset."""

    def __init__(self, logic: Any):
        super().__init__()
        self._logic, self._following = logic, Observers(self)
        node = logic.GetSliceNode()
        bar, row = _bar(node.GetLayoutLabel(), QColor.fromRgbF(*node.GetLayoutColor()))
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(bar)
        self._slider = ctkSliderWidget()
        self._slider.setRange(-200, 200)
        self._slider.suffix = "mm"
        row.addWidget(self._slider, 1)
        self._slider.valueChanged.connect(lambda value: self._onSlider(value))
        self._busy = False
        self._following.add(node, (vtk.vtkCommand.ModifiedEvent,), lambda _: self._show())

    def _show(self) -> None:
        bounds = [0.0] * 6
        self._logic.GetLowestVolumeSliceBounds(bounds)
        self._busy = True
        self._slider.setRange(min(bounds[4], bounds[5]), max(bounds[4], bounds[5]))
        self._slider.setValue(self._logic.GetSliceOffset())
        self._busy = False

    def _onSlider(self, value: float) -> None:
        if not self._busy:
            self._logic.SetSliceOffset(value)

    def sliceOffsetSlider(self) -> ctkSliderWidget:
        return self._slider

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()

    def sliceLogic(self) -> Any:
        return self._logic


class ViewWidget(SceneWidget):
    """A bar over a view."""

    def __init__(self, bar: QWidget, view: Picture):
        super().__init__()
        self._bar, self._picture = bar, view
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(bar)
        column.addWidget(view, 1)

    def viewWidget(self) -> Picture:
        return self._picture


@stands_in("slicer")
class qMRMLSliceWidget(ViewWidget):
    """One slice view with its bar."""

    def __init__(self, application: Any, logic: Any):
        super().__init__(qMRMLSliceControllerWidget(logic), qMRMLSliceView(application, logic))
        self._logic = logic

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceView(self) -> qMRMLSliceView:
        return self._picture

    def sliceController(self) -> qMRMLSliceControllerWidget:
        return self._bar

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()

    sliceViewName = Property(str, lambda self: self.mrmlSliceNode().GetLayoutName())


@stands_in("slicer")
class qMRMLThreeDWidget(ViewWidget):
    """One 3-D view with its bar."""

    def __init__(self, application: Any, node: Any):
        super().__init__(_bar(node.GetLayoutLabel(), THREE_D_COLOR)[0], qMRMLThreeDView(application, node))
        self._node = node

    def mrmlViewNode(self) -> Any:
        return self._node

    def threeDView(self) -> qMRMLThreeDView:
        return self._picture

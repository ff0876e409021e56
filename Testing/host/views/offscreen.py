"""Drawing MRML views without a window of their own: real displayable managers into a picture."""

from __future__ import annotations

import os
import sys
from typing import Any

import slicer_core as core
import vtk
from PySide6.QtGui import QImage
from vtk.util.numpy_support import vtk_to_numpy

SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
)
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)


class OffscreenView:
    """A render window that is never shown, with the displayable managers of one view node."""

    def __init__(self, factory: Any, managers: tuple[str, ...], application: Any, node: Any, ground: Any = None):
        if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
            os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
        self.window, self.renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.AddRenderer(self.renderer)
        if ground is not None:
            self.renderer.AddViewProp(ground)  # first, so that all else is drawn over it
        self.interactor = vtk.vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        for name in managers:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        factory.SetMRMLApplicationLogic(application)
        self.managers = factory.InstantiateDisplayableManagers(self.renderer)
        self.managers.UnRegister(None)
        self.managers.SetMRMLDisplayableNode(node)

    def picture(self, width: int, height: int) -> QImage:
        """Render at a size in pixels."""
        self.window.SetSize(width, height)
        self.interactor.UpdateSize(width, height)
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.ShouldRerenderOff()
        grab.Update()
        pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(height, width, 3)[::-1].copy()
        return QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()

    def close(self) -> None:
        self.interactor.SetRenderWindow(None)
        self.window.Finalize()


class OffscreenSlice(OffscreenView):
    """A view of a slice logic: its blended image with outlines, models and markups on it."""

    def __init__(self, application: Any, logic: Any):
        self._logic, self._mapper, ground = logic, vtk.vtkImageMapper(), vtk.vtkActor2D()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        ground.SetMapper(self._mapper)
        factory = core.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        super().__init__(factory, SLICE_MANAGERS, application, logic.GetSliceNode(), ground)

    def picture(self, width: int, height: int) -> QImage:
        self._mapper.SetInputConnection(self._logic.GetImageDataConnection())  # another one once there is a volume
        return super().picture(width, height)


def three_d_view(application: Any, node: Any) -> OffscreenView:
    """Return a view of a 3-D view node."""
    factory = core.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
    return OffscreenView(factory, THREE_D_MANAGERS, application, node)

"""Switches the live preview on and off, and lets it follow the slice view under the mouse pointer."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

from leuda_core.errors import LeudaError
from LEUDASegmentationLib.panel.preview import LivePreview

_RED_VIEW = "vtkMRMLSliceNodeRed"


class PreviewControl:
    """Synchronises a ``LivePreview`` with a check box and with the chosen volume, model and device.

    Args:
        check_box: switches the preview on. logic: a ``LEUDASegmentationLogic``.
        on_error: called with the ``LeudaError`` that ended the preview.
    """

    def __init__(self, check_box, logic, on_error: Callable[[LeudaError], None]) -> None:
        self._check_box, self._on_error = check_box, on_error
        self._preview = LivePreview(logic, on_error=self._on_preview_error)
        self._wanted: tuple | None = None  # volume, model, device
        self._running: tuple | None = None
        self._observation: tuple | None = None  # of the mouse pointer: node and tag
        self._view = None  # the slice node that is followed
        check_box.connect("toggled(bool)", self._on_toggled)

    @property
    def running(self) -> bool:
        """Whether outlines are shown."""
        return self._preview.running

    def update(self, volume, model, device: str) -> None:
        """Set volume, model and device, also for a running preview; ``None`` if no volume or model is chosen."""
        ready = volume is not None and model is not None and not model.problem
        self._wanted = (volume, model, device) if ready else None
        self._check_box.enabled = ready
        self._check_box.toolTip = (
            _("Show outlines of what the model finds in the slice under the mouse pointer; nothing is written")
            if ready
            else _("Choose a volume and a model first")
        )
        self._apply()

    def stop(self) -> None:
        """Switch the preview off."""
        self._check_box.checked = False
        self._apply()

    def _apply(self) -> None:
        wanted = self._wanted if self._check_box.checked else None
        if wanted == self._running and self._preview.running == (wanted is not None):
            return
        self._running = wanted
        if wanted is None:
            self._preview.stop()
            self._watch_mouse(False)
            return
        volume, model, device = wanted
        try:
            self._view = _view_under_mouse() or _first_view()
            self._preview.start(volume, model, self._view, device)
            self._watch_mouse(True)
        except LeudaError as error:
            self._on_preview_error(error)

    def _on_toggled(self, _checked: bool) -> None:
        self._apply()

    def _on_preview_error(self, error: LeudaError) -> None:
        self.stop()
        self._on_error(error)

    def _watch_mouse(self, watch: bool) -> None:
        if self._observation is not None:
            node, tag = self._observation
            node.RemoveObserver(tag)
            self._observation = None
        crosshair = _crosshair()
        if watch and crosshair is not None:
            tag = crosshair.AddObserver(slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent, self._on_mouse_moved)
            self._observation = crosshair, tag

    def _on_mouse_moved(self, _crosshair, _event) -> None:
        view = _view_under_mouse()
        if view is not None and view is not self._view:
            self._view = view
            self._preview.follow(view)


def _crosshair():
    """Return the node that knows the position of the mouse pointer."""
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")


def _first_view():
    """Return the red slice node, or another one if the layout has no red view; ``None`` without any."""
    scene = slicer.mrmlScene
    return scene.GetNodeByID(_RED_VIEW) or scene.GetFirstNodeByClass("vtkMRMLSliceNode")


def _view_under_mouse():
    """Return the slice node under the mouse pointer, or ``None``."""
    crosshair = _crosshair()
    return crosshair.GetCursorPositionXYZ([0.0, 0.0, 0.0]) if crosshair else None

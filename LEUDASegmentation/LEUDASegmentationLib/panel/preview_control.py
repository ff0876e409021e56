"""Switches the live preview on and off, and lets it follow the slice view under the mouse pointer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import slicer
from slicer.i18n import tr as _

from leuda_core.errors import LeudaError
from leuda_core.types import Label
from LEUDASegmentationLib.panel.preview import LivePreview
from LEUDASegmentationLib.scene.slice_views import crosshair, first_view, view_under_mouse


class PreviewControl:
    """Synchronises a ``LivePreview`` with a check box and with the chosen volume, model and device.

    Args:
        check_box: switches the preview on. logic: a ``LEUDASegmentationLogic``.
        on_error: called with the ``LeudaError`` that ended the preview.
        doubt_box: switches on that the preview also shows where the model is unsure; ``None`` for never.
    """

    def __init__(self, check_box, logic, on_error: Callable[[LeudaError], None], doubt_box=None) -> None:
        self._check_box, self._doubt_box, self._on_error = check_box, doubt_box, on_error
        self._preview = LivePreview(logic, on_error=self._on_preview_error)
        self._wanted: tuple | None = None  # volume, model, device, labels
        self._running: tuple | None = None  # the same, and whether doubt is shown
        self._observation: tuple | None = None  # of the mouse pointer: node and tag
        self._view = None  # the slice node that is followed
        check_box.connect("toggled(bool)", self._on_toggled)
        if doubt_box is not None:
            doubt_box.connect("toggled(bool)", self._on_toggled)

    @property
    def running(self) -> bool:
        """Whether outlines are shown."""
        return self._preview.running

    def update(self, volume, model, device: str, labels: Sequence[Label] | None = None) -> None:
        """Set volume, model and device, also for a running preview; ``None`` if no volume or model is chosen.

        Args:
            labels: those to outline; by default all of the model.
        """
        ready = volume is not None and model is not None and not model.problem
        self._wanted = (volume, model, device, tuple(labels or model.labels)) if ready else None
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
        doubt = self._doubt_box is not None and self._doubt_box.checked
        if self._doubt_box is not None:
            self._doubt_box.enabled = self._check_box.checked
        wanted = (*self._wanted, doubt) if self._wanted and self._check_box.checked else None
        if wanted == self._running and self._preview.running == (wanted is not None):
            return
        self._running = wanted
        if wanted is None:
            self._preview.stop()
            self._watch_mouse(False)
            return
        volume, model, device, labels, doubt = wanted
        try:
            self._view = view_under_mouse() or first_view()
            self._preview.start(volume, model, self._view, device, labels, doubt=doubt)
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
        pointer = crosshair()
        if watch and pointer is not None:
            tag = pointer.AddObserver(slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent, self._on_mouse_moved)
            self._observation = pointer, tag

    def _on_mouse_moved(self, _crosshair, _event) -> None:
        view = view_under_mouse()
        if view is not None and view is not self._view:
            self._view = view
            self._preview.follow(view)

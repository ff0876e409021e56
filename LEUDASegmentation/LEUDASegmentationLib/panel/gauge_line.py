"""One line that says whether the chosen volume looks like those of the model's training, before anything is written."""

from __future__ import annotations

import html
import logging
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from leuda_core.bundle.store import ModelEntry
from leuda_core.errors import LeudaError
from LEUDASegmentationLib.scene.geometry import ijk_to_ras
from LEUDASegmentationLib.scene.steps import EventLoopWork
from LEUDASegmentationLib.scene.volume_files import content_stamp

if TYPE_CHECKING:
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic

logger = logging.getLogger(__name__)

_COLORS = {"like": "#2a9d4a", "unlike": "#d79100", "far": "#c82828"}


class GaugeLine:
    """A label with a coloured dot, hidden while nothing is known.

    The worker is asked only if it runs already, so that choosing a volume starts nothing. ``Apply`` asks it anyway.

    Args:
        logic: provides the worker and the copies of volumes.
    """

    def __init__(self, logic: LEUDASegmentationLogic) -> None:
        self._logic = logic
        self._asked: tuple[Any, ...] | None = None  # volume, its content and place, model, device
        self._copying: EventLoopWork | None = None
        self._copy: str | None = None
        self._request: int | None = None
        self.widget = qt.QLabel()
        self.widget.objectName = "gaugeLine"
        self.widget.wordWrap = True
        self.widget.hide()

    def update(self, volume, model: ModelEntry | None, device: str) -> None:
        """Ask about a volume and a model unless they were asked about last; ``None`` hides the line."""
        ready = volume is not None and volume.GetImageData() is not None and model is not None and not model.problem
        wanted = None
        if ready and model is not None:
            wanted = (volume, content_stamp(volume), ijk_to_ras(volume).tobytes(), model.name, model.checksum, device)
        if wanted == self._asked:
            return
        self.stop()
        if wanted is None or model is None or not self._logic.worker.is_running:
            return
        self._asked = wanted
        fields = dict(model=str(model.path), device=device, affine=ijk_to_ras(volume).tolist())
        self._copying = EventLoopWork(
            self._logic.volumeFiles.acquire(volume), lambda path: self._ask(path, fields), self._on_failure
        ).start()

    def stop(self) -> None:
        """Forget what was asked and hide the line. May be called at any time."""
        self._asked = None
        if self._copying is not None:
            self._copying.stop()
        request, self._request = self._request, None
        if request is not None:
            self._logic.worker.cancel(request)
        self._forget_copy()
        self.widget.hide()

    def _ask(self, path: str, fields: dict[str, Any]) -> None:
        self._copy = path
        self._request = self._logic.worker.request("gauge", self._on_reply, self._on_failure, volume=path, **fields)

    def _on_reply(self, reply: dict[str, Any]) -> None:
        if self._request is None:
            return  # something else was chosen meanwhile
        self._request = None
        self._forget_copy()
        found = reply.get("gauge")
        color = _COLORS.get(found.get("verdict")) if found else None
        if found and color:
            self.widget.text = f'<span style="color: {color}">●</span> {html.escape(str(found.get("text", "")))}'
            self.widget.toolTip = _("Distance from the volumes of the training: {distance}; about 1 is usual.").format(
                distance=found.get("distance")
            )
            self.widget.show()

    def _on_failure(self, error: LeudaError) -> None:
        logger.info("the volume was not compared with those of the training: %s", error)  # Apply tells it, too
        self._request = None
        self._forget_copy()

    def _forget_copy(self) -> None:
        copy, self._copy = self._copy, None
        if copy is not None:
            self._logic.volumeFiles.release(copy)

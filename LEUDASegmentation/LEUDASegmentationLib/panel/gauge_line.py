"""One line that says whether the chosen volume looks like those of the model's training, before anything is written."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable
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
        self._question: _Question | None = None
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
        self._question = _Question(self._logic, volume, fields, self._show)

    def stop(self) -> None:
        """Forget what was asked and hide the line. May be called at any time."""
        self._asked = None
        question, self._question = self._question, None
        if question is not None:
            question.close()
        self.widget.hide()

    def _show(self, reply: dict[str, Any]) -> None:
        found = reply.get("gauge")
        color = _COLORS.get(found.get("verdict")) if found else None
        if found and color:
            self.widget.text = f'<span style="color: {color}">●</span> {html.escape(str(found.get("text", "")))}'
            self.widget.toolTip = _("Distance from the volumes of the training: {distance}; about 1 is usual.").format(
                distance=found.get("distance")
            )
            self.widget.show()


class _Question:
    """One request. What arrives after ``close`` is ignored: an answer can cross its cancellation."""

    def __init__(
        self,
        logic: LEUDASegmentationLogic,
        volume: Any,
        fields: dict[str, Any],
        on_reply: Callable[[dict[str, Any]], None],
    ) -> None:
        self._logic, self._fields, self._on_reply = logic, fields, on_reply
        self._closed = False
        self._copy: str | None = None
        self._request: int | None = None
        self._copying = EventLoopWork(logic.volumeFiles.acquire(volume), self._ask, self._failed).start()

    def close(self) -> None:
        self._closed = True
        self._copying.stop()
        if self._request is not None and self._copy is not None:
            self._logic.worker.cancel(self._request)
        self._release()

    def _ask(self, path: str) -> None:
        self._copy = path
        self._request = self._logic.worker.request("gauge", self._answered, self._failed, volume=path, **self._fields)

    def _answered(self, reply: dict[str, Any]) -> None:
        self._release()
        if not self._closed:
            self._on_reply(reply)

    def _failed(self, error: LeudaError) -> None:
        self._release()
        if not self._closed:
            logger.info("the volume was not compared with those of the training: %s", error)  # Apply tells it, too

    def _release(self) -> None:
        copy, self._copy = self._copy, None
        if copy is not None:
            self._logic.volumeFiles.release(copy)

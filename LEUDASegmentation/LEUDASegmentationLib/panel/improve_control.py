"""Improving the chosen model: the slices to check next, and learning from those that were corrected."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from leuda_core.bundle.store import ModelEntry
from leuda_core.errors import Cancelled, LeudaError
from LEUDASegmentationLib.panel.result_panel import reference_volume
from LEUDASegmentationLib.parameter_node import is_alive
from LEUDASegmentationLib.processes import installation
from LEUDASegmentationLib.run.next_slice import known_doubt, next_slice
from LEUDASegmentationLib.run.results import DOUBT_ATTRIBUTE
from LEUDASegmentationLib.scene.slice_views import show_slice
from LEUDASegmentationLib.scene.steps import EventLoopWork, finish
from LEUDASegmentationLib.widgets.layout import column_in
from LEUDASegmentationLib.widgets.picture import Picture
from LEUDASegmentationLib.widgets.run_progress import RunProgress

logger = logging.getLogger(__name__)

_PICTURE_PX = 200


class ImproveControl:
    """A button with what it would learn from, and the progress.

    Args:
        logic: has ``improve`` and ``results``.
        on_message: called with the ``LeudaError`` of an improvement that failed, or with a text.
        on_improved: called with the new ``ModelEntry`` and the one that it was adapted from.
        on_state: called when an improvement starts or ends.
    """

    def __init__(
        self,
        logic,
        *,
        on_message: Callable[[LeudaError | str], None],
        on_improved: Callable[[ModelEntry, ModelEntry], None],
        on_state: Callable[[], None],
    ) -> None:
        self._logic, self._on_message = logic, on_message
        self._on_improved, self._on_state = on_improved, on_state
        self._model: ModelEntry | None = None
        self._device, self._blocked, self._slices = "auto", False, 0
        self._counting: EventLoopWork | None = None
        self._job: Any = None
        self.widget = qt.QWidget()
        self.widget.objectName = "improvePlace"
        layout = column_in(self.widget)
        row = qt.QHBoxLayout()
        self.facts = qt.QLabel()
        self.facts.objectName = "correctedFacts"
        self.facts.wordWrap = True
        self.facts.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)
        row.addWidget(self.facts, 1)
        self.button = qt.QPushButton(_("Improve Model"))
        self.button.objectName = "improveModelButton"
        self.button.connect("clicked()", self.improve)
        self.next_button = qt.QPushButton(_("Next Slice to Check"))
        self.next_button.objectName = "nextSliceButton"
        self.next_button.toolTip = _("Show the slice of this result in which the model was least certain")
        self.next_button.connect("clicked()", self.show_next)
        row.addWidget(self.next_button)
        row.addWidget(self.button)
        layout.addLayout(row)
        self.progress = RunProgress(self.cancel)
        self.progress.widget.objectName = "improveProgress"
        layout.addWidget(self.progress.widget)
        self.picture = Picture(_PICTURE_PX)
        self.picture.objectName = "improvePicture"
        self.picture.toolTip = _("What the new model outlines so far, in the middle of one of the volumes")
        self.picture.hide()
        layout.addWidget(self.picture)
        self._result: Any = None
        self._seen: set[int] = set()  # slices of this result that were shown
        self._seen_of: tuple[Any, str | None] = (None, None)
        self._show(0, 0)

    @property
    def running(self) -> bool:
        """Whether a model is being improved."""
        return self._job is not None

    def update(self, device: str, *, blocked: bool) -> None:
        """Take the chosen device, and whether something else runs that writes results."""
        self._device, self._blocked = device, blocked
        self._show_button()

    def refresh(self, model: ModelEntry | None) -> None:
        """Count the corrected slices of the results of a model again; they are shown when they are counted."""
        self._model = model
        self._stop_counting()
        if model is None or model.problem:
            self._show(0, 0)
            return
        self._counting = self._logic.results(
            model, wait=False, onDone=self._on_counted, onError=lambda _error: self._show(0, 0)
        )

    def show_result(self, segmentation) -> None:
        """Take another result, or ``None``, as the one whose slices are checked."""
        self._result = segmentation if is_alive(segmentation) else None
        if self._result is None:
            self._seen, self._seen_of = set(), (None, None)  # nothing keeps the node of a closed scene
        self.next_button.enabled = self._result is not None and known_doubt(self._result) is not None

    def show_next(self) -> None:
        """Show the slice that is worth checking next; each one once, unless the result is replaced."""
        volume = reference_volume(self._result)
        if volume is None:
            return
        of = (self._result, self._result.GetAttribute(DOUBT_ATTRIBUTE))
        if of != self._seen_of:
            self._seen, self._seen_of = set(), of
        try:
            found = finish(next_slice(self._result, volume, self._seen))
            if found is None:
                self._on_message(_("Every slice was shown or corrected."))
                self._seen.clear()
                return
            self._seen.add(found[1])
            show_slice(volume, *found)
        except LeudaError as error:
            self._on_message(error)

    def improve(self) -> None:
        """Improve the model."""
        model = self._model
        if self.running or self._blocked or model is None:
            return
        try:
            if not installation.ensure_installed(slicer.util.mainWindow()):
                return
            self._job = self._logic.improve(
                model,
                device=self._device,
                wait=False,
                onProgress=self._on_progress,
                onPreview=self._on_preview,
                onDone=lambda new: self._on_done(new, model),
                onError=self._on_error,
            )
        except LeudaError as error:
            self._on_message(error)
            return
        self.progress.start(_("Starting"))
        self._show_button()
        self._on_state()

    def cancel(self) -> None:
        """Cancel the improvement, which reports its own end, and stop counting."""
        self._stop_counting()
        if self._job is not None:
            self._job.cancel()

    def close(self) -> None:
        """Cancel everything and do not use widgets any more: they are about to be deleted."""
        self._stop_counting()
        job, self._job = self._job, None
        if job is not None:
            job.cancel()

    def _stop_counting(self) -> None:
        if self._counting is not None:
            self._counting.stop()
        self._counting = None

    def _on_counted(self, results) -> None:
        counts = [result.count for result in results if result.count]
        self._show(sum(counts), len(counts))

    def _show(self, slices: int, volumes: int) -> None:
        self._slices = slices
        if not slices:
            text = _("Correct slices of a result in the Segment Editor, and the model can learn from them.")
        elif volumes == 1:
            text = _("{slices} corrected in one volume.").format(slices=_slices(slices))
        else:
            text = _("{slices} corrected in {volumes} volumes.").format(slices=_slices(slices), volumes=volumes)
        self.facts.text = text
        self._show_button()

    def _show_button(self) -> None:
        self.button.enabled = bool(self._slices) and not self.running and not self._blocked
        self.button.toolTip = (
            _("Adapt the chosen model to the corrected slices, in a few minutes. The model itself stays in the list.")
            if self._slices
            else _("Nothing was corrected since the last Apply.")
        )

    def _on_progress(self, progress) -> None:
        if self._job is not None:
            self.progress.update(progress.text, progress.fraction, progress.secondsLeft)

    def _on_preview(self, path: Path) -> None:
        if self._job is not None:
            self.picture.visible = self.picture.load(path)

    def _on_done(self, new: ModelEntry, before: ModelEntry) -> None:
        if self._job is None:
            return
        self._end()
        self._on_improved(new, before)
        words = _("“{new}” is ready and in the list. Apply it, or choose “{old}” to compare.")
        self._on_message(words.format(new=new.name, old=before.name))

    def _on_error(self, error: LeudaError) -> None:
        if self._job is None:
            return
        self._end()
        self._on_message(_("Cancelled; the model is as it was.") if isinstance(error, Cancelled) else error)

    def _end(self) -> None:
        self._job = None
        self.progress.finish()
        self.picture.hide()
        self._show_button()
        self._on_state()


def _slices(count: int) -> str:
    return _("1 slice") if count == 1 else _("{count} slices").format(count=count)

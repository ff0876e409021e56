"""Runs the work that Apply starts, one job or a queue of jobs, and shows its progress and its outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from leuda_core.errors import Cancelled, LeudaError
from LEUDASegmentationLib.panel.corrections_question import ask_about_corrections
from LEUDASegmentationLib.panel.volume_list import VolumeList
from LEUDASegmentationLib.parameter_node import chosen_volumes, is_alive, wanted_segments
from LEUDASegmentationLib.processes import installation
from LEUDASegmentationLib.scene.corrections import found_nothing
from LEUDASegmentationLib.widgets.message_strip import MessageStrip
from LEUDASegmentationLib.widgets.run_progress import RunProgress


class ApplyControl:
    """Runs segmentations and shows their progress.

    Args:
        logic: has ``segment`` and ``segmentMany``.
        strip: shows messages.
        volumes: shows the state of each of several volumes.
        on_state: called without arguments when work starts and when it has ended.
        on_result: called with each segmentation node that was written.
    """

    def __init__(
        self,
        logic,
        strip: MessageStrip,
        volumes: VolumeList,
        *,
        on_state: Callable[[], None],
        on_result: Callable[[Any], None],
    ) -> None:
        self._logic, self._strip, self._volumes = logic, strip, volumes
        self._on_state, self._on_result = on_state, on_result
        self._work = None  # a SegmentationJob or a SegmentationQueue, both with ``cancel``
        self._asked: list[Any] = []  # the volumes of a queue
        self._labels: list[Any] = []  # what the work writes
        self._began = 0.0
        self._closed = False
        self.progress = RunProgress(self.cancel)

    @property
    def running(self) -> bool:
        """Whether a segmentation is running."""
        return self._work is not None

    def start(self, parameters, entry) -> None:
        """Segment the volumes of the parameters with a model; offers to install missing packages first."""
        self._strip.clear()
        try:
            if not installation.ensure_installed(slicer.util.mainWindow()):
                self._strip.show_warning(
                    _("Nothing was segmented: Python packages are missing"), _("press Apply again to install them")
                )
                return
            self._begin(parameters, entry)
        except LeudaError as error:
            self._on_error(error)

    def cancel(self) -> None:
        """Cancel the work; it reports its own end."""
        if self._work is not None:
            self._work.cancel()

    def close(self) -> None:
        """Cancel the work and do not use widgets any more: they are about to be deleted."""
        self._closed = True
        self.cancel()

    def _while_open(self, callback: Callable[..., None]) -> Callable[..., None]:
        return lambda *arguments: None if self._closed else callback(*arguments)

    def _begin(self, parameters, entry) -> None:
        self._began = time.monotonic()
        options = dict(
            segments=wanted_segments(parameters, entry),
            roiNode=parameters.roi if is_alive(parameters.roi) else None,
            device=parameters.device,
            largestComponent=parameters.largestComponent,
            probabilities=parameters.probabilities,
            showIn3D=parameters.showIn3D,
            smoothing=parameters.smoothing if parameters.showIn3D else None,
            wait=False,
            onProgress=self._while_open(self._on_progress),
        )
        self._labels = [label for label in entry.labels if label.name not in parameters.skippedSegments]
        self.progress.start(_("Starting"))
        if parameters.severalVolumes:
            self._begin_several(chosen_volumes(parameters), entry, options)
        else:
            self._begin_one(parameters, entry, options)
        self._on_state()

    def _begin_one(self, parameters, entry, options: dict[str, Any]) -> None:
        output = parameters.outputSegmentation if is_alive(parameters.outputSegmentation) else None
        if output is not None and not parameters.askedAboutCorrections:
            self._ask_about_corrections(parameters, self._logic.correctedSlices(output, entry, options["segments"]))
        options["keepCorrections"] = parameters.keepCorrections
        done, error = self._while_open(self._on_done), self._while_open(self._on_error)
        self._work = self._logic.segment(parameters.inputVolume, entry, output, onDone=done, onError=error, **options)

    def _ask_about_corrections(self, parameters, count: int) -> None:
        """Ask once, when there are any, whether corrected slices are kept; Options has the answer.

        Raises:
            Cancelled: nothing is to be done.
        """
        if not count:
            return
        keeps = ask_about_corrections(parameters.outputSegmentation.GetName(), count)
        if keeps is None:
            raise Cancelled()
        with slicer.util.NodeModify(parameters):
            parameters.keepCorrections, parameters.askedAboutCorrections = keeps, True

    def _begin_several(self, volumes, entry, options: dict[str, Any]) -> None:
        self._asked = list(volumes)
        self._volumes.forget_states()
        for volume in volumes:
            self._volumes.set_state(volume, _("waiting"))
        one, done = self._while_open(self._on_volume_done), self._while_open(self._on_all_done)
        self._work = self._logic.segmentMany(volumes, entry, onVolumeDone=one, onDone=done, **options)

    def _on_progress(self, progress) -> None:
        self.progress.update(progress.text, progress.fraction, progress.secondsLeft)

    def _on_done(self, segmentation) -> None:
        notes = list(getattr(self._work, "notes", []))
        self._end()
        self._on_result(segmentation)
        if found_nothing(segmentation.GetSegmentation(), self._labels):
            self._strip.show_warning(_("The model found nothing in this volume"), "; ".join([_where_to_look(), *notes]))
            return
        self._say_done(_("“{name}” is ready").format(name=segmentation.GetName()), notes)

    def _on_error(self, error: LeudaError) -> None:
        self._end()
        if isinstance(error, Cancelled):
            self._strip.show_info(_("Cancelled; nothing was written"))
        else:
            self._strip.show_error(error)

    def _on_volume_done(self, volume, segmentation, error: LeudaError | None) -> None:
        if is_alive(volume):
            empty = segmentation is not None and found_nothing(segmentation.GetSegmentation(), self._labels)
            state, why = (_("nothing found"), _where_to_look()) if empty else (_state(error), str(error or ""))
            self._volumes.set_state(volume, state, why)
        if segmentation is not None:
            self._on_result(segmentation)

    def _on_all_done(self, results) -> None:
        self._end()
        for volume in self._asked[len(results) :]:  # volumes that a cancelled queue did not reach
            self._on_volume_done(volume, None, Cancelled())
        failures = [(volume, error) for volume, _node, error in results if error is not None]
        told = [(volume, error) for volume, error in failures if not isinstance(error, Cancelled)]
        count, done = len(self._asked), len(results) - len(failures)
        summary = _("{done} of {count} volumes were segmented").format(done=done, count=count)
        if told:
            volume, error = told[0]
            words = _("{summary}. “{name}”: {cause}")
            self._strip.show_warning(
                words.format(summary=summary, name=volume.GetName(), cause=error.message), error.remedy
            )
        elif done < count:
            self._strip.show_info(_("Cancelled; {summary}").format(summary=summary))
        else:
            self._say_done(summary, [])

    def _say_done(self, text: str, notes: list[str]) -> None:
        seconds = time.monotonic() - self._began
        text = _("{text} after {seconds:.1f} s").format(text=text, seconds=seconds)
        if notes:
            self._strip.show_warning(text, "; ".join(notes))
        else:
            self._strip.show_info(text, _("Check every slice before you use the result"))

    def _end(self) -> None:
        self._work = None
        self.progress.finish()
        self._on_state()


def _state(error: LeudaError | None) -> str:
    if error is None:
        return _("done")
    return _("cancelled") if isinstance(error, Cancelled) else _("failed")


def _where_to_look() -> str:
    return _(
        "check that it is of the modality of the model and shows this part of the body, and that the ROI contains it"
    )

"""One segmentation, from the volume node to the segmentation node, in small steps.

The work is a generator: it yields its progress, or a request for the worker, whose result is sent back into it. In the
background, the event loop runs between any two steps, so that the window keeps responding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import qt
from slicer.i18n import tr as _

from leuda_core.errors import Cancelled, InputError, LeudaError, as_leuda_error
from LEUDASegmentationLib.processes.worker_client import WorkerClient
from LEUDASegmentationLib.run import probabilities, results
from LEUDASegmentationLib.run.next_slice import doubt_text
from LEUDASegmentationLib.run.order import Order
from LEUDASegmentationLib.run.progress import Progress, fraction_of_job
from LEUDASegmentationLib.run.surfaces import make_surfaces
from LEUDASegmentationLib.scene import corrections, layers
from LEUDASegmentationLib.scene.geometry import ijk_to_ras, same_affine
from LEUDASegmentationLib.scene.scene_watch import SceneWatch
from LEUDASegmentationLib.scene.steps import is_running
from LEUDASegmentationLib.scene.volume_files import VolumeFiles, changed_meanwhile, content_stamp

logger = logging.getLogger(__name__)

_FOREVER_S = 7 * 24 * 3600.0


@dataclass(frozen=True)
class _Call:
    """A request to send to the worker; its result is then sent back into the work."""

    name: str
    fields: dict[str, Any]


class SegmentationJob:
    """Segments one volume.

    Attributes:
        running: whether it was started and has not ended.
        outputSegmentation: the segmentation node when the job is done; before that, the given output or None.
        error: the LeudaError that ended it, or None.
        notes: what the user should know, such as a fallback to the CPU.
    """

    def __init__(
        self,
        order: Order,
        worker: WorkerClient,
        files: VolumeFiles,
        *,
        onRecord: Callable[[results.RunRecord], None],
        onProgress: Callable[[Progress], None] | None = None,
        onDone: Callable[[Any], None] | None = None,
        onError: Callable[[LeudaError], None] | None = None,
    ) -> None:
        self._order, self._worker, self._files = order, worker, files
        self._on_record, self._on_progress, self._on_done, self._on_error = onRecord, onProgress, onDone, onError
        self._stamp = content_stamp(order.volume_node)
        self._affine = ijk_to_ras(order.volume_node)
        self._work = self._segment()
        self._request_id: int | None = None
        self._watch: SceneWatch | None = None
        self._blocking = False
        self._fraction = 0.0
        self._doubt: str | None = None  # what the worker said about single slices
        self._written: Any | None = None  # the segmentation, while its surfaces are created
        self.running = False
        self.outputSegmentation = order.output
        self.error: LeudaError | None = None
        self.notes: list[str] = []

    def start(self) -> None:
        """Start; the work continues in the event loop."""
        self.running = True
        self._watch = SceneWatch(self._order.volume_node.GetScene(), self._on_node_removed, self._on_scene_closing)
        self._go_on()

    def run(self) -> Any:
        """Do all of the work and return the segmentation node. Slicer keeps processing events meanwhile.

        Raises:
            LeudaError: the segmentation failed.
        """
        self._blocking = True
        self.start()
        while self.running:
            if self._request_id is None:
                self._advance(partial(next, self._work))
            else:
                with suppress(LeudaError):  # also reported through the callbacks
                    self._worker.wait(self._request_id, _FOREVER_S)
        if self.error is not None:
            raise self.error
        return self.outputSegmentation

    def cancel(self) -> None:
        """Cancel the job; ``onError`` gets ``Cancelled`` within a second, and nothing is written.

        A job that is already creating surfaces ends successfully, without them.
        """
        if self.running and self._request_id is not None:
            self._worker.cancel(self._request_id)
        elif self.running and self._written is not None:
            self._finish(self._written)
        else:
            self._fail(Cancelled())

    def _segment(self) -> Generator[Any, Any, Any]:
        """Do the work: yield (stage, fraction done) and ``_Call``, return the segmentation node."""
        order = self._order
        paths = [self._worker.new_path("labels.npy"), self._worker.new_path("probabilities.npy")]
        try:
            volume = yield from _staged("copy", self._files.acquire(order.volume_node))
            try:
                reply = yield _Call("segment", order.request(volume, *paths))
            finally:
                self._files.release(volume)
            self.notes = list(reply.get("notes", []))
            self._doubt = doubt_text(reply.get("doubt"))
            return (yield from self._write(*paths))
        finally:
            for path in paths:
                self._worker.discard(path)

    def _write(self, labels_path: str, probabilities_path: str) -> Generator[Any, Any, Any]:
        order, images, copies = self._order, [], layers.LayerCopies()
        values = [label.value for label in order.labels]
        layer = yield from _staged("result", layers.read_layer(labels_path, self._affine, values, order.roi))
        stamps = {}
        for value in values:
            stamps[value] = corrections.as_tag((yield from _staged("result", corrections.stamps_of(layer, value))))
        if order.output is not None and order.keep_corrections:
            layer = yield from self._with_corrections(layer, order.output)
        if order.options.probabilities:
            channels = [order.model.labels.index(label) + 1 for label in order.labels]  # 0 is the background
            reading = probabilities.read_probabilities(probabilities_path, channels, order.roi)
            images = yield from _staged("result", reading)
        if order.output is not None:
            yield from _staged("result", copies.for_put(order.output.GetSegmentation(), order.labels))
        self._check_unchanged()
        record = results.write_run(
            order.volume_node, order.model.name, layer, order.labels, order.output, copies, stamps, self._doubt
        )
        self._on_record(record)
        if images:
            probabilities.write_probabilities(record, order.volume_node, order.labels, images)
        if order.show_in_3d or record.had_surfaces:
            self._written = record.node
            yield from _staged("surfaces", make_surfaces(record.node, order.smoothing))
        return record.node

    def _with_corrections(self, layer: Any, output: Any) -> Generator[Any, Any, Any]:
        """Put slices of the output that were drawn on in place of those of the result."""
        segmentation, labels = output.GetSegmentation(), self._order.labels
        drawn = yield from _staged("result", corrections.drawn_slices(segmentation, labels))
        if not drawn:
            return layer
        merging = corrections.with_drawn_slices(layer, segmentation, labels, drawn, self._affine)
        layer, count = yield from _staged("result", merging)
        kept = _("1 corrected slice was kept") if count == 1 else _("{count} corrected slices were kept")
        self.notes.append(kept.format(count=count))
        return layer

    def _check_unchanged(self) -> None:
        volume = self._order.volume_node
        if content_stamp(volume) != self._stamp or not same_affine(ijk_to_ras(volume), self._affine):
            raise changed_meanwhile(volume)

    def _go_on(self) -> None:
        if not self._blocking:
            qt.QTimer.singleShot(0, lambda: self._advance(partial(next, self._work)))

    def _advance(self, resume: Callable[[], Any]) -> None:
        """Run the work to its next ``yield``."""
        if not self.running:
            return
        try:
            step = resume()
        except StopIteration as end:
            self._finish(end.value)
        except Exception as error:
            if not isinstance(error, LeudaError):
                logger.exception("segmentation failed")
            self._fail(as_leuda_error(error, _("report the problem and attach the log")))
        else:
            self._take(step)

    def _take(self, step: Any) -> None:
        if isinstance(step, _Call):
            self._request_id = self._worker.request(
                step.name, self._on_reply, self._on_failure, self._on_worker_progress, **step.fields
            )
        else:
            self._report(*step)
            self._go_on()

    def _on_reply(self, reply: dict[str, Any]) -> None:
        self._request_id = None
        self._advance(partial(self._work.send, reply))

    def _on_failure(self, error: LeudaError) -> None:
        self._request_id = None
        self._advance(partial(self._work.throw, error))

    def _on_worker_progress(self, event: dict[str, Any]) -> None:
        part = event["done"] / event["total"] if event.get("total") else 0.0
        self._report(event["stage"], part, event.get("seconds_left"))

    def _report(self, stage: str, part: float, seconds_left: float | None = None) -> None:
        self._fraction = max(self._fraction, fraction_of_job(stage, part))
        if self.running and self._on_progress is not None:
            self._on_progress(Progress(stage, self._fraction, seconds_left))

    def _on_node_removed(self, node: Any) -> None:
        if self._written is not None and node is not self._written:
            return
        if node is self._order.volume_node:
            self._abandon(_("“{name}” was deleted while it was being segmented"), node)
        elif node in (self._order.output, self._written):
            self._abandon(_("“{name}” was deleted while its segments were being created"), node)

    def _abandon(self, message: str, node: Any) -> None:
        self._fail(InputError(message.format(name=node.GetName()), _("load it again to segment it")))

    def _on_scene_closing(self) -> None:
        self._fail(InputError(_("the scene was closed while a volume was being segmented"), _("segment it again")))

    def _finish(self, node: Any) -> None:
        self.outputSegmentation = node
        self._end()
        if self._on_progress is not None:
            self._on_progress(Progress("result", 1.0))
        if self._on_done is not None:
            self._on_done(node)

    def _fail(self, error: LeudaError) -> None:
        if not self.running or is_running(self._work):  # too late while the result is being written
            return
        self.error = error
        self._end()
        if self._on_error is not None:
            self._on_error(error)

    def _end(self) -> None:
        self.running = False
        if self._watch is not None:
            self._watch.stop()
        self._work.close()
        if self._request_id is not None:
            self._worker.cancel(self._request_id)
            self._request_id = None


def _staged(stage: str, steps: Generator[float, None, Any]) -> Generator[tuple[str, float], None, Any]:
    """Add the name of the stage to each step; return the result of the steps."""
    try:
        while True:
            yield stage, next(steps)
    except StopIteration as end:
        return end.value
    finally:
        steps.close()

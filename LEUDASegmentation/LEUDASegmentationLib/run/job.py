"""One segmentation, from the volume node to the segmentation node, in small steps."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from slicer.i18n import tr as _

from LEUDASegmentationLib.processes.worker_client import WorkerClient
from LEUDASegmentationLib.run import probabilities, results
from LEUDASegmentationLib.run.next_slice import doubt_text
from LEUDASegmentationLib.run.order import Order
from LEUDASegmentationLib.run.surfaces import make_surfaces
from LEUDASegmentationLib.run.worker_job import Call, WorkerJob, staged
from LEUDASegmentationLib.scene import corrections, layers
from LEUDASegmentationLib.scene.volume_files import VolumeFiles


class SegmentationJob(WorkerJob):
    """Segments one volume. Its result is the segmentation node.

    Args:
        onRecord: called with what the run changed. callbacks: of ``WorkerJob``.
    """

    def __init__(
        self,
        order: Order,
        worker: WorkerClient,
        files: VolumeFiles,
        *,
        onRecord: Callable[[results.RunRecord], None],
        **callbacks: Any,
    ) -> None:
        self._order, self._on_record = order, onRecord
        self._doubt: str | None = None  # what the worker said about single slices
        self._written: Any | None = None  # the segmentation, while its surfaces are created
        super().__init__(order.volume_node, worker, files, **callbacks)

    @property
    def outputSegmentation(self) -> Any | None:
        """The segmentation node when the job is done; before that, the given output or None."""
        return self._result or self._order.output

    def cancel(self) -> None:
        """Cancel the job; one that is already creating surfaces ends successfully, without them."""
        if self.running and self._request_id is None and self._written is not None:
            self._finish(self._written)
        else:
            super().cancel()

    def _steps(self) -> Generator[Any, Any, Any]:
        order = self._order
        paths = [self._worker.new_path("labels.npy"), self._worker.new_path("probabilities.npy")]
        try:
            volume = yield from staged("copy", self._files.acquire(order.volume_node))
            try:
                reply = yield Call("segment", order.request(volume, *paths))
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
        layer = yield from staged("result", layers.read_layer(labels_path, self._affine, values, order.roi))
        stamps = {}
        for value in values:
            stamps[value] = corrections.as_tag((yield from staged("result", corrections.stamps_of(layer, value))))
        if order.output is not None and order.keep_corrections:
            layer = yield from self._with_corrections(layer, order.output)
        if order.options.probabilities:
            channels = [order.model.labels.index(label) + 1 for label in order.labels]  # 0 is the background
            reading = probabilities.read_probabilities(probabilities_path, channels, order.roi)
            images = yield from staged("result", reading)
        if order.output is not None:
            yield from staged("result", copies.for_put(order.output.GetSegmentation(), order.labels))
        self._check_unchanged()
        record = results.write_run(
            order.volume_node, order.model.name, layer, order.labels, order.output, copies, stamps, self._doubt
        )
        self._on_record(record)
        if images:
            probabilities.write_probabilities(record, order.volume_node, order.labels, images)
        if order.show_in_3d or record.had_surfaces:
            self._written = record.node
            yield from staged("surfaces", make_surfaces(record.node, order.smoothing))
        return record.node

    def _with_corrections(self, layer: Any, output: Any) -> Generator[Any, Any, Any]:
        """Put slices of the output that were drawn on in place of those of the result."""
        segmentation, labels = output.GetSegmentation(), self._order.labels
        drawn = yield from staged("result", corrections.drawn_slices(segmentation, labels))
        if not drawn:
            return layer
        merging = corrections.with_drawn_slices(layer, segmentation, labels, drawn, self._affine)
        layer, count = yield from staged("result", merging)
        kept = _("1 corrected slice was kept") if count == 1 else _("{count} corrected slices were kept")
        self.notes.append(kept.format(count=count))
        return layer

    def _on_node_removed(self, node: Any) -> None:
        if self._written is not None and node is not self._written:
            return
        super()._on_node_removed(node)
        if node in (self._order.output, self._written):
            self._abandon(_("“{name}” was deleted while its segments were being created"), node)

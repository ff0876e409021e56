"""Several segmentations, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import qt

from leuda_core.errors import LeudaError
from LEUDASegmentationLib.run.job import SegmentationJob
from LEUDASegmentationLib.run.progress import Progress


class SegmentationQueue:
    """Segments volumes one after another; a volume that fails does not stop the others.

    Attributes:
        running: whether it was started and has not ended.
        results: ``(volume, segmentation or None, error or None)`` of each volume that is done.
    """

    def __init__(
        self,
        volume_nodes: Sequence[Any],
        make_job: Callable[..., SegmentationJob],
        *,
        onProgress: Callable[[Progress], None] | None = None,
        onVolumeDone: Callable[[Any, Any | None, LeudaError | None], None] | None = None,
        onDone: Callable[[list[Any]], None] | None = None,
    ) -> None:
        self._volumes = list(volume_nodes)
        self._make_job = make_job
        self._on_progress, self._on_volume_done, self._on_done = onProgress, onVolumeDone, onDone
        self._job: SegmentationJob | None = None
        self._cancelled = False
        self.running = False
        self.results: list[tuple[Any, Any | None, LeudaError | None]] = []

    def start(self) -> None:
        """Start; the work continues in the event loop."""
        self.running = True
        qt.QTimer.singleShot(0, self._start_next)

    def run(self) -> list[tuple[Any, Any | None, LeudaError | None]]:
        """Do all of the work and return ``results``. Slicer keeps processing events meanwhile."""
        self.running = True
        while self._volumes_left():
            segmentation, error = None, None
            try:
                self._job = self._make_job(self._volume(), onProgress=self._report)
                segmentation = self._job.run()
            except LeudaError as failure:
                error = failure
            self._keep(segmentation, error)
        self._finish()
        return self.results

    def cancel(self) -> None:
        """Cancel the current volume within a second, and start no other."""
        self._cancelled = True
        if self._job is not None:
            self._job.cancel()

    def _start_next(self) -> None:
        if not self._volumes_left():
            self._finish()
            return
        try:
            self._job = self._make_job(
                self._volume(),
                onProgress=self._report,
                onDone=lambda segmentation: self._go_on(segmentation, None),
                onError=lambda error: self._go_on(None, error),
            )
            self._job.start()
        except LeudaError as error:
            self._go_on(None, error)

    def _go_on(self, segmentation: Any | None, error: LeudaError | None) -> None:
        self._keep(segmentation, error)
        qt.QTimer.singleShot(0, self._start_next)

    def _volumes_left(self) -> bool:
        return not self._cancelled and len(self.results) < len(self._volumes)

    def _volume(self) -> Any:
        return self._volumes[len(self.results)]

    def _keep(self, segmentation: Any | None, error: LeudaError | None) -> None:
        volume = self._volume()
        self.results.append((volume, segmentation, error))
        if self._on_volume_done is not None:
            self._on_volume_done(volume, segmentation, error)

    def _report(self, progress: Progress) -> None:
        if self._on_progress is not None:
            index, count = len(self.results), len(self._volumes)
            fraction = (index + progress.fraction) / count
            self._on_progress(replace(progress, fraction=fraction, volume=index, nVolumes=count))

    def _finish(self) -> None:
        self.running = False
        if self._on_done is not None:
            self._on_done(self.results)

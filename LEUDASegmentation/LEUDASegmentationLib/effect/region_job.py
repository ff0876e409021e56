"""Segmenting a part of a volume, for the Segment Editor."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from leuda_core.bundle.store import ModelEntry
from LEUDASegmentationLib.effect.region import Region, read_answer, whole_volume
from LEUDASegmentationLib.processes.worker_client import WorkerClient
from LEUDASegmentationLib.run.worker_job import Call, WorkerJob, staged
from LEUDASegmentationLib.scene.geometry import ijk_to_ras
from LEUDASegmentationLib.scene.volume_files import VolumeFiles


class RegionJob(WorkerJob):
    """Segments a region of a volume. Its result is that of ``region.read_answer``.

    Args:
        callbacks: of ``WorkerJob``.
    """

    def __init__(
        self,
        volume_node: Any,
        model: ModelEntry,
        region: Region,
        worker: WorkerClient,
        files: VolumeFiles,
        **callbacks: Any,
    ) -> None:
        self._model, self._region = model, region
        super().__init__(volume_node, worker, files, **callbacks)

    def _steps(self) -> Generator[Any, Any, Any]:
        path = self._worker.new_path("labels.npy")
        try:
            volume = yield from staged("copy", self._files.acquire(self._volume))
            try:
                reply = yield Call("segment", self._fields(volume, path))
            finally:
                self._files.release(volume)
            self.notes = list(reply.get("notes", []))
            values = [label.value for label in self._model.labels]
            answer = yield from staged("result", read_answer(path, self._region, self._affine, values))
            self._check_unchanged()
            return answer
        finally:
            self._worker.discard(path)

    def _fields(self, volume: str, output: str) -> dict[str, Any]:
        return dict(
            model=str(self._model.path),
            device="auto",
            volume=volume,
            affine=ijk_to_ras(self._volume).tolist(),
            output=output,
            box=None if self._region == whole_volume(self._volume) else [list(ends) for ends in self._region.box],
            doubt=False,
            probabilities=None,
            largest_component=False,
        )

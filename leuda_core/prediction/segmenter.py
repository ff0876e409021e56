"""A loaded predictor that segments volumes."""

from __future__ import annotations

import time

from leuda_core.data.components import keep_largest_components
from leuda_core.data.intensities import intensity_range
from leuda_core.devices import explained_memory
from leuda_core.errors import Cancelled
from leuda_core.prediction.anatomy import implausible
from leuda_core.prediction.job import FirstLook, SliceJob
from leuda_core.prediction.location import box_of_structures
from leuda_core.prediction.runner import OnProgress, ShouldStop, SliceRunner, cores
from leuda_core.types import NOWHERE, Box, LabelMap, Prediction, SegmentOptions, Volume

_DEFAULTS = SegmentOptions()


class SliceSegmenter(SliceRunner):
    """A predictor on a device, for any number of volumes, one at a time.

    If a volume does not fit into memory, the segmenter uses smaller batches, then the CPU, for this volume and the
    following ones; ``notes`` reports this.

    Args:
        predictor: maps ``(B, C, H, W)`` in [-1, 1], slices with their neighbours, to logits ``(B, n_classes, H, W)``;
            a copy is used.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:K``, ``xpu``, ``xpu:K`` or ``mps``.
        batch_size: slices per batch; 0 chooses it for the device and the size of the slices.
        workers: batches in parallel; 0 means one per CPU core, and two on a GPU (one computes, one prepares).
        precision: ``auto`` uses bfloat16 if the hardware supports it, and float16 on older GPUs of NVIDIA if the model
            does not overflow: faster, and few labels change.
    """

    @explained_memory("to segment the volume")
    def __call__(
        self,
        volume: Volume,
        options: SegmentOptions = _DEFAULTS,
        *,
        doubt: bool = False,
        box: Box | None = None,
        where: Box | None = None,
        intensities: tuple[float, float] | None = None,
        in_one_piece: bool = False,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Prediction:
        """Segment a volume; ``on_progress(stage, done, total)`` and ``should_stop()`` are called in this thread.

        Args:
            doubt: also return ``Prediction.doubt``.
            box: segment only this part; slices outside are not computed, voxels outside are 0.
            where: what ``locate`` returned for the volume, or for the larger volume that contains it; ``None`` asks it.
            intensities: the ``intensity_range`` of the volume, or of the larger volume that contains it; ``None``
                computes it.
            in_one_piece: on a CPU, all cores work inside the network, so that a single slice is done sooner. Sums have
                another order then, which may change the label of an undecided pixel.

        Raises:
            Cancelled: ``should_stop`` returned true; raised as soon as the slices in progress are done.
            InputError: the volume contains NaN voxels, or too many infinite ones.
            MemoryShortage: not even one slice fits into memory.
        """
        on_progress, should_stop, seconds = on_progress or _ignore, should_stop or _never, {}
        if where is None and self.task.zoom > 1:
            start = time.perf_counter()
            intensities = intensities or intensity_range(volume.data, self.task.normalization)  # for both looks
            where = self.locate(volume, intensities=intensities, on_progress=on_progress, should_stop=should_stop)
            seconds["locate"] = time.perf_counter() - start
        start = time.perf_counter()
        job = SliceJob(
            volume,
            self.task.closer,
            probabilities=options.probabilities,
            doubt=doubt,
            box=box,
            within=where,
            intensities=intensities,
        )
        self._threads = cores() if in_one_piece else 1
        self._run(job, on_progress, should_stop)
        seconds["segment"] = time.perf_counter() - start
        if options.largest_component:
            start = time.perf_counter()
            self._keep_largest(job, on_progress, should_stop)
            seconds["largest_component"] = time.perf_counter() - start
        label_map = LabelMap(job.label_map, volume.affine, self.task.labels)
        if doubt and where == NOWHERE:  # the second look sees nothing; the first one knows how unsure it is
            first = FirstLook(volume, self.task, doubt=True, intensities=intensities)
            self._run(first, _ignore, should_stop)
            job.doubt = first.doubt
        notes = (*self.notes, *job.notes)
        if box is None:  # a part of a volume shows parts of structures
            notes = (*notes, *self._remarks(label_map, should_stop))
        return Prediction(label_map, job.probabilities, job.doubt, str(self.device), notes, seconds)

    def _remarks(self, label_map: LabelMap, should_stop: ShouldStop) -> list[str]:
        """Return what is implausible about a result; nothing if memory does not suffice to look."""

        def check() -> None:
            if should_stop():
                raise Cancelled()

        try:
            return list(implausible(label_map, self.task.anatomy, check))
        except MemoryError:
            return []

    @explained_memory("to segment the volume")
    def locate(
        self,
        volume: Volume,
        *,
        intensities: tuple[float, float] | None = None,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Box | None:
        """Return where a volume shows the structures, for the second look; ``None`` without one.

        ``NOWHERE`` if there is none of them. Arguments, progress (of the stage ``locate``) and errors are those of a
        call.
        """
        if self.task.zoom == 1:
            return None
        job = FirstLook(volume, self.task, intensities=intensities)
        self._threads = 1
        self._run(job, on_progress or _ignore, should_stop or _never)
        return box_of_structures(job.found, job.plan, self.task.patch_size * self.task.closer.spacing_mm)

    def _keep_largest(self, job: SliceJob, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        def between(done: int, total: int) -> None:
            if should_stop():
                raise Cancelled
            on_progress("components", done, total)

        keep_largest_components(job.label_map, [label.value for label in self.task.labels], between)


def _ignore(stage: str, done: int, total: int) -> None:
    pass


def _never() -> bool:
    return False

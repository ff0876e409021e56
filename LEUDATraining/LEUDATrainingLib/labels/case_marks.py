"""The marks of each case, counted in its segmentation and cached until something changes.

Small segmentations are counted on request; large ones piece by piece in the event loop, one case after another. Until
a new count is complete, the previous one remains valid.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from leuda_core.errors import LeudaError
from LEUDASegmentationLib.scene.geometry import parent_matrix, volume_shape, world_affine
from LEUDASegmentationLib.scene.layers import BINARY
from LEUDASegmentationLib.scene.steps import EventLoopWork, finish
from LEUDATrainingLib.cases.cases import Case, CaseStore
from LEUDATrainingLib.cases.structures import Structure, segments
from LEUDATrainingLib.labels.geometry import slice_axis_of
from LEUDATrainingLib.labels.label_layers import LabelReader
from LEUDATrainingLib.labels.marks import Marks, make_marks

AT_ONCE_BYTES = 2**19
"""Up to this size labels are counted on request, which takes less than a millisecond."""


class _Stamp(NamedTuple):
    """The input of a count: ``place`` identifies voxels and structures, ``times`` are when they last changed."""

    place: tuple[Any, ...]
    times: tuple[int, ...]


class _Count(NamedTuple):
    """What was counted in a case, as in ``LabelReader``."""

    by_structure: dict[int, tuple[int, ...]]
    repeated: tuple[str, ...]
    overlaps: dict[tuple[int, int], int]


class CaseMarks:
    """Counts which slices of a case contain which structure, again only after a change.

    Args:
        on_counted: called when a count that was not available on request is complete.
    """

    def __init__(self, on_counted: Callable[[], None] = lambda: None) -> None:
        self._on_counted = on_counted
        self._structures: tuple[Structure, ...] = ()
        self._counts: dict[str, tuple[_Stamp, _Count]] = {}
        self._queue: dict[str, tuple[_Stamp, Generator[None, None, _Count]]] = {}
        self._later: list[Callable[[], None]] = []
        self._work: EventLoopWork | None = None

    def use(self, structures: Sequence[Structure]) -> None:
        """Set the structures to count."""
        self._structures = tuple(structures)

    def of(self, store: CaseStore, case: Case) -> Marks | None:
        """Return the marks of a case as last counted.

        ``None`` for a file, for a missing volume, if nothing can be counted, and before the first count.
        """
        volume, segmentation = store.volume(case), store.segmentation(case)
        if volume is None or segmentation is None or 0 in volume_shape(volume):
            return None
        try:
            stamp = self._stamp(volume, segmentation)
            if stamp != self._latest_stamp(case.key):
                self._count(case.key, stamp, LabelReader(segmentation, volume, self._structures), slice_axis_of(volume))
        except LeudaError:
            return None  # a non-linear transform, which the list of cases shows
        known = self._counts.get(case.key)
        if known is None or known[0].place != stamp.place:
            return None
        by_structure, repeated, overlaps = known[1]
        marks = make_marks(volume_shape(volume)[slice_axis_of(volume)], case.labelled, by_structure)
        return replace(marks, repeated=repeated, overlaps=overlaps)

    def is_counting(self, case: Case) -> bool:
        """Return whether the case is being counted or waits for it."""
        return case.key in self._queue

    def when_counted(self, store: CaseStore, case: Case, action: Callable[[], None]) -> None:
        """Run an action that needs the current marks of a case: now, or as soon as they are counted."""
        self.of(store, case)
        if self.is_counting(case):
            self._later.append(action)
        else:
            action()

    def forget(self) -> None:
        """Stop counting and clear all counts; called when the scene closes and when Slicer quits."""
        if self._work is not None:
            self._work.stop()
        self._counts, self._queue, self._later = {}, {}, []

    def _latest_stamp(self, key: str) -> _Stamp | None:
        """Return the stamp of the count in progress, or else of the last complete count."""
        return (self._queue.get(key) or self._counts.get(key) or (None,))[0]

    def _count(self, key: str, stamp: _Stamp, reader: LabelReader, axis: int) -> None:
        counting = _counting(reader, axis)
        if reader.cost <= AT_ONCE_BYTES:
            self._queue.pop(key, None)
            self._counts[key] = stamp, finish(counting)
            return
        self._queue[key] = stamp, counting  # replaces an outdated count in progress
        if self._work is None or not self._work.running:
            self._work = EventLoopWork(self._count_queue(), on_done=self._on_all_counted).start()

    def _count_queue(self) -> Generator[None, None, None]:
        """Count all cases of the queue, including those that are added meanwhile."""
        while self._queue:
            key, (stamp, counting) = next(iter(self._queue.items()))
            try:
                next(counting)
            except StopIteration as end:
                del self._queue[key]
                self._counts[key] = stamp, end.value
                self._on_counted()
            yield

    def _on_all_counted(self, _nothing: Any) -> None:
        later, self._later = self._later, []
        for action in later:
            action()

    def _stamp(self, volume: Any, segmentation: Any) -> _Stamp:
        place = (
            volume.GetID(),
            world_affine(volume).tobytes(),
            volume_shape(volume),
            segmentation.GetID(),
            parent_matrix(segmentation).tobytes(),
            tuple((structure.value, structure.name) for structure in self._structures),
        )
        return _Stamp(place, (segmentation.GetSegmentation().GetMTime(), _label_time(segmentation)))


def _counting(reader: LabelReader, axis: int) -> Generator[None, None, _Count]:
    by_structure = yield from reader.count_slices(axis)
    return _Count(by_structure, reader.repeated, dict(reader.overlaps))


def _label_time(segmentation: Any) -> int:
    """Return when labels were last drawn: the time of the segmentation does not change with the voxels."""
    label_maps = [segment.GetRepresentation(BINARY) for _id, segment in segments(segmentation)]
    return max((label_map.GetMTime() for label_map in label_maps if label_map), default=0)

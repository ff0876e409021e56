"""The marks of each case, counted in its segmentation and kept until something changes.

What is small is counted when it is asked for; what is large a piece a turn of the event loop, one case after the
other. Until then the count from before the change stands.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
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
"""What is counted when it is asked for; it takes less than a millisecond."""


class _Stamp(NamedTuple):
    """What a count was made of: ``place`` says of which voxels and structures, ``times`` when they last changed."""

    place: tuple[Any, ...]
    times: tuple[int, ...]


class CaseMarks:
    """Answers which slices of a case hold which structure, counting again only after a change.

    Args:
        on_counted: called when a count is there that was not when it was asked for.
    """

    def __init__(self, on_counted: Callable[[], None] = lambda: None) -> None:
        self._on_counted = on_counted
        self._structures: tuple[Structure, ...] = ()
        self._counts: dict[str, tuple[_Stamp, dict[int, tuple[int, ...]]]] = {}
        self._queue: dict[str, tuple[_Stamp, Generator[None, None, dict[int, tuple[int, ...]]]]] = {}
        self._later: list[Callable[[], None]] = []
        self._work: EventLoopWork | None = None

    def use(self, structures: Sequence[Structure]) -> None:
        """Count these structures from now on."""
        self._structures = tuple(structures)

    def of(self, store: CaseStore, case: Case) -> Marks | None:
        """Return a case's marks as they were last counted.

        ``None`` for a file, for a missing volume, where nothing can be counted, and before the first count.
        """
        volume, segmentation = store.volume(case), store.segmentation(case)
        if volume is None or segmentation is None or 0 in volume_shape(volume):
            return None
        try:
            stamp = self._stamp(volume, segmentation)
            if stamp != self._latest_stamp(case.key):
                self._count(case.key, stamp, LabelReader(segmentation, volume, self._structures), slice_axis_of(volume))
        except LeudaError:
            return None  # a non-linear transform; the list says so
        known, by_structure = self._counts.get(case.key, (None, {}))
        if known is None or known.place != stamp.place:
            return None
        return make_marks(volume_shape(volume)[slice_axis_of(volume)], case.labelled, by_structure)

    def is_counting(self, case: Case) -> bool:
        """Say whether the case is being counted, or waits for it."""
        return case.key in self._queue

    def when_counted(self, store: CaseStore, case: Case, action: Callable[[], None]) -> None:
        """Do something that needs a case's marks as they are now: at once, or as soon as they are counted."""
        self.of(store, case)
        if self.is_counting(case):
            self._later.append(action)
        else:
            action()

    def forget(self) -> None:
        """Stop counting and forget what was counted; when the scene closes and at the end."""
        if self._work is not None:
            self._work.stop()
        self._counts, self._queue, self._later = {}, {}, []

    def _latest_stamp(self, key: str) -> _Stamp | None:
        """Return what the count that is being made, else the one that is known, is made of."""
        return (self._queue.get(key) or self._counts.get(key) or (None,))[0]

    def _count(self, key: str, stamp: _Stamp, reader: LabelReader, axis: int) -> None:
        counting = reader.count_slices(axis)
        if reader.cost <= AT_ONCE_BYTES:
            self._queue.pop(key, None)
            self._counts[key] = stamp, finish(counting)
            return
        self._queue[key] = stamp, counting  # a count that has become pointless is given up
        if self._work is None or not self._work.running:
            self._work = EventLoopWork(self._work_off(), on_done=self._on_worked_off).start()

    def _work_off(self) -> Generator[None, None, None]:
        """Count what is asked for; what changes meanwhile is counted as it is then."""
        while self._queue:
            key, (stamp, counting) = next(iter(self._queue.items()))
            try:
                next(counting)
            except StopIteration as end:
                del self._queue[key]
                self._counts[key] = stamp, end.value
                self._on_counted()
            yield

    def _on_worked_off(self, _nothing: Any) -> None:
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


def _label_time(segmentation: Any) -> int:
    """Return when labels were last drawn: voxels change without the segmentation's own time."""
    label_maps = [segment.GetRepresentation(BINARY) for _id, segment in segments(segmentation)]
    return max((label_map.GetMTime() for label_map in label_maps if label_map), default=0)

"""The marks of each case, looked up in its segmentation and kept until something changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from leuda_core.errors import LeudaError

from .cases import Case, CaseStore
from .geometry import parent_matrix, slice_axis_of, volume_shape, world_affine
from .label_maps import labelled_slices_of
from .marks import Marks, make_marks
from .structures import Structure, segments


class CaseMarks:
    """Answers which slices of a case hold which structure; merging its segments again only after a change."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Any, dict[int, tuple[int, ...]]]] = {}
        self._structures: tuple[Structure, ...] = ()

    def use(self, structures: Sequence[Structure]) -> None:
        """Count these structures from now on."""
        self._structures = tuple(structures)

    def of(self, store: CaseStore, case: Case) -> Marks | None:
        """Return a case's marks; ``None`` for a file, for a missing volume, and where nothing can be counted."""
        volume, segmentation = store.volume(case), store.segmentation(case)
        if volume is None or segmentation is None or 0 in volume_shape(volume):
            return None
        try:
            by_structure = self._by_structure(case, volume, segmentation)
            return make_marks(volume_shape(volume)[slice_axis_of(volume)], case.labelled, by_structure)
        except LeudaError:
            return None  # a non-linear transform; the list says so

    def _by_structure(self, case: Case, volume: Any, segmentation: Any) -> dict[int, tuple[int, ...]]:
        state = self._state(volume, segmentation)
        known, found = self._found.get(case.key, (None, {}))
        if known != state:
            found = labelled_slices_of(segmentation, volume, self._structures)
            self._found[case.key] = (state, found)
        return found

    def _state(self, volume: Any, segmentation: Any) -> tuple[Any, ...]:
        return (
            volume.GetID(),
            world_affine(volume).tobytes(),
            volume_shape(volume),
            segmentation.GetID(),
            segmentation.GetSegmentation().GetMTime(),
            _label_time(segmentation),
            parent_matrix(segmentation).tobytes(),
            self._structures,
        )


def _label_time(segmentation: Any) -> int:
    """Return when labels were last drawn: voxels change without the segmentation's own time."""
    kind = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    label_maps = [segment.GetRepresentation(kind) for _id, segment in segments(segmentation)]
    return max((label_map.GetMTime() for label_map in label_maps if label_map), default=0)

"""Slices that are worth correcting or labelling, from the volumes themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from leuda_core.data.dataset import UnreadableCase, labelled_slices, read_case_image, read_case_labels
from leuda_core.data.planes import case_plan
from leuda_core.io.volumes import Grid
from leuda_core.prediction.doubt import Suggestion, most_doubtful
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import Case, Task, Volume

OnCase = Callable[[int, int], None]
OnUnreadable = Callable[[UnreadableCase], None]


def suggest_slices(
    segmenter: SliceSegmenter,
    cases: Sequence[Case],
    count: int,
    *,
    volumes: int | None = None,
    on_case: OnCase | None = None,
    on_unreadable: OnUnreadable | None = None,
) -> list[Suggestion]:
    """Segment the volumes of ``cases`` and return ``count`` slices to correct or label, the most doubtful first.

    Labelled slices are done and are not suggested again. A case that cannot be read is left out and passed to
    ``on_unreadable``, if that is given.

    Args:
        volumes: choose slices of at most so many volumes, those with the largest doubt for their structures; of all by
            default.

    Raises:
        UnreadableCase: a volume or a label map cannot be read. InputError: it does not exist.
    """
    doubts: dict[str, np.ndarray] = {}
    done: dict[str, tuple[int, ...]] = {}
    for number, case in enumerate(cases):
        try:
            volume = read_case_image(case)
            done[case.id] = _labelled(case, volume, segmenter.task)
        except UnreadableCase as error:
            if on_unreadable is None:
                raise
            on_unreadable(error)
            continue
        found = segmenter(volume, doubt=True).doubt
        assert found is not None, "it was asked for"
        doubts[case.id] = found
        if on_case:
            on_case(number + 1, len(cases))
    return most_doubtful(doubts, count, done=done, volumes=volumes)


def _labelled(case: Case, volume: Volume, task: Task) -> tuple[int, ...]:
    """Return the labelled slices of a case, as an adaptation takes them."""
    if case.label is None:
        return ()
    plan = case_plan(case, Grid(volume.shape, volume.affine), task.plane, task.isotropic)
    return labelled_slices(case, read_case_labels(case, task.labels), plan)

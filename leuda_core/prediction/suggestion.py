"""Slices of target volumes that are worth correcting, from the volumes themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from leuda_core.data.dataset import read_case_image
from leuda_core.prediction.doubt import Suggestion, most_doubtful
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import Case

OnCase = Callable[[int, int], None]


def suggest_slices(
    segmenter: SliceSegmenter,
    cases: Sequence[Case],
    count: int,
    *,
    volumes: int | None = None,
    on_case: OnCase | None = None,
) -> list[Suggestion]:
    """Segment the volumes of ``cases`` and return ``count`` slices to correct, the most doubtful first.

    Slices that a case lists as labelled are done and are not suggested again.

    Args:
        volumes: choose slices of at most so many volumes, those with the largest doubt for their structures; of all by
            default.

    Raises:
        InputError: a volume cannot be read.
    """
    doubts: dict[str, np.ndarray] = {}
    for number, case in enumerate(cases):
        found = segmenter(read_case_image(case), doubt=True).doubt
        assert found is not None, "it was asked for"
        doubts[case.id] = found
        if on_case:
            on_case(number + 1, len(cases))
    done = {case.id: case.labelled_slices or () for case in cases}
    return most_doubtful(doubts, count, done=done, volumes=volumes)

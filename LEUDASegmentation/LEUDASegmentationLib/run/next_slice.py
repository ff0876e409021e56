"""The slice of a result that is worth checking next: where the model was least certain."""

from __future__ import annotations

import json
from collections.abc import Collection, Generator
from typing import Any

import numpy as np

from leuda_core.prediction.doubt import most_doubtful
from leuda_core.types import Label
from LEUDASegmentationLib.run.results import DOUBT_ATTRIBUTE
from LEUDASegmentationLib.scene import corrections
from LEUDASegmentationLib.scene.geometry import ijk_to_ras, volume_shape
from LEUDASegmentationLib.scene.layers import LABEL_TAG, tag


def doubt_text(doubt: dict[str, Any] | None) -> str | None:
    """Return what the worker said about single slices as the text of an attribute; ``None`` if it said nothing."""
    return json.dumps(doubt, separators=(",", ":")) if doubt else None


def known_doubt(segmentation_node: Any) -> tuple[int, np.ndarray] | None:
    """Return the axis of the slices and ``Prediction.doubt``; ``None`` if nothing is known, or it cannot be read."""
    try:
        found = json.loads(segmentation_node.GetAttribute(DOUBT_ATTRIBUTE) or "")
        axis, slices = int(found["axis"]), np.array(found["slices"], float)
    except (ValueError, KeyError, TypeError):
        return None
    return (axis, slices) if axis in (0, 1, 2) and slices.ndim == 2 and slices.shape[1] == 2 else None


def next_slice(
    segmentation_node: Any, volume_node: Any, seen: Collection[int]
) -> Generator[float, None, tuple[int, int] | None]:
    """Return (from a generator that yields the fraction done) axis and index of the slice to check next.

    Slices that were corrected, or are in ``seen``, are done. ``None``: nothing is known, or nothing is left.
    """
    known = known_doubt(segmentation_node)
    if known is None:
        return None
    axis, doubt = known
    segmentation, done = segmentation_node.GetSegmentation(), set(seen)
    if axis == 2:  # what is drawn is known by slices along k
        drawn = yield from corrections.drawn_slices(segmentation, _labels(segmentation))
        done |= corrections.slices_of_volume(segmentation, drawn, ijk_to_ras(volume_node))
    found = most_doubtful({"": doubt}, 1, done={"": done})
    index = found[0].index if found else None
    return None if index is None or index >= volume_shape(volume_node)[axis] else (axis, index)


def _labels(segmentation: Any) -> list[Label]:
    """Return the labels of the segments that a run wrote, by the names with which it wrote them."""
    segments = [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]
    names = [name for segment in segments if (name := tag(segment, LABEL_TAG)) is not None]
    return [Label(value, name) for value, name in enumerate(names, start=1)]

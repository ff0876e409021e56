"""Which segments are which structures: by name, with the rule of ``leuda_core.io.labels``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from leuda_core.io.labels import match_names, name_key
from LEUDASegmentationLib.scene.layers import BINARY, layer_array
from LEUDASegmentationLib.scene.volume_files import slabs
from LEUDATrainingLib.cases.structures import Structure, segments


def segments_of(segmentation: Any, structures: Sequence[Structure]) -> list[tuple[str, Structure]]:
    """Return (segment id, structure) for every segment with the name of a structure, in the order of the structures.

    A structure with several segments is returned with each: empty ones do not count beside one that has voxels.
    """
    found = _matched(segmentation, structures)
    return [(i, one) for one in structures for i, _segment, match in found if match == one.name]


def unknown_segments(segmentation: Any, structures: Sequence[Structure]) -> list[str]:
    """Return the names of segments that are not structures; their labels count as background."""
    return [segment.GetName() for _id, segment, match in _matched(segmentation, structures) if match is None]


def has_voxels(segment: Any) -> bool:
    """Return whether a segment has voxels, or no label map in which they could be counted."""
    layer = segment.GetRepresentation(BINARY)
    if layer is None:
        return True
    voxels, value = layer_array(layer), segment.GetLabelValue()
    return any((voxels[slab] == value).any() for slab in slabs(voxels.shape, voxels.itemsize))


def _matched(segmentation: Any, structures: Sequence[Structure]) -> list[tuple[str, Any, str | None]]:
    """Return the segments with their ids and the names of their structures."""
    found = _told_apart(segmentation)
    names = match_names([segment.GetName() for _id, segment in found], [one.name for one in structures])
    return [(segment_id, segment, names.get(segment.GetName())) for segment_id, segment in found]


def _told_apart(segmentation: Any) -> list[tuple[str, Any]]:
    """Return the segments, without empty ones whose name is that of another without regard to case."""
    found = segments(segmentation)
    counts = Counter(name_key(segment.GetName()) for _id, segment in found)
    kept = [one for one in found if counts[name_key(one[1].GetName())] == 1 or has_voxels(one[1])]
    lost = counts.keys() - {name_key(segment.GetName()) for _id, segment in kept}
    firsts = {key: next(one for one in found if name_key(one[1].GetName()) == key) for key in lost}
    return [one for one in found if one in kept or one in firsts.values()]

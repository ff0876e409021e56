"""Slices of a result that a user has drawn on since it was written, and how the next run keeps them.

A run leaves with each of its segments a stamp of every slice as the model segmented it. The stamps are tags of the
segments, so they are saved with the scene. A slice whose voxels no longer match its stamps was drawn on: it is kept
whole, for all segments of the run.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from leuda_core.errors import InputError
from leuda_core.types import Label
from LEUDASegmentationLib.scene.geometry import TOLERANCE, image_to_world
from LEUDASegmentationLib.scene.layers import BINARY, LABEL_TAG, find_segment, layer_array, new_layer, tag
from LEUDASegmentationLib.scene.steps import finish, within
from LEUDASegmentationLib.scene.volume_files import slabs

WRITTEN_TAG = "LEUDA.Written"

Stamps = Mapping[int, int]
"""By index of a slice along k: a checksum of where the segment lies in it. Slices without the segment are left out."""


def stamps_of(layer: Any, value: int) -> Generator[float, None, Stamps]:
    """Return (from a generator that yields the fraction done) the stamps of the segment with a value in a layer.

    They do not depend on the value, on other segments in the layer, or on how closely it is cropped.
    """
    voxels, found = layer_array(layer), {}
    i, j, k = layer.GetExtent()[::2]
    for slab in slabs(voxels.shape, voxels.itemsize):
        present = voxels[slab] == value
        rows = present.any(axis=2)
        for index in np.flatnonzero(rows.any(axis=1)):
            found[k + slab.start + int(index)] = _stamp(present[index], rows[index], (j, i))
        yield slab.stop / len(voxels)
    return found


def _stamp(present: np.ndarray, rows: np.ndarray, first: tuple[int, int]) -> int:
    """Return the checksum of where a mask (J, I) is true; ``rows`` are those that are not empty."""
    down, across = np.flatnonzero(rows), np.flatnonzero(present.any(axis=0))
    box = present[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    place = np.array([down[0] + first[0], across[0] + first[1], *box.shape], "<i4")
    return zlib.crc32(np.packbits(box).tobytes(), zlib.crc32(place.tobytes()))


def as_tag(stamps: Stamps) -> str:
    """Return stamps as the text of a tag."""
    return " ".join(f"{k}={stamp:08x}" for k, stamp in sorted(stamps.items()))


def written_stamps(segment: Any) -> Stamps | None:
    """Return the stamps that a run left with a segment; ``None`` if there are none, or if they cannot be read."""
    text = tag(segment, WRITTEN_TAG)
    if text is None:
        return None
    try:
        return {int(k): int(stamp, 16) for k, stamp in (word.split("=") for word in text.split())}
    except ValueError:
        return None


def set_stamps(segment: Any, text: str | None) -> None:
    """Leave the text of ``as_tag`` with a segment, or remove what is there."""
    if text is None:
        segment.RemoveTag(WRITTEN_TAG)
    else:
        segment.SetTag(WRITTEN_TAG, text)


def own_slices(segment: Any) -> set[int] | None:
    """Return the slices of a segment that a user has drawn on; ``None`` if no run has left stamps with it."""
    written = written_stamps(segment)
    if written is None:
        return None
    return _changed(written, finish(_present_stamps(segment)))


def stamp_again(segment: Any, own: set[int] | None) -> None:
    """Leave stamps of what a segment is now, except for slices that are the user's own (see ``own_slices``)."""
    written = written_stamps(segment)
    if own is None or written is None:
        return
    kept = {k: stamp for k, stamp in written.items() if k in own}
    present = finish(_present_stamps(segment))
    set_stamps(segment, as_tag(kept | {k: stamp for k, stamp in present.items() if k not in own}))


def _present_stamps(segment: Any) -> Generator[float, None, Stamps]:
    layer = segment.GetRepresentation(BINARY)
    return (yield from stamps_of(layer, segment.GetLabelValue())) if layer else {}


def _changed(written: Stamps, present: Stamps) -> set[int]:
    return {k for k in written.keys() | present.keys() if written.get(k) != present.get(k)}


def found_nothing(segmentation: Any, labels: Sequence[Label]) -> bool:
    """Return whether the last run found no voxel of any of its labels; corrections do not count."""
    ids = (find_segment(segmentation, label.name) for label in labels)
    written = [written_stamps(segmentation.GetSegment(segment_id)) for segment_id in ids if segment_id is not None]
    return bool(written) and all(stamps == {} for stamps in written)


def drawn_slices(segmentation: Any, labels: Sequence[Label]) -> Generator[float, None, dict[str, set[int]]]:
    """Return (from a generator that yields the fraction done) the slices of each segment that were drawn on since.

    They are indices along k of the segment's layer, by the id of the segment. A segment that no run has written is all
    the user's. What version 0.1 wrote has no stamps: nothing is known of its corrections, and none is reported.
    """
    found: dict[str, set[int]] = {}
    segments = [i for label in labels if (i := find_segment(segmentation, label.name)) is not None]
    for number, segment_id in enumerate(segments):
        segment = segmentation.GetSegment(segment_id)
        written = written_stamps(segment)
        if written is None and tag(segment, LABEL_TAG) is not None:
            continue
        part = number / len(segments), (number + 1) / len(segments)
        drawn = _changed(written or {}, (yield from within(*part, _present_stamps(segment))))
        if drawn:
            found[segment_id] = drawn
    return found


def with_drawn_slices(
    layer: Any, segmentation: Any, labels: Sequence[Label], drawn: Mapping[str, set[int]], affine: np.ndarray
) -> Generator[float, None, tuple[Any, int]]:
    """Return (from a generator that yields the fraction done) a layer with drawn slices in place of its own.

    In these slices, every segment of the labels is as it is now in the segmentation. Where two of them overlap, the
    later one is kept.

    Args:
        layer: the result of a run on the grid of a volume.
        drawn: as ``drawn_slices`` returns it.
        affine: (4, 4), of the volume: voxel index to RAS mm.

    Returns:
        The new layer and the number of slices that were kept.

    Raises:
        InputError: the segments lie on another grid than the volume.
    """
    present = {
        label.value: segmentation.GetSegment(segment_id)
        for label in labels
        if (segment_id := find_segment(segmentation, label.name)) is not None
    }
    parts = {
        value: (segment.GetRepresentation(BINARY), segment.GetLabelValue())
        for value, segment in present.items()
        if layer_array(segment.GetRepresentation(BINARY)).size
    }
    shifts = {value: _shift(image, affine) for value, (image, _value) in parts.items()}
    kept = slices_of_volume(segmentation, drawn, affine)
    extents = [_extent(image, shifts[value]) for value, (image, _value) in parts.items()]
    if layer_array(layer).size:
        extents.append(np.array(layer.GetExtent()))
    if not extents:
        return layer, len(kept)
    lowest, highest = np.min(extents, axis=0)[::2], np.max(extents, axis=0)[1::2]
    dtype = layer_array(layer).dtype if layer_array(layer).size else np.min_scalar_type(max(parts))
    merged = new_layer(np.stack([lowest, highest], axis=1).ravel().tolist(), dtype, affine)
    target = layer_array(merged)
    for slab in slabs(target.shape, target.itemsize):
        target[slab] = 0
        for index in range(slab.start, slab.stop):
            k = int(lowest[2]) + index
            if k not in kept:
                _copy_slice(target[index], lowest, layer, k, np.zeros(3, int))
                continue
            for value, (image, own) in parts.items():
                _copy_slice(target[index], lowest, image, k, shifts[value], only=own, value=value)
        yield slab.stop / len(target)
    return merged, len(kept)


def slices_of_volume(segmentation: Any, drawn: Mapping[str, set[int]], affine: np.ndarray) -> set[int]:
    """Return drawn slices as indices along k of the volume with this affine; arguments as for ``with_drawn_slices``.

    Raises:
        InputError: the segments lie on another grid than the volume.
    """
    found = set()
    for segment_id, slices in drawn.items():
        image = segmentation.GetSegment(segment_id).GetRepresentation(BINARY)
        found |= {k + int(_shift(image, affine)[2] if layer_array(image).size else 0) for k in slices}
    return found


def _shift(image: Any, affine: np.ndarray) -> np.ndarray:
    """Return by how many voxels (i, j, k) the indices of an image differ from those of a volume.

    Raises:
        InputError: they differ by more than a shift.
    """
    between = np.linalg.inv(affine) @ image_to_world(image)
    shift = np.round(between[:3, 3])
    expected = np.eye(4)
    expected[:3, 3] = shift
    if not np.allclose(between, expected, rtol=0, atol=1000 * TOLERANCE):
        raise InputError(
            _("slices were corrected that lie on another grid than the volume, and cannot be kept"),
            _("choose another output segmentation, or replace what was corrected"),
        )
    return shift.astype(int)


def _extent(image: Any, shift: np.ndarray) -> np.ndarray:
    """Return the extent of an image in the indices of the volume."""
    return np.array(image.GetExtent()) + np.repeat(shift, 2)


def _copy_slice(
    target: np.ndarray, lowest: np.ndarray, image: Any, k: int, shift: np.ndarray, *, only: int = 0, value: int = 0
) -> None:
    """Copy slice ``k`` of an image into ``target`` (J, I), which begins at index ``lowest``.

    With ``only``, just the voxels with this value are copied, as ``value``.
    """
    voxels = layer_array(image)
    i0, i1, j0, j1, k0, k1 = _extent(image, shift) if voxels.size else (0, -1) * 3
    if not k0 <= k <= k1:
        return
    window = target[j0 - lowest[1] : j1 + 1 - lowest[1], i0 - lowest[0] : i1 + 1 - lowest[0]]
    source = voxels[k - k0]
    if only:
        window[source == only] = value
    else:
        window[:] = source

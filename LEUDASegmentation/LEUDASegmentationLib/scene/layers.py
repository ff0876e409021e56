"""The voxels of segmentations: layers that several segments share, each with its own label value.

A run puts all of its segments into one new layer. Other segments keep their layer, so that a run cannot erase them,
even where they overlap.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import vtk

from leuda_core.types import Label
from LEUDASegmentationLib.scene.geometry import RoiMask, image_to_world
from LEUDASegmentationLib.scene.steps import finish, within
from LEUDASegmentationLib.scene.volume_files import slabs

BINARY = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
LABEL_TAG = "LEUDA.Label"  # identifies the segment of a label after the user renamed it


@dataclass
class Change:
    """What ``put_segments`` did: added segments, and the former layer and value of replaced segments."""

    added: list[str] = field(default_factory=list)
    replaced: dict[str, tuple[Any, int]] = field(default_factory=dict)


def new_layer(extent: Sequence[int], dtype: np.dtype, affine: np.ndarray) -> Any:
    """Return a vtkOrientedImageData with uninitialised voxels.

    Args:
        extent: first and last index along i, j and k.
        affine: (4, 4), voxel index to RAS mm.
    """
    from vtk.util.numpy_support import get_vtk_array_type

    image = slicer.vtkOrientedImageData()
    image.SetExtent([int(end) for end in extent])
    image.AllocateScalars(get_vtk_array_type(dtype), 1)
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(affine))
    return image


def layer_array(image: Any) -> np.ndarray:
    """Return the voxels of an image as an array (K, J, I) that shares its memory."""
    from vtk.util.numpy_support import vtk_to_numpy

    scalars = image.GetPointData().GetScalars()
    if scalars is None:
        return np.zeros((0, 0, 0), np.uint8)
    return vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1])


def read_layer(
    path: str, affine: np.ndarray, values: Sequence[int], roi: RoiMask | None
) -> Generator[float, None, Any]:
    """Return (from a generator that yields the fraction done) the label map of a ``.npy`` file (K, J, I) as a layer.

    Labels other than ``values`` and voxels outside the ROI become 0. The layer covers only the bounding box of the
    remaining voxels, like Slicer's own layers, so that drawing, saving and creating surfaces are fast.
    """
    labels = np.load(path, mmap_mode="r")
    kept, occupied = np.empty(labels.shape, labels.dtype), [np.zeros(n, bool) for n in labels.shape]
    for slab in slabs(labels.shape, labels.itemsize):
        kept[slab] = _only(labels[slab], values)
        if roi is not None:
            roi.apply(kept[slab], slab.start)
        _mark(occupied, slab, kept[slab])
        yield slab.stop / len(labels) / 2
    if not occupied[0].any():
        return slicer.vtkOrientedImageData()
    k, j, i = map(_ends, occupied)
    image = new_layer((*i, *j, *k), kept.dtype, affine)
    source, target = kept[k[0] :, j[0] : j[1] + 1, i[0] : i[1] + 1], layer_array(image)
    for slab in slabs(target.shape, target.itemsize):
        target[slab] = source[slab]
        yield 0.5 + slab.stop / len(target) / 2
    return image


def only_segment(segment: Any) -> Generator[float, None, Any | None]:
    """Return (from a generator that yields the fraction done) a single segment as an image of 0 and 1.

    It is cropped to the bounding box of its voxels; None if it has none.
    """
    layer = segment.GetRepresentation(BINARY)
    voxels, value = layer_array(layer), segment.GetLabelValue()
    occupied = [np.zeros(n, bool) for n in voxels.shape]
    for slab in slabs(voxels.shape, voxels.itemsize):
        _mark(occupied, slab, voxels[slab] == value)
        yield slab.stop / len(voxels) / 2
    if not occupied[0].any():
        return None
    k, j, i = map(_ends, occupied)
    extent = [a + end for a, ends in zip(layer.GetExtent()[::2], (i, j, k), strict=True) for end in ends]
    image = new_layer(extent, np.dtype(np.uint8), image_to_world(layer))
    source, target = voxels[k[0] :, j[0] : j[1] + 1, i[0] : i[1] + 1], layer_array(image)
    for slab in slabs(target.shape, target.itemsize):
        target[slab] = source[slab] == value
        yield 0.5 + slab.stop / len(target) / 2
    return image


def _ends(marks: np.ndarray) -> tuple[int, int]:
    """Return the first and the last index that is marked."""
    return int(marks.argmax()), len(marks) - 1 - int(marks[::-1].argmax())


def _mark(occupied: Sequence[np.ndarray], slab: slice, voxels: np.ndarray) -> None:
    """Mark the indices along k, j and i at which the voxels (n, J, I) of a slab contain a label."""
    flat = np.bitwise_or.reduce(voxels, axis=0)
    occupied[0][slab] = np.bitwise_or.reduce(voxels.reshape(len(voxels), -1), axis=1) != 0
    occupied[1] |= (flat != 0).any(axis=1)
    occupied[2] |= (flat != 0).any(axis=0)


def segment_stamp(segment: Any) -> tuple[Any, int, int]:
    """Return a value that changes whenever the segment's voxels change."""
    layer = segment.GetRepresentation(BINARY)
    return layer, layer.GetMTime() if layer else 0, segment.GetLabelValue()


def tag(segment: Any, name: str) -> str | None:
    """Return the text of a tag of a segment; ``None`` without the tag."""
    text = vtk.reference("")
    return str(text) if segment.GetTag(name, text) else None


def segment_ids(segmentation: Any) -> list[str]:
    """Return the ids of all segments, in order."""
    return [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]


def find_segment(segmentation: Any, name: str) -> str | None:
    """Return the id of the segment of the label with this name, even if the user renamed the segment.

    Names must be equal: Slicer's own search takes "RV" and "rv" for the same, and a result would erase the other.
    """
    segments = {segment_id: segmentation.GetSegment(segment_id) for segment_id in segment_ids(segmentation)}
    tags = {segment_id: tag(segment, LABEL_TAG) for segment_id, segment in segments.items()}
    named = (i for i, segment in segments.items() if tags[i] is None and segment.GetName().strip() == name.strip())
    return next((i for i in tags if tags[i] == name), None) or next(named, None)


def other_segments(segmentation: Any, labels: Sequence[Label]) -> list[str]:
    """Return the ids of the segments that belong to none of these labels."""
    ours = {find_segment(segmentation, label.name) for label in labels}
    return [segment_id for segment_id in segment_ids(segmentation) if segment_id not in ours]


class LayerCopies:
    """Copies of layers with only some of the label values, prepared before a change so that the change is fast."""

    def __init__(self) -> None:
        self._copies: dict[tuple[Any, int, frozenset[int]], Any] = {}

    def for_put(self, segmentation: Any, labels: Sequence[Label]) -> Generator[float, None, None]:
        """Copy what ``put_segments`` will need, from a generator that yields the fraction done."""
        leaving = {i for label in labels if (i := find_segment(segmentation, label.name)) is not None}
        return self._make(_divided_layers(segmentation, leaving))

    def for_take_back(self, segmentation: Any, change: Change) -> Generator[float, None, None]:
        """Copy what ``take_back`` will need, from a generator that yields the fraction done."""
        leaving = {*change.replaced, *change.added}
        return self._make([*_divided_layers(segmentation, leaving), *_former_layers(segmentation, change)])

    def take(self, layer: Any, values: Collection[int]) -> Any:
        """Return a copy with only these values; made now if there is none or the layer has changed since."""
        return self._copies.pop(self._key(layer, values), None) or finish(_filtered(layer, values))

    def _make(self, wanted: Sequence[tuple[Any, Mapping[str, int]]]) -> Generator[float, None, None]:
        for number, (layer, segments) in enumerate(wanted):
            key = self._key(layer, segments.values())  # of the present state: the layer may change while it is copied
            part = number / len(wanted), (number + 1) / len(wanted)
            self._copies[key] = yield from within(*part, _filtered(layer, segments.values()))

    @staticmethod
    def _key(layer: Any, values: Collection[int]) -> tuple[Any, int, frozenset[int]]:
        return layer, layer.GetMTime(), frozenset(values)


def put_segments(segmentation: Any, layer: Any, labels: Sequence[Label], copies: LayerCopies | None = None) -> Change:
    """Put the segments of these labels into a layer; existing segments keep id, name, colour and terminology."""
    change = Change()
    targets: dict[str, tuple[Any, int]] = {}
    for label in labels:
        segment_id = find_segment(segmentation, label.name)
        if segment_id is not None:
            segment = segmentation.GetSegment(segment_id)
            change.replaced[segment_id] = (segment.GetRepresentation(BINARY), segment.GetLabelValue())
            targets[segment_id] = (layer, label.value)
    _move(segmentation, targets, copies or LayerCopies())
    missing = [label for label in labels if find_segment(segmentation, label.name) is None]
    change.added = [_add_segment(segmentation, layer, label) for label in missing]
    layer.Modified()  # marks the surfaces as out of date
    return change


def take_back(segmentation: Any, change: Change, copies: LayerCopies | None = None) -> None:
    """Undo ``put_segments``; other segments do not change, and segments deleted since stay deleted."""
    copies = copies or LayerCopies()
    targets: dict[str, tuple[Any, int]] = {}
    for layer, values in _former_layers(segmentation, change):
        restored = copies.take(layer, values.values())  # other segments have layers of their own by now
        targets |= {segment_id: (restored, value) for segment_id, value in values.items()}
    restored_layers = {id(layer): layer for layer, _value in targets.values()}.values()
    added = set(segment_ids(segmentation)).intersection(change.added)
    targets |= {i: (slicer.vtkOrientedImageData(), 1) for i in added}  # otherwise their removal copies the layer
    _move(segmentation, targets, copies)
    for segment_id in added:
        segmentation.RemoveSegment(segment_id)
    for layer in restored_layers:
        layer.Modified()


def _former_layers(segmentation: Any, change: Change) -> list[tuple[Any, dict[str, int]]]:
    """Return each former layer of replaced segments with the values of these segments, without deleted segments."""
    by_layer: dict[Any, dict[str, int]] = {}
    present = set(segment_ids(segmentation))
    for segment_id, (layer, value) in change.replaced.items():
        if segment_id in present:
            by_layer.setdefault(layer, {})[segment_id] = value
    return list(by_layer.items())


def _add_segment(segmentation: Any, layer: Any, label: Label) -> str:
    segment = slicer.vtkSegment()
    segment.SetName(label.name)
    segment.SetNameAutoGenerated(False)
    segment.SetTag(LABEL_TAG, label.name)
    if label.terminology:
        segment.SetTag(segment.GetTerminologyEntryTagName(), label.terminology)
    segment.SetLabelValue(label.value)
    segment.AddRepresentation(BINARY, layer)
    segment_id = segmentation.GenerateUniqueSegmentID(label.name)
    segmentation.AddSegment(segment, segment_id)
    segment.SetColor(*label.color)  # only now: Slicer gives a new colour to a grey segment that is added
    segment.SetColorAutoGenerated(False)
    return segment_id


def _move(segmentation: Any, targets: Mapping[str, tuple[Any, int]], copies: LayerCopies) -> None:
    """Give segments another layer and value, and erase them from layers in which other segments stay."""
    for layer, staying in _divided_layers(segmentation, targets):
        thinned = copies.take(layer, staying.values())
        for segment_id in staying:
            segmentation.GetSegment(segment_id).AddRepresentation(BINARY, thinned)
    for segment_id, (layer, value) in targets.items():
        segment = segmentation.GetSegment(segment_id)
        segment.SetLabelValue(value)
        segment.AddRepresentation(BINARY, layer)


def _divided_layers(segmentation: Any, leaving: Collection[str]) -> list[tuple[Any, dict[str, int]]]:
    """Return the layers that some segments leave and others do not, with the values of those that stay."""
    divided = []
    for layer, sharing in segments_by_layer(segmentation):
        staying = {i: segmentation.GetSegment(i).GetLabelValue() for i in sharing if i not in leaving}
        if staying and len(staying) < len(sharing):
            divided.append((layer, staying))
    return divided


def segments_by_layer(segmentation: Any) -> list[tuple[Any, list[str]]]:
    """Return each layer with the ids of its segments."""
    return [
        (segmentation.GetLayerDataObject(index, BINARY), list(segmentation.GetSegmentIDsForLayer(index, BINARY)))
        for index in range(segmentation.GetNumberOfLayers(BINARY))
    ]


def _filtered(layer: Any, values: Collection[int]) -> Generator[float, None, Any]:
    """Return (from a generator that yields the fraction done) a copy of a layer with only these label values."""
    voxels = layer_array(layer)
    if not voxels.size:
        return slicer.vtkOrientedImageData()
    image = new_layer(layer.GetExtent(), voxels.dtype, image_to_world(layer))
    kept = layer_array(image)
    for slab in slabs(voxels.shape, voxels.itemsize):
        kept[slab] = _only(voxels[slab], values)
        yield slab.stop / len(voxels)
    return image


def _only(voxels: np.ndarray, values: Collection[int]) -> np.ndarray:
    """Return the voxels with all other values set to 0."""
    kept = list(values)
    if voxels.dtype == np.uint8:
        table = bytes(value if value in kept else 0 for value in range(256))
        return np.frombuffer(voxels.tobytes().translate(table), np.uint8).reshape(voxels.shape)
    return np.where(np.isin(voxels, kept), voxels, 0)

"""The voxels of segmentations: layers that several segments share, each with a label value of its own.

A run puts all of its segments into one new layer. Segments that stay where they are keep their layer, so that nothing
a run writes can erase them, even where both lie.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import vtk

from leuda_core.models import ModelLabel
from LEUDASegmentationLib.geometry import RoiMask, image_to_world, matrix_from_array
from LEUDASegmentationLib.volume_files import slabs

BINARY = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
LABEL_TAG = "LEUDA.Label"  # finds the segment of a label again after the user renamed it


@dataclass
class Change:
    """What ``put_segments`` did: segments added, and layer and value that replaced segments had before."""

    added: list[str] = field(default_factory=list)
    replaced: dict[str, tuple[Any, int]] = field(default_factory=dict)


def new_layer(extent: Sequence[int], dtype: np.dtype, affine: np.ndarray) -> Any:
    """Return a vtkOrientedImageData, its voxels not yet set.

    Args:
        extent: first and last index along i, j and k.
        affine: (4, 4), voxel index to RAS mm.
    """
    from vtk.util.numpy_support import get_vtk_array_type

    image = slicer.vtkOrientedImageData()
    image.SetExtent([int(end) for end in extent])
    image.AllocateScalars(get_vtk_array_type(dtype), 1)
    image.SetImageToWorldMatrix(matrix_from_array(affine))
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
    """Return (from a generator that yields the part done) the label map of a ``.npy`` file (K, J, I) as a layer.

    Labels other than ``values`` and voxels outside the ROI become 0. The layer holds the box of what is left alone,
    as Slicer's own layers do: it is drawn, saved and turned into surfaces the faster for it.
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


def only_segment(segment: Any) -> Any | None:
    """Return a segment alone as an image of 0 and 1, cropped to the box of its voxels; None if it has none."""
    layer = segment.GetRepresentation(BINARY)
    voxels, value = layer_array(layer), segment.GetLabelValue()
    occupied = [np.zeros(n, bool) for n in voxels.shape]
    for slab in slabs(voxels.shape, voxels.itemsize):
        _mark(occupied, slab, voxels[slab] == value)
    if not occupied[0].any():
        return None
    k, j, i = map(_ends, occupied)
    extent = [a + end for a, ends in zip(layer.GetExtent()[::2], (i, j, k), strict=True) for end in ends]
    image = new_layer(extent, np.dtype(np.uint8), image_to_world(layer))
    layer_array(image)[:] = voxels[k[0] : k[1] + 1, j[0] : j[1] + 1, i[0] : i[1] + 1] == value
    return image


def _ends(marks: np.ndarray) -> tuple[int, int]:
    """Return the first and the last index that is marked."""
    return int(marks.argmax()), len(marks) - 1 - int(marks[::-1].argmax())


def _mark(occupied: Sequence[np.ndarray], slab: slice, voxels: np.ndarray) -> None:
    """Mark the indices along k, j and i at which the voxels (n, J, I) of a slab hold a label."""
    flat = np.bitwise_or.reduce(voxels, axis=0)
    occupied[0][slab] = np.bitwise_or.reduce(voxels.reshape(len(voxels), -1), axis=1) != 0
    occupied[1] |= (flat != 0).any(axis=1)
    occupied[2] |= (flat != 0).any(axis=0)


def segment_ids(segmentation: Any) -> list[str]:
    """Return the ids of all segments, in their order."""
    return [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]


def find_segment(segmentation: Any, name: str) -> str | None:
    """Return the id of the segment that holds the label of this name, also one that the user renamed since."""
    by_tag = {}
    for segment_id in segment_ids(segmentation):
        tag = vtk.reference("")
        if segmentation.GetSegment(segment_id).GetTag(LABEL_TAG, tag):
            by_tag.setdefault(str(tag), segment_id)
    return by_tag.get(name) or segmentation.GetSegmentIdBySegmentName(name) or None


def other_segments(segmentation: Any, labels: Sequence[ModelLabel]) -> list[str]:
    """Return the ids of the segments that hold none of these labels."""
    ours = {find_segment(segmentation, label.name) for label in labels}
    return [segment_id for segment_id in segment_ids(segmentation) if segment_id not in ours]


def put_segments(segmentation: Any, layer: Any, labels: Sequence[ModelLabel]) -> Change:
    """Make a layer hold the segments of these labels; existing ones keep id, name, colour and terminology."""
    change, targets = Change(), {}
    for label in labels:
        segment_id = find_segment(segmentation, label.name)
        if segment_id is not None:
            segment = segmentation.GetSegment(segment_id)
            change.replaced[segment_id] = (segment.GetRepresentation(BINARY), segment.GetLabelValue())
            targets[segment_id] = (layer, label.value)
    _move(segmentation, targets)
    missing = [label for label in labels if find_segment(segmentation, label.name) is None]
    change.added = [_add_segment(segmentation, layer, label) for label in missing]
    layer.Modified()  # tells the segmentation that its surfaces are out of date
    return change


def take_back(segmentation: Any, change: Change) -> None:
    """Undo ``put_segments``; segments that it left alone, and those deleted since, are left alone again."""
    present = set(segment_ids(segmentation))
    by_layer: dict[Any, dict[str, int]] = {}
    for segment_id, (layer, value) in change.replaced.items():
        if segment_id in present:
            by_layer.setdefault(layer, {})[segment_id] = value
    targets = {}
    for layer, values in by_layer.items():
        restored = _filtered(layer, values.values())  # what others had in it then lies in their layers now
        targets |= {segment_id: (restored, value) for segment_id, value in values.items()}
    _move(segmentation, targets)
    for segment_id in present.intersection(change.added):
        _move(segmentation, {segment_id: (slicer.vtkOrientedImageData(), 1)})  # else removing it copies the layer
        segmentation.RemoveSegment(segment_id)
    for layer in {id(layer): layer for layer, _value in targets.values()}.values():
        layer.Modified()


def _add_segment(segmentation: Any, layer: Any, label: ModelLabel) -> str:
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
    segment.SetColor(*label.color)  # not before: a grey segment that is added is given a colour
    segment.SetColorAutoGenerated(False)
    return segment_id


def _move(segmentation: Any, targets: Mapping[str, tuple[Any, int]]) -> None:
    """Give segments another layer and value, and erase them from layers in which others stay."""
    for layer, sharing in segments_by_layer(segmentation):
        staying = {i: segmentation.GetSegment(i).GetLabelValue() for i in sharing if i not in targets}
        if staying and len(staying) < len(sharing):
            thinned = _filtered(layer, staying.values())
            for segment_id in staying:
                segmentation.GetSegment(segment_id).AddRepresentation(BINARY, thinned)
    for segment_id, (layer, value) in targets.items():
        segment = segmentation.GetSegment(segment_id)
        segment.SetLabelValue(value)
        segment.AddRepresentation(BINARY, layer)


def segments_by_layer(segmentation: Any) -> list[tuple[Any, list[str]]]:
    """Return each layer with the ids of the segments that share it."""
    return [
        (segmentation.GetLayerDataObject(index, BINARY), list(segmentation.GetSegmentIDsForLayer(index, BINARY)))
        for index in range(segmentation.GetNumberOfLayers(BINARY))
    ]


def _filtered(layer: Any, values: Sequence[int]) -> Any:
    """Return a copy of a layer that keeps these label values alone."""
    voxels = layer_array(layer)
    if not voxels.size:
        return slicer.vtkOrientedImageData()
    image = new_layer(layer.GetExtent(), voxels.dtype, image_to_world(layer))
    kept = layer_array(image)
    for slab in slabs(voxels.shape, voxels.itemsize):
        kept[slab] = _only(voxels[slab], values)
    return image


def _only(voxels: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Return the voxels with every value but these set to 0."""
    kept = list(values)
    if voxels.dtype == np.uint8:
        table = bytes(value if value in kept else 0 for value in range(256))
        return np.frombuffer(voxels.tobytes().translate(table), np.uint8).reshape(voxels.shape)
    return np.where(np.isin(voxels, kept), voxels, 0)

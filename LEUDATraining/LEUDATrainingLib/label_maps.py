"""Segmentations as label maps on the grid of a volume, and which of its slices they touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from leuda_core.errors import InputError

from .geometry import parent_matrix, slice_axis_of, volume_shape, world_affine
from .structures import Structure, segments


@dataclass(frozen=True, eq=False)
class LabelBox:
    """Label values in the box that holds all of a segmentation's labels, in a volume of ``shape`` (I, J, K).

    Shape:
        values: (K', J', I') int16; ``origin`` is the (i, j, k) of its first voxel.
    """

    values: np.ndarray
    origin: tuple[int, int, int]
    shape: tuple[int, int, int]

    def whole(self) -> np.ndarray:
        """Return the label map of the whole volume: (K, J, I), the smallest unsigned type that holds it."""
        kind = np.uint8 if self.values.max(initial=0) < 256 else np.uint16
        labels = np.zeros(self.shape[::-1], kind)
        box = tuple(slice(o, o + n) for o, n in zip(self.origin[::-1], self.values.shape, strict=True))
        labels[box] = self.values
        return labels

    def slices_with(self, value: int, axis: int) -> tuple[int, ...]:
        """Return the slices along ``axis`` (0 = i) that hold a value."""
        others = tuple(one for one in range(3) if one != 2 - axis)
        indices = np.flatnonzero((self.values == value).any(axis=others)) + self.origin[axis]
        return tuple(int(index) for index in indices)


def label_box(segmentation: Any, volume: Any, structures: Sequence[Structure]) -> LabelBox:
    """Merge the segments named like a structure onto the grid of ``volume``; of overlapping ones the later wins.

    Raises:
        InputError: volume or segmentation is under a non-linear transform, or has no label maps to make.
    """
    shape = volume_shape(volume)
    chosen = segments_of(segmentation, structures)
    empty = LabelBox(np.zeros((0, 0, 0), np.int16), (0, 0, 0), shape)
    if not chosen or 0 in shape:
        return empty
    _ensure_label_maps(segmentation)
    merged = slicer.vtkOrientedImageData()
    ids, values = vtk.vtkStringArray(), vtk.vtkIntArray()
    for segment_id, structure in chosen:
        ids.InsertNextValue(segment_id)
        values.InsertNextValue(structure.value)
    grid = _grid(segmentation, volume)
    extent_of_labels = slicer.vtkSegmentation.EXTENT_UNION_OF_EFFECTIVE_SEGMENTS
    if not segmentation.GenerateMergedLabelmapForAllSegments(merged, extent_of_labels, grid, ids, values):
        return empty
    return _cut(merged, shape) or empty


def segments_of(segmentation: Any, structures: Sequence[Structure]) -> list[tuple[str, Structure]]:
    """Return (segment id, structure) for every segment that has a structure's name, in the order of the structures."""
    by_name = {segment.GetName(): segment_id for segment_id, segment in segments(segmentation)}
    return [(by_name[structure.name], structure) for structure in structures if structure.name in by_name]


def unknown_segments(segmentation: Any, structures: Sequence[Structure]) -> list[str]:
    """Return the names of segments that are no structure; what they hold counts as background."""
    known = {structure.name for structure in structures}
    return [segment.GetName() for _id, segment in segments(segmentation) if segment.GetName() not in known]


def labelled_slices_of(segmentation: Any, volume: Any, structures: Sequence[Structure]) -> dict[int, tuple[int, ...]]:
    """Return, for the value of each structure that is drawn, the slices (along the slicing axis) that hold it."""
    box, axis = label_box(segmentation, volume, structures), slice_axis_of(volume)
    found = {structure.value: box.slices_with(structure.value, axis) for structure in structures}
    return {value: slices for value, slices in found.items() if slices}


def set_labels(segmentation: Any, volume: Any, labels: np.ndarray, structures: Sequence[Structure]) -> None:
    """Replace each structure's segment by what ``labels`` (K, J, I), on the grid of ``volume``, holds of its value."""
    ensure_segments(segmentation, structures)
    for segment_id, structure in segments_of(segmentation, structures):
        mask = (labels == structure.value).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment_id, volume)


def ensure_segments(segmentation: Any, structures: Sequence[Structure]) -> None:
    """Add an empty segment, with colour and terminology, for every structure that has none yet."""
    names = {segment.GetName() for _id, segment in segments(segmentation)}
    for structure in structures:
        if structure.name in names:
            continue
        segment = slicer.vtkSegment()
        segment.SetName(structure.name)
        if structure.terminology:
            segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), structure.terminology)
        segmentation.GetSegmentation().AddSegment(segment)
        segment.SetColor(*structure.color)  # after adding: a grey segment is given another colour there


def new_segmentation(volume: Any, structures: Sequence[Structure], name: str) -> Any:
    """Return a new segmentation node on a volume's grid, under its transform, with an empty segment a structure."""
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    ensure_segments(segmentation, structures)
    return segmentation


def _ensure_label_maps(segmentation: Any) -> None:
    content = segmentation.GetSegmentation()
    kind = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    if not content.ContainsRepresentation(kind) and not content.CreateRepresentation(kind):
        raise InputError(
            _("no label map can be made of {name}").format(name=segmentation.GetName()),
            _("open it in the Segmentations module and create the representation Binary labelmap"),
        )


def _grid(segmentation: Any, volume: Any) -> Any:
    """Return the volume's voxel grid in the coordinates of the segmentation, without voxels."""
    matrix = np.linalg.solve(parent_matrix(segmentation), world_affine(volume))
    grid = slicer.vtkOrientedImageData()
    shape = volume_shape(volume)
    grid.SetExtent(0, shape[0] - 1, 0, shape[1] - 1, 0, shape[2] - 1)
    grid.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return grid


def _cut(merged: Any, shape: tuple[int, int, int]) -> LabelBox | None:
    """Return the part of a merged label map that lies in the volume; ``None`` when there is none."""
    extent = merged.GetExtent()
    scalars = merged.GetPointData().GetScalars()
    low = [max(0, -extent[2 * axis]) for axis in range(3)]
    high = [min(extent[2 * axis + 1], shape[axis] - 1) - extent[2 * axis] + 1 for axis in range(3)]
    if scalars is None or any(h <= o for o, h in zip(low, high, strict=True)):
        return None
    sizes = [extent[2 * axis + 1] - extent[2 * axis] + 1 for axis in range(3)]
    values = vtk_to_numpy(scalars).reshape(sizes[::-1])
    box = tuple(slice(o, h) for o, h in zip(low[::-1], high[::-1], strict=True))
    origin = tuple(int(extent[2 * axis]) + low[axis] for axis in range(3))
    return LabelBox(values[box].astype(np.int16, copy=False), origin, shape)

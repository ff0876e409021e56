"""Volume and mean intensity of segments, computed slab by slab on the voxels of the layers that they share."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from leuda_core.errors import InputError
from LEUDASegmentationLib.run import results
from LEUDASegmentationLib.scene import layers
from LEUDASegmentationLib.scene.geometry import (
    ijk_to_ras,
    image_to_world,
    linear_part,
    same_affine,
    transform_between,
)
from LEUDASegmentationLib.scene.steps import within
from LEUDASegmentationLib.scene.volume_files import content_stamp, slabs
from LEUDASegmentationLib.scene.volumes import check_volume

MM3_PER_ML = 1000.0


class SegmentStatistics(NamedTuple):
    """One segment: its volume in mL, and the mean intensity of the image in it (NaN if no voxel is in it)."""

    name: str
    volume_mL: float
    mean_intensity: float


def count_segments(segmentation_node: Any, volume_node: Any) -> Generator[float, None, list[SegmentStatistics]]:
    """Return (from a generator that yields the fraction done) the statistics of every segment, in order.

    The volume is computed on the segment's own grid, in world coordinates; a non-linear transform is ignored. The mean
    is taken over the voxels of ``volume_node`` whose centres are in the segment, for any grids and transforms of the
    two nodes. If voxels change meanwhile, the computation starts again.

    Raises:
        InputError: the segments cannot be converted to voxels, or the volume cannot be used.
    """
    rows: list[SegmentStatistics] = []
    stamp = None
    while stamp != (present := _stamp(segmentation_node, volume_node)):
        stamp = present
        rows = yield from _count_once(segmentation_node, volume_node)
    return rows


def _stamp(segmentation_node: Any, volume_node: Any) -> tuple[Any, ...]:
    """Check both nodes, and return a value that changes whenever their voxels change."""
    check_volume(volume_node)
    segmentation = segmentation_node.GetSegmentation()
    if segmentation.GetNumberOfSegments() and not segmentation.CreateRepresentation(layers.BINARY):
        raise InputError(
            _("the segments of “{name}” cannot be converted to voxels").format(name=segmentation_node.GetName()),
            _("create their binary labelmap in the Segmentations module"),
        )
    segments = {i: layers.segment_stamp(segmentation.GetSegment(i)) for i in layers.segment_ids(segmentation)}
    return content_stamp(volume_node), segments


def _count_once(segmentation_node: Any, volume_node: Any) -> Generator[float, None, list[SegmentStatistics]]:
    segmentation = segmentation_node.GetSegmentation()
    shared = layers.segments_by_layer(segmentation)
    counts = [_LayerCount(layer, segmentation_node, volume_node) for layer, _ids in shared]
    layer_of = {segment_id: count for count, (_layer, ids) in zip(counts, shared, strict=True) for segment_id in ids}
    segments = [(i, segmentation.GetSegment(i)) for i in layers.segment_ids(segmentation) if i in layer_of]
    named = [(layer_of[i], segment.GetName(), segment.GetLabelValue()) for i, segment in segments]
    for number, count in enumerate(counts):
        yield from within(number / len(counts), (number + 1) / len(counts), count.steps())
    return [SegmentStatistics(name, *count.of_value(value)) for count, name, value in named]


def add_table(segmentation_node: Any, volume_node: Any, rows: Sequence[SegmentStatistics]) -> Any:
    """Add a vtkMRMLTableNode with the rows to the scene, next to the segmentation, and return it."""
    scene = segmentation_node.GetScene()
    name = _("{segmentation} statistics").format(segmentation=segmentation_node.GetName())
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", results.unique_name(scene, name))
    titles = (_("Segment"), _("Volume (mL)"), _("Mean intensity of {volume}").format(volume=volume_node.GetName()))
    for index, title in enumerate(titles):
        column = vtk.vtkDoubleArray() if index else vtk.vtkStringArray()
        column.SetName(title)
        for row in rows:
            column.InsertNextValue(row[index])
        node.AddColumn(column)
    results.place_beside(node, segmentation_node)
    return node


class _LayerCount:
    """Counts the voxels of each value of one layer, and sums the intensities of a volume in them."""

    def __init__(self, layer: Any, segmentation_node: Any, volume_node: Any) -> None:
        self._layer = layer
        self._voxel_mL = _voxel_volume_mm3(layer, segmentation_node) / MM3_PER_ML
        self._image = slicer.util.arrayFromVolume(volume_node)
        self._affine = ijk_to_ras(volume_node)
        same_parent = segmentation_node.GetParentTransformNode() is volume_node.GetParentTransformNode()
        self._same_grid = same_parent and same_affine(image_to_world(layer), self._affine)
        self._to_volume = transform_between(segmentation_node, volume_node)
        self._voxels = np.zeros(1)  # number for each value, on the layer's own grid
        self._inside = np.zeros(1)  # number of voxels of the volume in each value
        self._sums = np.zeros(1)  # of the intensities of these voxels

    def steps(self) -> Generator[float, None, None]:
        """Count, from a generator that yields the fraction done."""
        labels = layers.layer_array(self._layer)
        for slab in slabs(labels.shape, labels.itemsize):
            self._voxels = _sum(self._voxels, np.bincount(labels[slab][labels[slab] > 0]))
            yield slab.stop / len(labels) / 2
        for slab in slabs(self._image.shape, self._image.itemsize):
            values, intensities = self._common(slab)
            inside = values > 0
            self._inside = _sum(self._inside, np.bincount(values[inside]))
            self._sums = _sum(self._sums, np.bincount(values[inside], intensities[inside]))
            yield 0.5 + slab.stop / len(self._image) / 2

    def of_value(self, value: int) -> tuple[float, float]:
        """Return the volume in mL of a value, and the mean intensity in it (NaN if it has no voxel)."""
        voxels, inside, total = (_at(counts, value) for counts in (self._voxels, self._inside, self._sums))
        return voxels * self._voxel_mL, total / inside if inside else math.nan

    def _common(self, slab: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return the layer's values and the intensities where both grids overlap, in these slices of the volume."""
        layer = self._layer if self._same_grid else self._resampled(slab)
        extent, (_k, j, i) = layer.GetExtent(), self._image.shape
        in_layer, in_image = [], []
        for first, last, low, high in zip(
            extent[4::-2], extent[5::-2], (slab.start, 0, 0), (slab.stop, j, i), strict=True
        ):
            begin = max(first, low)
            end = max(begin, min(last + 1, high))
            in_layer.append(slice(begin - first, end - first))
            in_image.append(slice(begin, end))
        return layers.layer_array(layer)[tuple(in_layer)], self._image[tuple(in_image)]

    def _resampled(self, slab: slice) -> Any:
        """Return the layer on the grid of these slices of the volume."""
        if self._layer.GetPointData().GetScalars() is None:
            return self._layer
        reference, resampled = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
        _k, j, i = self._image.shape
        reference.SetExtent(0, i - 1, 0, j - 1, slab.start, slab.stop - 1)
        reference.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(self._affine))
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
            self._layer, reference, resampled, False, False, self._to_volume
        )
        return resampled


def _sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Add two arrays that may differ in length."""
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    longer = longer.astype(float)
    longer[: len(shorter)] += shorter
    return longer


def _at(values: np.ndarray, index: int) -> float:
    return float(values[index]) if index < len(values) else 0.0


def _voxel_volume_mm3(layer: Any, segmentation_node: Any) -> float:
    affine = linear_part(transform_between(segmentation_node, None)) @ image_to_world(layer)
    return abs(float(np.linalg.det(affine[:3, :3])))

"""Volume and mean intensity of segments, counted on the voxels of the layers they share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from leuda_core.errors import InputError
from LEUDASegmentationLib import layers, results
from LEUDASegmentationLib.geometry import (
    ijk_to_ras,
    image_to_world,
    linear_part,
    matrix_from_array,
    same_affine,
    transform_between,
)
from LEUDASegmentationLib.volume_files import check_volume, slabs

MM3_PER_ML = 1000.0


class SegmentStatistics(NamedTuple):
    """One segment: its volume in mL, and the mean intensity of the volume in it (NaN where no voxel lies in it)."""

    name: str
    volume_mL: float
    mean_intensity: float


def segment_statistics(segmentation_node: Any, volume_node: Any) -> list[SegmentStatistics]:
    """Return the statistics of every segment, in order.

    The volume is counted on the segment's own grid and holds in world coordinates, but for a transform that is not
    linear, which is left out. The mean is taken over the voxels of ``volume_node`` whose centres lie in the segment,
    whatever the grids and transforms of the two nodes.

    Raises:
        InputError: the segments cannot be had as voxels, or the volume is none.
    """
    check_volume(volume_node)
    segmentation = segmentation_node.GetSegmentation()
    if segmentation.GetNumberOfSegments() and not segmentation.CreateRepresentation(layers.BINARY):
        raise InputError(
            _("the segments of “{name}” cannot be turned into voxels").format(name=segmentation_node.GetName()),
            _("make their binary labelmap in the Segmentations module"),
        )
    rows = {}
    for layer, ids in layers.segments_by_layer(segmentation):
        counts, means = _counts(layer), _means(layer, segmentation_node, volume_node)
        voxel_mL = _voxel_volume_mm3(layer, segmentation_node) / MM3_PER_ML
        for segment_id in ids:
            segment = segmentation.GetSegment(segment_id)
            value = segment.GetLabelValue()
            rows[segment_id] = SegmentStatistics(
                segment.GetName(), _at(counts, value, 0.0) * voxel_mL, _at(means, value, math.nan)
            )
    return [rows[segment_id] for segment_id in layers.segment_ids(segmentation) if segment_id in rows]


def add_table(segmentation_node: Any, volume_node: Any, rows: Sequence[SegmentStatistics]) -> Any:
    """Add a vtkMRMLTableNode with the rows to the scene, beside the segmentation, and return it."""
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


def _counts(layer: Any) -> np.ndarray:
    """Return the number of voxels of each value, (largest value + 1,)."""
    voxels = layers.layer_array(layer)
    totals = np.zeros(1)
    for slab in slabs(voxels.shape, voxels.itemsize):
        totals = _sum(totals, np.bincount(voxels[slab][voxels[slab] > 0]))
    return totals


def _means(layer: Any, segmentation_node: Any, volume_node: Any) -> np.ndarray:
    """Return the mean intensity in each value of the layer, (largest value + 1,), NaN where it has no voxel."""
    labels, start = _on_grid(layer, segmentation_node, volume_node)
    k, j, i = (slice(first, first + n) for first, n in zip(start, labels.shape, strict=True))
    image = slicer.util.arrayFromVolume(volume_node)[k, j, i]
    counts, sums = np.zeros(1), np.zeros(1)
    for slab in slabs(labels.shape, image.itemsize):
        inside = labels[slab] > 0
        values = labels[slab][inside]
        counts = _sum(counts, np.bincount(values))
        sums = _sum(sums, np.bincount(values, image[slab][inside]))
    with np.errstate(invalid="ignore"):
        return sums / counts


def _sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Add two arrays of which one may be longer."""
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    longer = longer.astype(float)
    longer[: len(shorter)] += shorter
    return longer


def _at(values: np.ndarray, index: int, default: float) -> float:
    return float(values[index]) if index < len(values) else default


def _on_grid(layer: Any, segmentation_node: Any, volume_node: Any) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Return the layer's values on the grid of the volume, and the index (k, j, i) there of their first voxel."""
    same_parent = segmentation_node.GetParentTransformNode() is volume_node.GetParentTransformNode()
    if not same_parent or not same_affine(image_to_world(layer), ijk_to_ras(volume_node)):
        layer = _resampled(layer, segmentation_node, volume_node)
    extent = layer.GetExtent()
    inside, start = [], []
    for first, last, n in zip(extent[::2], extent[1::2], volume_node.GetImageData().GetDimensions(), strict=True):
        begin, end = max(first, 0), min(last + 1, n)
        inside.append(slice(begin - first, max(begin, end) - first))
        start.append(begin)
    return layers.layer_array(layer)[tuple(reversed(inside))], tuple(reversed(start))


def _resampled(layer: Any, segmentation_node: Any, volume_node: Any) -> Any:
    if layer.GetPointData().GetScalars() is None:
        return layer
    reference, resampled = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
    reference.SetDimensions(volume_node.GetImageData().GetDimensions())
    reference.SetImageToWorldMatrix(matrix_from_array(ijk_to_ras(volume_node)))
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        layer, reference, resampled, False, False, transform_between(segmentation_node, volume_node)
    )
    return resampled


def _voxel_volume_mm3(layer: Any, segmentation_node: Any) -> float:
    affine = linear_part(transform_between(segmentation_node, None)) @ image_to_world(layer)
    return abs(float(np.linalg.det(affine[:3, :3])))

"""Closed surfaces of segments, one after another, each from the bounding box of its own voxels.

Slicer's own conversion creates all of them in one call, each from the whole layer, and blocks the window meanwhile. The
conversion of one segment is still a single call: a large organ blocks the window for one or two seconds.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import slicer
import vtk

from LEUDASegmentationLib.scene import layers
from LEUDASegmentationLib.scene.steps import within

SURFACE = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
SMOOTHING = "Smoothing factor"
JOINT_SMOOTHING = "Joint smoothing"


def make_surfaces(node: Any, smoothing: float | None = None) -> Generator[float, None, None]:
    """Show every segment in 3-D, from a generator that yields the fraction done; all surfaces appear at its end.

    Args:
        node: the segmentation node. smoothing: 0 to 1; None keeps the segmentation's own setting.
    """
    segmentation = node.GetSegmentation()
    if smoothing is not None:
        segmentation.SetConversionParameter(SMOOTHING, str(float(smoothing)))
    segmentation.RemoveRepresentation(SURFACE)
    if not _smooths_jointly(segmentation):
        yield from _make_each(segmentation)
    node.CreateClosedSurfaceRepresentation()  # for segments without one
    segmentation.InvokeEvent(slicer.vtkSegmentation.ContainedRepresentationNamesModified)
    if node.GetDisplayNode() is not None:
        node.GetDisplayNode().SetPreferredDisplayRepresentationName3D(SURFACE)


def _make_each(segmentation: Any) -> Generator[float, None, None]:
    ids = layers.segment_ids(segmentation)
    made = []
    for number, segment_id in enumerate(ids):
        segment = segmentation.GetSegment(segment_id)
        if segment is not None:  # it may be deleted meanwhile
            stamp, half = layers.segment_stamp(segment), (number + 0.5) / len(ids)
            image = yield from within(number / len(ids), half, layers.only_segment(segment))
            made.append((segment_id, stamp, _surface(segmentation, image)))
        yield (number + 1) / len(ids)
    for segment_id, stamp, surface in made:
        segment = segmentation.GetSegment(segment_id)
        if segment is not None and layers.segment_stamp(segment) == stamp:
            segment.AddRepresentation(SURFACE, surface)


def _smooths_jointly(segmentation: Any) -> bool:
    """Return whether neighbouring surfaces depend on each other, so that Slicer must create all of them together."""
    value = segmentation.GetConversionParameter(JOINT_SMOOTHING)
    return value not in ("", "0")


def _surface(segmentation: Any, image: Any | None) -> Any:
    """Return the surface of a segment's voxels as vtkPolyData, with the segmentation's conversion parameters."""
    if image is None:
        return vtk.vtkPolyData()
    alone, copy = slicer.vtkSegmentation(), slicer.vtkSegment()
    alone.SetSourceRepresentationName(layers.BINARY)
    alone.CopyConversionParameters(segmentation)
    copy.AddRepresentation(layers.BINARY, image)
    alone.AddSegment(copy, "alone")
    alone.CreateRepresentation(SURFACE)
    return copy.GetRepresentation(SURFACE)

"""Closed surfaces of segments, one after the other, each from the box of its own voxels.

Slicer's own conversion makes all of them in one go, each from the whole layer, while the window stands still.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import slicer
import vtk

from LEUDASegmentationLib import layers

SURFACE = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
SMOOTHING = "Smoothing factor"
JOINT_SMOOTHING = "Joint smoothing"


def make_surfaces(node: Any, smoothing: float | None = None) -> Generator[float, None, None]:
    """Show every segment in 3-D, from a generator that yields the part done; all surfaces appear at its end.

    Args:
        node: the segmentation node. smoothing: 0 to 1; None leaves the segmentation's own setting.
    """
    segmentation = node.GetSegmentation()
    if smoothing is not None:
        segmentation.SetConversionParameter(SMOOTHING, str(float(smoothing)))
    segmentation.RemoveRepresentation(SURFACE)
    if not _smooths_jointly(segmentation):
        yield from _make_each(segmentation)
    node.CreateClosedSurfaceRepresentation()  # of those that have none yet
    segmentation.InvokeEvent(slicer.vtkSegmentation.ContainedRepresentationNamesModified)
    if node.GetDisplayNode() is not None:
        node.GetDisplayNode().SetPreferredDisplayRepresentationName3D(SURFACE)


def _make_each(segmentation: Any) -> Generator[float, None, None]:
    ids = layers.segment_ids(segmentation)
    made = []
    for number, segment_id in enumerate(ids, start=1):
        segment = segmentation.GetSegment(segment_id)
        if segment is not None:  # somebody may delete it meanwhile
            made.append((segment_id, _stamp(segment), _surface(segmentation, segment)))
        yield number / len(ids)
    for segment_id, stamp, surface in made:
        segment = segmentation.GetSegment(segment_id)
        if segment is not None and _stamp(segment) == stamp:
            segment.AddRepresentation(SURFACE, surface)


def _stamp(segment: Any) -> tuple[Any, int, int]:
    """Return what changes when the segment's voxels do."""
    layer = segment.GetRepresentation(layers.BINARY)
    return layer, layer.GetMTime(), segment.GetLabelValue()


def _smooths_jointly(segmentation: Any) -> bool:
    """Return whether neighbouring surfaces depend on each other, so that only Slicer can make them, together."""
    value = segmentation.GetConversionParameter(JOINT_SMOOTHING)
    return value not in ("", "0")


def _surface(segmentation: Any, segment: Any) -> Any:
    """Return the surface of one segment as vtkPolyData, as the segmentation's conversion parameters say."""
    image = layers.only_segment(segment)
    if image is None:
        return vtk.vtkPolyData()
    alone, copy = slicer.vtkSegmentation(), slicer.vtkSegment()
    alone.SetSourceRepresentationName(layers.BINARY)
    alone.CopyConversionParameters(segmentation)
    copy.AddRepresentation(layers.BINARY, image)
    alone.AddSegment(copy, "alone")
    alone.CreateRepresentation(SURFACE)
    return copy.GetRepresentation(SURFACE)

"""Closed surfaces of segments, one after the other, each from the box of its own voxels.

Slicer's own conversion makes all of them in one go, each from the whole layer, while the window stands still. That of
one segment is a single call all the same: a large organ takes a second or two, in which the window does not answer.
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
    for number, segment_id in enumerate(ids):
        segment = segmentation.GetSegment(segment_id)
        if segment is not None:  # somebody may delete it meanwhile
            stamp, half = layers.segment_stamp(segment), (number + 0.5) / len(ids)
            image = yield from within(number / len(ids), half, layers.only_segment(segment))
            made.append((segment_id, stamp, _surface(segmentation, image)))
        yield (number + 1) / len(ids)
    for segment_id, stamp, surface in made:
        segment = segmentation.GetSegment(segment_id)
        if segment is not None and layers.segment_stamp(segment) == stamp:
            segment.AddRepresentation(SURFACE, surface)


def _smooths_jointly(segmentation: Any) -> bool:
    """Return whether neighbouring surfaces depend on each other, so that only Slicer can make them, together."""
    value = segmentation.GetConversionParameter(JOINT_SMOOTHING)
    return value not in ("", "0")


def _surface(segmentation: Any, image: Any | None) -> Any:
    """Return the surface of a segment's voxels as vtkPolyData, as the segmentation's conversion parameters say."""
    if image is None:
        return vtk.vtkPolyData()
    alone, copy = slicer.vtkSegmentation(), slicer.vtkSegment()
    alone.SetSourceRepresentationName(layers.BINARY)
    alone.CopyConversionParameters(segmentation)
    copy.AddRepresentation(layers.BINARY, image)
    alone.AddSegment(copy, "alone")
    alone.CreateRepresentation(SURFACE)
    return copy.GetRepresentation(SURFACE)

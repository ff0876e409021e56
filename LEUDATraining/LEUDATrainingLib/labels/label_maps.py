"""Segmentations whose segments are the structures: creating, completing and filling them from label maps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer

from LEUDATrainingLib.cases.structures import Structure
from LEUDATrainingLib.labels.segment_names import segments_of

OFFERED = "LEUDA.Structures"
"""Attribute of a segmentation: the names of the structures for which it got segments."""


def set_labels(segmentation: Any, volume: Any, labels: np.ndarray, structures: Sequence[Structure]) -> None:
    """Replace the segment of each structure by its voxels in ``labels`` (K, J, I), on the grid of ``volume``."""
    ensure_segments(segmentation, structures)
    for segment_id, structure in segments_of(segmentation, structures):
        mask = (labels == structure.value).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment_id, volume)


def ensure_segments(segmentation: Any, structures: Sequence[Structure]) -> None:
    """Add an empty segment, with colour and terminology, for every structure without a segment."""
    present = {structure.name for _id, structure in segments_of(segmentation, structures)}
    for structure in structures:
        if structure.name in present:
            continue
        segment = slicer.vtkSegment()
        segment.SetName(structure.name)
        if structure.terminology:
            segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), structure.terminology)
        segmentation.GetSegmentation().AddSegment(segment)
        segment.SetColor(*structure.color)  # after adding, which changes the colour of a grey segment


def offer_segments(segmentation: Any, structures: Sequence[Structure]) -> None:
    """Add an empty segment for every structure that is new since the last call: what the user removed stays removed."""
    names = [structure.name for structure in structures]
    offered = json.loads(segmentation.GetAttribute(OFFERED) or "[]")
    if names != offered:
        ensure_segments(segmentation, [structure for structure in structures if structure.name not in offered])
        segmentation.SetAttribute(OFFERED, json.dumps(names))


def new_segmentation(volume: Any, structures: Sequence[Structure], name: str) -> Any:
    """Return a new segmentation on the grid of a volume, with its transform and an empty segment for each structure."""
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    offer_segments(segmentation, structures)
    return segmentation

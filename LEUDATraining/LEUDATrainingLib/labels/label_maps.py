"""Segmentations whose segments are the structures to learn: made, completed, and filled from label maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer

from LEUDATrainingLib.cases.structures import Structure, segments
from LEUDATrainingLib.labels.label_layers import segments_of


def unknown_segments(segmentation: Any, structures: Sequence[Structure]) -> list[str]:
    """Return the names of segments that are no structure; what they hold counts as background."""
    known = {structure.name for structure in structures}
    return [segment.GetName() for _id, segment in segments(segmentation) if segment.GetName() not in known]


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

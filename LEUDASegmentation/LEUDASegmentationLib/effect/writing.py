"""Writing what the model says into segments, as every effect of the Segment Editor writes.

Every change goes through the effect's ``modifySelectedSegmentByLabelmap``; overwriting and undo are those of the
editor. So is masking, but it is applied here, for all segments before the first change: several are written at once,
and one of them may be the mask of the others.

What the model wrote is not a correction by the user: slices that nobody had drawn on are stamped again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from leuda_core.errors import InputError
from leuda_core.types import Label
from LEUDASegmentationLib.effect.region import BACKGROUND, OUTSIDE
from LEUDASegmentationLib.scene.corrections import own_slices, set_stamps, stamp_again
from LEUDASegmentationLib.scene.geometry import (
    image_to_world,
    is_linear,
    linear_part,
    same_affine,
    transform_between,
)
from LEUDASegmentationLib.scene.layers import BINARY, LABEL_TAG, find_segment, layer_array, new_layer


@dataclass(frozen=True)
class Written:
    """What came of an answer: whether the model ``found`` any of the labels, and whether voxels were ``removed``."""

    found: bool
    removed: bool


def write_answer(effect: Any, answer: Any, volume_node: Any, targets: Mapping[str, int]) -> Written:
    """Replace segments, within the region of an answer, by what the model says.

    Args:
        effect: the ``qSlicerSegmentEditorScriptedEffect``. answer: of ``region.read_answer``.
        targets: values of labels by the ids of the segments that become them.

    Raises:
        InputError: the segmentation has no geometry.
    """
    node = effect.parameterSetNode()
    segmentation = node.GetSegmentationNode().GetSegmentation()
    image = _on_editors_grid(effect, answer, volume_node)
    voxels, modes = layer_array(image), slicer.qSlicerSegmentEditorAbstractEffect
    own = {segment_id: own_slices(segmentation.GetSegment(segment_id)) for segment_id in targets}
    before = node.GetSelectedSegmentID(), node.GetMaskMode(), node.GetSourceVolumeIntensityMask()
    removed = False
    with slicer.util.NodeModify(node):  # the editor must not see what is selected meanwhile
        try:
            editable = {}
            for segment_id in targets:  # all masks come first: what is changed may be a mask itself
                node.SetSelectedSegmentID(segment_id)
                editable[segment_id] = _editable(effect, image)
            node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
            node.SetSourceVolumeIntensityMask(False)
            for segment_id, value in targets.items():
                node.SetSelectedSegmentID(segment_id)
                wrong = (voxels != OUTSIDE) & (voxels != value + BACKGROUND) & _present(segmentation, segment_id, image)
                removed |= _modify(effect, image, wrong & editable[segment_id], modes.ModificationModeRemove)
            for segment_id, value in targets.items():
                node.SetSelectedSegmentID(segment_id)
                right = (voxels == value + BACKGROUND) & editable[segment_id]
                _modify(effect, image, right, modes.ModificationModeAdd)
        finally:
            node.SetSelectedSegmentID(before[0])
            node.SetMaskMode(before[1])
            node.SetSourceVolumeIntensityMask(before[2])
    for segment_id, slices in own.items():
        stamp_again(segmentation.GetSegment(segment_id), slices)
    values = [value + BACKGROUND for value in targets.values()]
    return Written(bool(np.isin(voxels, values).any()), removed)


def add_missing_segments(segmentation_node: Any, labels: Sequence[Label]) -> dict[str, int]:
    """Return the values of labels by the ids of the segments with their names; segments that are missing are added."""
    segmentation = segmentation_node.GetSegmentation()
    targets = {}
    for label in labels:
        segment_id = find_segment(segmentation, label.name)
        if segment_id is None:
            segment_id = segmentation.AddEmptySegment("", label.name, label.color)
            segment = segmentation.GetSegment(segment_id)
            segment.SetTag(LABEL_TAG, label.name)
            set_stamps(segment, "")
            if label.terminology:
                segment.SetTag(segment.GetTerminologyEntryTagName(), label.terminology)
        targets[segment_id] = label.value
    return targets


def _on_editors_grid(effect: Any, answer: Any, volume_node: Any) -> Any:
    """Return an answer on the grid of the segmentation; the same image where this is the grid of the volume."""
    reference = effect.defaultModifierLabelmap()
    if reference is None:
        raise InputError(
            _("the segmentation has no geometry"), _("choose its source volume again, or specify its geometry")
        )
    to_segments = transform_between(volume_node, effect.parameterSetNode().GetSegmentationNode())
    matrix = linear_part(to_segments) @ image_to_world(answer)
    if is_linear(to_segments) and same_affine(matrix, image_to_world(reference)):
        moved = slicer.vtkOrientedImageData()
        moved.ShallowCopy(answer)
        moved.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(image_to_world(reference)))
        return moved
    resampled = slicer.vtkOrientedImageData()
    done = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        answer, reference, resampled, False, False, to_segments
    )
    if not done:
        raise InputError(
            _("the result cannot be brought onto the geometry of the segmentation"),
            _("specify the geometry of the volume for the segmentation"),
        )
    return resampled


def _editable(effect: Any, image: Any) -> np.ndarray:
    """Return where the editor allows changes of the selected segment, as an array of the image that broadcasts."""
    node = effect.parameterSetNode()
    allowed = np.ones((1, 1, 1), bool)
    if node.GetMaskMode() != slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere:
        mask = effect.maskLabelmap()
        if mask is not None:
            allowed = _within(image, mask, layer_array(mask) == 0)
    if node.GetSourceVolumeIntensityMask():
        source, (low, high) = effect.sourceVolumeImageData(), node.GetSourceVolumeIntensityMaskRange()
        grey = layer_array(source)
        allowed = allowed & _within(image, source, (grey >= low) & (grey <= high))
    return allowed


def _within(image: Any, other: Any, marks: np.ndarray) -> np.ndarray:
    """Return marks (K, J, I) of another image on the same grid for the voxels of an image; none outside of it."""
    result = np.zeros(layer_array(image).shape, bool)
    theirs, ours = [], []
    for axis in (2, 1, 0):  # k, j, i
        (low, high), (first, last) = (one.GetExtent()[2 * axis : 2 * axis + 2] for one in (other, image))
        start = max(low, first)
        stop = max(min(high, last) + 1, start)
        theirs.append(slice(start - low, stop - low))
        ours.append(slice(start - first, stop - first))
    result[tuple(ours)] = marks[tuple(theirs)]
    return result


def _present(segmentation: Any, segment_id: str, image: Any) -> np.ndarray:
    """Return where a segment may have voxels, as an array of the image that broadcasts; its layer is cropped."""
    layer = segmentation.GetSegment(segment_id).GetRepresentation(BINARY)
    if layer is None or not layer_array(layer).size:
        return np.zeros((1, 1, 1), bool)
    if not same_affine(image_to_world(layer), image_to_world(image)):
        return np.ones((1, 1, 1), bool)
    return _within(image, layer, np.broadcast_to(True, layer_array(layer).shape))


def _modify(effect: Any, image: Any, where: np.ndarray, mode: Any) -> bool:
    """Add or remove voxels of the selected segment; only their bounding box goes through the editor.

    Return whether there are any.
    """
    if not where.any():
        return False
    window: list[slice] = []
    extent: list[int] = []
    for axis in range(3):  # k, j, i
        marked = np.flatnonzero(where.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = int(marked[0]), int(marked[-1])
        window.append(slice(first, last + 1))
        start = image.GetExtent()[2 * (2 - axis)]
        extent = [start + first, start + last, *extent]
    part = new_layer(extent, np.dtype(np.uint8), image_to_world(image))
    layer_array(part)[:] = where[tuple(window)]
    effect.modifySelectedSegmentByLabelmap(part, mode)
    return True

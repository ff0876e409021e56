"""Class probabilities as scalar volumes in the scene, one per label, on the grid of the segmented volume."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import vtk
from slicer.i18n import tr as _

from leuda_core.types import Label
from LEUDASegmentationLib.run import results
from LEUDASegmentationLib.scene import layers
from LEUDASegmentationLib.scene.geometry import RoiMask
from LEUDASegmentationLib.scene.volume_files import slabs

ROLE = "LEUDA.Probability"  # of the node references from the segmentation to its probability volumes
LABEL_ATTRIBUTE = "LEUDA.Label"


def read_probabilities(path: str, channels: Sequence[int], roi: RoiMask | None) -> Generator[float, None, list[Any]]:
    """Return (from a generator that yields the fraction done) channels of a ``.npy`` file (C, K, J, I) as images."""
    source = np.load(path, mmap_mode="r")
    images = []
    for position, channel in enumerate(channels):
        image = vtk.vtkImageData()
        image.SetDimensions(source.shape[:0:-1])
        image.AllocateScalars(vtk.VTK_FLOAT, 1)
        target = layers.layer_array(image)
        for slab in slabs(target.shape, target.itemsize):
            target[slab] = source[channel][slab]
            if roi is not None:
                roi.apply(target[slab], slab.start)
            yield (position + slab.stop / len(target)) / len(channels)
        images.append(image)
    return images


def write_probabilities(
    record: results.RunRecord, volume_node: Any, labels: Sequence[Label], images: Sequence[Any]
) -> None:
    """Put each image into the segmentation's volume for its label, a new volume if there is none."""
    existing = _existing_volumes(record.node)
    for label, image in zip(labels, images, strict=True):
        volume = existing.get(label.name)
        if volume is None:
            volume = _new_volume(record.node, label.name)
            record.new_volumes.append(volume)
        else:
            record.old_images.append((volume, volume.GetImageData()))
        volume.CopyOrientation(volume_node)
        volume.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
        volume.SetAndObserveImageData(image)
        if volume.GetDisplayNode() is None:
            _show_zero_to_one(volume)
            results.place_beside(volume, volume_node)


def _existing_volumes(segmentation_node: Any) -> dict[str, Any]:
    count = segmentation_node.GetNumberOfNodeReferences(ROLE)
    volumes = [segmentation_node.GetNthNodeReference(ROLE, index) for index in range(count)]
    return {volume.GetAttribute(LABEL_ATTRIBUTE): volume for volume in volumes if volume is not None}


def _new_volume(segmentation_node: Any, label_name: str) -> Any:
    scene = segmentation_node.GetScene()
    name = _("{segmentation} {label} probability").format(segmentation=segmentation_node.GetName(), label=label_name)
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", results.unique_name(scene, name))
    volume.SetAttribute(LABEL_ATTRIBUTE, label_name)
    segmentation_node.AddNodeReferenceID(ROLE, volume.GetID())
    return volume


def _show_zero_to_one(volume: Any) -> None:
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, 1)

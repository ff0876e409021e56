"""The results of a run in the scene: segmentation, surfaces and probabilities, and how to undo them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import slicer
from slicer.i18n import tr as _

from leuda_core.errors import InputError
from leuda_core.types import Label
from LEUDASegmentationLib.run.surfaces import SURFACE, make_surfaces
from LEUDASegmentationLib.scene import layers
from LEUDASegmentationLib.scene.corrections import WRITTEN_TAG, set_stamps

GEOMETRY = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
REFERENCE_ROLE = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
MODEL_ATTRIBUTE = "LEUDA.Model"
DOUBT_ATTRIBUTE = "LEUDA.Doubt"


@dataclass
class RunRecord:
    """What a run changed. ``undo`` restores it and keeps changes that were made by others since."""

    node: Any
    made: bool
    change: layers.Change = field(default_factory=layers.Change)
    transform_id: str | None = None
    reference_id: str | None = None
    geometry: str = ""
    had_surfaces: bool = False
    stamps: dict[str, str | None] = field(default_factory=dict)  # of replaced segments, before the run
    doubt: str | None = None  # what the node said about its slices before the run
    new_volumes: list[Any] = field(default_factory=list)
    old_images: list[tuple[Any, Any]] = field(default_factory=list)  # of probability volumes that existed before

    def undo(self) -> Generator[float, None, None]:
        """Restore the state before the run, from a generator that yields the fraction done of a stage.

        A segmentation that the run created is removed, unless others added segments to it.
        """
        segmentation, copies = self.node.GetSegmentation(), layers.LayerCopies()
        if not self._made_all(segmentation):
            yield from copies.for_take_back(segmentation, self.change)
        if self.node.GetScene() is None:  # deleted meanwhile
            return
        self._restore_volumes()
        if self._made_all(segmentation):
            remove_node(self.node)
            return
        layers.take_back(segmentation, self.change, copies)
        for segment_id, stamps in self.stamps.items():
            if (segment := segmentation.GetSegment(segment_id)) is not None:
                set_stamps(segment, stamps)
        set_attribute(self.node, DOUBT_ATTRIBUTE, self.doubt)
        if not self.made:
            self.node.SetAndObserveTransformNodeID(self.transform_id)
            self.node.SetNodeReferenceID(REFERENCE_ROLE, self.reference_id)
            segmentation.SetConversionParameter(GEOMETRY, self.geometry)
        if self.had_surfaces:
            yield from make_surfaces(self.node)

    def _made_all(self, segmentation: Any) -> bool:
        return self.made and set(layers.segment_ids(segmentation)) <= set(self.change.added)

    def _restore_volumes(self) -> None:
        for volume in self.new_volumes:
            remove_node(volume)
        for volume, image in self.old_images:
            volume.SetAndObserveImageData(image)


def check_output(node: Any | None, volume_node: Any, labels: Sequence[Label]) -> None:
    """Check that segments of these labels can be written into a segmentation (None: a new one).

    Raises:
        InputError: they cannot; says why.
    """
    if node is None:
        return
    name = node.GetName()
    if not node.IsA("vtkMRMLSegmentationNode"):
        raise InputError(
            _("“{name}” is not a segmentation").format(name=name),
            _("choose a segmentation, or none to create a new one"),
        )
    segmentation = node.GetSegmentation()
    if not segmentation.GetNumberOfSegments():
        return
    if segmentation.GetSourceRepresentationName() != layers.BINARY:
        raise InputError(
            _("“{name}” is stored as {representation}, not as voxels").format(
                name=name, representation=segmentation.GetSourceRepresentationName().lower()
            ),
            _("make the binary labelmap its source representation in Segmentations, or choose another output"),
        )
    other_place = node.GetParentTransformNode() is not volume_node.GetParentTransformNode()
    if other_place and layers.other_segments(segmentation, labels):
        raise InputError(
            _("“{name}” is under another transform than “{volume}”").format(name=name, volume=volume_node.GetName()),
            _("put both under the same transform, or choose a new output"),
        )


def write_run(
    volume_node: Any,
    model_name: str,
    layer: Any,
    labels: Sequence[Label],
    output: Any | None,
    copies: layers.LayerCopies | None = None,
    stamps: Mapping[int, str] | None = None,
    doubt: str | None = None,
) -> RunRecord:
    """Put the labels of a layer into ``output``, or into a new segmentation.

    Args:
        copies: prepared with ``for_put``, so that this call is fast.
        stamps: by label value, the tag that tells later what a user has drawn.
        doubt: what the worker said about single slices, as text for an attribute.

    Raises:
        InputError: the output was changed meanwhile, so that it can no longer be written to.
    """
    check_output(output, volume_node, labels)
    node = output or _new_segmentation(volume_node, model_name)
    segmentation = node.GetSegmentation()
    record = RunRecord(
        node,
        made=output is None,
        transform_id=node.GetTransformNodeID(),
        reference_id=node.GetNodeReferenceID(REFERENCE_ROLE),
        geometry=segmentation.GetConversionParameter(GEOMETRY),
        had_surfaces=segmentation.ContainsRepresentation(SURFACE),
        doubt=node.GetAttribute(DOUBT_ATTRIBUTE),
    )
    set_attribute(node, DOUBT_ATTRIBUTE, doubt)
    if not segmentation.GetNumberOfSegments():
        segmentation.SetSourceRepresentationName(layers.BINARY)
    if not layers.other_segments(segmentation, labels) or not record.geometry:
        node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    if record.had_surfaces:
        segmentation.RemoveRepresentation(SURFACE)  # otherwise each added segment gets a surface immediately
    record.change = layers.put_segments(segmentation, layer, labels, copies)
    for label in labels:
        segment_id = layers.find_segment(segmentation, label.name)
        segment = segmentation.GetSegment(segment_id)
        if segment_id in record.change.replaced:
            record.stamps[segment_id] = layers.tag(segment, WRITTEN_TAG)
        set_stamps(segment, (stamps or {}).get(label.value))
    node.SetAttribute(MODEL_ATTRIBUTE, model_name)
    return record


def _new_segmentation(volume_node: Any, model_name: str) -> Any:
    scene = volume_node.GetScene()
    name = unique_name(scene, _("{volume} {model} segmentation").format(volume=volume_node.GetName(), model=model_name))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(True)
    display.SetVisibility2DOutline(True)
    place_beside(node, volume_node)
    return node


def set_attribute(node: Any, name: str, text: str | None) -> None:
    """Set an attribute of a node, or remove it."""
    if text is None:
        node.RemoveAttribute(name)
    else:
        node.SetAttribute(name, text)


def unique_name(scene: Any, name: str) -> str:
    """Return the name, with a number appended if a node already has it."""
    return scene.GenerateUniqueName(name) if scene.GetFirstNodeByName(name) else name


def place_beside(node: Any, neighbour: Any) -> None:
    """Give a node the subject-hierarchy parent of another node, such as a DICOM study."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    neighbours_item = hierarchy.GetItemByDataNode(neighbour) if hierarchy else 0
    if not neighbours_item:
        return
    parent, item = hierarchy.GetItemParent(neighbours_item), hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, parent)
    else:
        hierarchy.CreateItem(parent, node)


def remove_node(node: Any) -> None:
    """Remove a node with its display and storage nodes from its scene, if it is still in one."""
    scene = node.GetScene()
    if scene is None:
        return
    for index in reversed(range(node.GetNumberOfDisplayNodes())):
        scene.RemoveNode(node.GetNthDisplayNode(index))
    if node.GetStorageNode() is not None:
        scene.RemoveNode(node.GetStorageNode())
    scene.RemoveNode(node)

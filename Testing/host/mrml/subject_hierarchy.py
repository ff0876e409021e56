"""Items of the subject hierarchy, made when nodes come and go: in Slicer that is the work of Qt plugins."""

from __future__ import annotations

from typing import Any

import slicer_core as core
import vtk

PLUGINS = (  # the first that fits: a label map is a volume, too
    ("vtkMRMLLabelMapVolumeNode", "LabelMaps"),
    ("vtkMRMLVolumeNode", "Volumes"),
    ("vtkMRMLSegmentationNode", "Segmentations"),
    ("vtkMRMLModelNode", "Models"),
    ("vtkMRMLMarkupsNode", "Markups"),
    ("vtkMRMLTransformNode", "Transforms"),
    ("vtkMRMLTableNode", "Tables"),
    ("vtkMRMLTextNode", "Texts"),
    ("vtkMRMLPlotChartNode", "Plots"),
    ("vtkMRMLPlotSeriesNode", "Plots"),
)
SEGMENT_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified")


class HierarchyKeeper:
    """Follows a scene: one item for each data node, one below a segmentation for each of its segments."""

    def __init__(self, scene: Any):
        self._scene = scene
        self._segmentations: dict[str, tuple[Any, list[int]]] = {}
        self._tags = [
            scene.AddObserver(core.vtkMRMLScene.NodeAddedEvent, self._on_added),
            scene.AddObserver(core.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._on_removed),
            scene.AddObserver(core.vtkMRMLScene.EndImportEvent, self._on_imported, 10.0),
            scene.AddObserver(core.vtkMRMLScene.EndCloseEvent, self._on_closed),
        ]

    def close(self) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)

    def _node(self) -> Any:
        return core.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_added(self, scene: Any, event: str, node: Any) -> None:
        if node.IsA("vtkMRMLSubjectHierarchyNode"):
            core.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(scene)
        elif not scene.IsImporting():
            self._add(node)

    def _add(self, node: Any) -> None:
        plugin = next((name for kind, name in PLUGINS if node.IsA(kind)), None)
        if plugin is None or node.GetHideFromEditors():
            return
        hierarchy = self._node()
        if not hierarchy.GetItemByDataNode(node):
            item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
            hierarchy.SetItemOwnerPluginName(item, plugin)
        if plugin == "Segmentations" and node.GetID() not in self._segmentations:
            self._follow(node)

    def _follow(self, node: Any) -> None:
        segmentation = node.GetSegmentation()
        events = [getattr(core.vtkSegmentation, name) for name in SEGMENT_EVENTS]
        tags = [segmentation.AddObserver(event, lambda *_: self._update_segments(node)) for event in events]
        self._segmentations[node.GetID()] = (segmentation, tags)
        self._update_segments(node)

    def _update_segments(self, node: Any) -> None:
        hierarchy = self._node()
        parent, segmentation = hierarchy.GetItemByDataNode(node), node.GetSegmentation()
        if not parent:
            return
        count = segmentation.GetNumberOfSegments()
        wanted = {segmentation.GetNthSegmentID(i): segmentation.GetNthSegment(i) for i in range(count)}
        for item, segment_id in self._segment_items(parent).items():
            if segment_id in wanted:
                hierarchy.SetItemName(item, wanted.pop(segment_id).GetName() or "")
            else:
                hierarchy.RemoveItem(item)
        for segment_id, segment in wanted.items():
            item = hierarchy.CreateHierarchyItem(parent, segment.GetName() or "", "")
            hierarchy.SetItemOwnerPluginName(item, "Segments")
            hierarchy.SetItemAttribute(item, core.vtkMRMLSegmentationNode.GetSegmentIDAttributeName(), segment_id)

    def _segment_items(self, parent: int) -> dict[int, str]:
        hierarchy, items = self._node(), vtk.vtkIdList()
        hierarchy.GetItemChildren(parent, items, False)
        name = core.vtkMRMLSegmentationNode.GetSegmentIDAttributeName()
        ids = {items.GetId(i): hierarchy.GetItemAttribute(items.GetId(i), name) for i in range(items.GetNumberOfIds())}
        return {item: segment_id for item, segment_id in ids.items() if segment_id}

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_removed(self, scene: Any, event: str, node: Any) -> None:
        segmentation, tags = self._segmentations.pop(node.GetID(), (None, []))
        for tag in tags:
            segmentation.RemoveObserver(tag)
        if not scene.IsClosing() and not node.IsA("vtkMRMLSubjectHierarchyNode"):
            hierarchy = self._node()
            item = hierarchy.GetItemByDataNode(node)
            if item:
                hierarchy.RemoveItem(item, False, False)

    def _on_imported(self, scene: Any, event: str) -> None:
        core.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(scene)
        for index in range(scene.GetNumberOfNodes()):
            self._add(scene.GetNthNode(index))

    def _on_closed(self, scene: Any, event: str) -> None:
        self._segmentations.clear()
        core.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(scene)

"""``slicer.app.coreIOManager()``: what ``slicer.util`` needs to load and save nodes and scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer_core as core
import vtk

VOLUME_OPTIONS = {"labelmap": 1, "center": 2, "singleFile": 4, "autoWindowLevel": 8, "discardOrientation": 16}
STORED = {  # file type: (node class, storage class) of what is read by its storage node alone
    "ModelFile": ("vtkMRMLModelNode", "vtkMRMLModelStorageNode"),
    "TransformFile": ("vtkMRMLTransformNode", "vtkMRMLTransformStorageNode"),
    "TableFile": ("vtkMRMLTableNode", "vtkMRMLTableStorageNode"),
    "TextFile": ("vtkMRMLTextNode", "vtkMRMLTextStorageNode"),
}
TYPES_BY_SUFFIX = {
    ".seg.nrrd": "SegmentationFile",
    ".mrk.json": "MarkupsFile",
    ".mrb": "SceneFile",
    ".mrml": "SceneFile",
    ".nrrd": "VolumeFile",
    ".nhdr": "VolumeFile",
    ".nii": "VolumeFile",
    ".nii.gz": "VolumeFile",
    ".mha": "VolumeFile",
    ".mhd": "VolumeFile",
    ".dcm": "VolumeFile",
    ".vtk": "ModelFile",
    ".vtp": "ModelFile",
    ".stl": "ModelFile",
    ".obj": "ModelFile",
    ".tfm": "TransformFile",
    ".h5": "TransformFile",
    ".tsv": "TableFile",
    ".csv": "TableFile",
    ".txt": "TextFile",
}


class CoreIOManager:
    """Readers and writers of the node classes the modules use."""

    def __init__(self, world: Any):
        self._world = world
        self._readers = {
            "VolumeFile": self._load_volume,
            "SegmentationFile": self._load_segmentation,
            "SceneFile": self._load_scene,
            "MarkupsFile": self._load_markups,
        }

    def fileType(self, path: str) -> str:
        name = Path(path).name.lower()
        found = [suffix for suffix in TYPES_BY_SUFFIX if name.endswith(suffix)]
        return TYPES_BY_SUFFIX[max(found, key=len)] if found else "NoFile"

    def loadNodes(self, fileType: str, properties: dict[str, Any], loaded: Any = None, messages: Any = None) -> bool:
        """Read ``properties["fileName"]``. What came is put into the collection; problems into the messages."""
        path = properties["fileName"]
        if not Path(path).is_file():
            _tell(messages, f"File does not exist: {path}")
            return False
        reader = self._readers.get(fileType) or (lambda p, q, m: self._load_stored(fileType, p))
        nodes = reader(path, properties, messages)
        for node in nodes or ():
            if loaded is not None:
                loaded.AddItem(node)
        return nodes is not None

    def loadScene(self, path: str, clear: bool = True) -> bool:
        return self.loadNodes("SceneFile", {"fileName": path, "clear": clear})

    def _name(self, path: str, properties: dict[str, Any]) -> str:
        plain = Path(path).name
        suffix = max((s for s in TYPES_BY_SUFFIX if plain.lower().endswith(s)), key=len, default="")
        return properties.get("name") or plain[: len(plain) - len(suffix)]

    def _load_volume(self, path: str, properties: dict[str, Any], messages: Any) -> list[Any] | None:
        defaults = {"autoWindowLevel": True, **properties}
        options = sum(bit for key, bit in VOLUME_OPTIONS.items() if defaults.get(key))
        errors = core.vtkMRMLMessageCollection() if messages is None else messages
        name = self._name(path, properties)
        node = self._world.logics["Volumes"].AddArchetypeVolume(path, name, options, None, errors)
        if node is not None and properties.get("show", True):
            self._show(node)
        return None if node is None else [node]

    def _show(self, node: Any) -> None:
        application = self._world.application
        selection = application.GetSelectionNode()
        if node.IsA("vtkMRMLLabelMapVolumeNode"):
            selection.SetActiveLabelVolumeID(node.GetID())
        else:
            selection.SetActiveVolumeID(node.GetID())
        application.PropagateVolumeSelection()

    def _load_segmentation(self, path: str, properties: dict[str, Any], messages: Any) -> list[Any] | None:
        logic = self._world.logics["Segmentations"]
        node = logic.LoadSegmentationFromFile(path, properties.get("autoOpacities", True), self._name(path, properties))
        return None if node is None else [node]

    def _load_markups(self, path: str, properties: dict[str, Any], messages: Any) -> list[Any] | None:
        identifier = self._world.logics["Markups"].LoadMarkups(path, self._name(path, properties))
        return [self._world.scene.GetNodeByID(identifier)] if identifier else None

    def _load_scene(self, path: str, properties: dict[str, Any], messages: Any) -> list[Any] | None:
        scene, clear = self._world.scene, bool(properties.get("clear", False))
        if path.lower().endswith(".mrb"):
            return [] if scene.ReadFromMRB(path, clear) else None
        scene.SetURL(path)
        return [] if (scene.Connect() if clear else scene.Import()) else None

    def _load_stored(self, file_type: str, path: str) -> list[Any] | None:
        if file_type not in STORED:
            raise NotImplementedError(f"the test host cannot load a {file_type}: add it to host/mrml/file_io.py")
        node_class, storage_class = STORED[file_type]
        storage = self._world.scene.AddNewNodeByClass(storage_class)
        storage.SetFileName(path)
        node = self._world.scene.CreateNodeByClass(node_class)
        node.UnRegister(None)
        if not storage.ReadData(node):
            self._world.scene.RemoveNode(storage)
            return None
        node.SetName(self._world.scene.GenerateUniqueName(self._name(path, {})))
        self._world.scene.AddNode(node)
        node.SetAndObserveStorageNodeID(storage.GetID())
        return [node]

    def fileWriterFileType(self, node: Any) -> str:
        return f"{node.GetNodeTagName()}File"

    def saveNodes(self, fileType: str, properties: dict[str, Any], messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if fileType == "SceneFile":
            return self._save_scene(path)
        return self._save(self._world.scene.GetNodeByID(properties["nodeID"]), path)

    def exportNodes(
        self, ids: list[str], paths: list[str], properties: dict, harden: bool, messages: Any = None
    ) -> bool:
        """Write copies, so that the nodes keep the files they have."""
        return all(
            [self._export(self._world.scene.GetNodeByID(i), path, harden) for i, path in zip(ids, paths, strict=True)]
        )

    def _export(self, node: Any, path: str, harden: bool) -> bool:
        copy = self._world.scene.AddNewNodeByClass(node.GetClassName(), "export")
        copy.CopyContent(node, True)
        if harden and node.GetParentTransformNode():
            copy.SetAndObserveTransformNodeID(node.GetTransformNodeID())
            copy.HardenTransform()
        written = self._save(copy, path)
        self._world.scene.RemoveNode(copy.GetStorageNode())
        self._world.scene.RemoveNode(copy)
        return written

    def _save(self, node: Any, path: str) -> bool:
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode(path)
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        return bool(storage.WriteData(node))

    def _save_scene(self, path: str) -> bool:
        scene = self._world.scene
        if path.lower().endswith(".mrb"):
            return bool(scene.WriteToMRB(path))
        if path.lower().endswith(".mrml"):
            scene.SetURL(path)
            return bool(scene.Commit())
        return bool(self._world.application.SaveSceneToSlicerDataBundleDirectory(path, None))


def _tell(messages: Any, text: str) -> None:
    if messages is not None:
        messages.AddMessage(vtk.vtkCommand.ErrorEvent, text)

"""A real MRML scene with the logics Slicer's modules would bring, wired in the order they need."""

from __future__ import annotations

import colorsys
import json
from pathlib import Path
from typing import Any

import slicer_core as core

LOGICS = {  # module name: class of its logic
    "Colors": "vtkSlicerColorLogic",
    "Units": "vtkSlicerUnitsLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "ViewControllers": "vtkSlicerViewControllersLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
}
FOUR_UP = 3  # vtkMRMLLayoutNode::SlicerLayoutFourUpView


class SceneAndLogics:
    """The scene, the application logic and the module logics. They hold each other weakly, so this keeps them all."""

    def __init__(self, folder: Path):
        self.scene, self.application = core.vtkMRMLScene(), core.vtkSlicerApplicationLogic()
        _write_terminologies(folder / "share")
        self._remote, self._io = core.vtkMRMLRemoteIOLogic(), core.vtkDataIOManagerLogic()
        self.logics = {name: getattr(core, cls)() for name, cls in LOGICS.items()}
        self.logics["SegmentEditor"] = core.vtkSlicerSegmentEditorLogic()
        self.layout = core.vtkMRMLLayoutLogic()
        self._connect(folder)
        self._add_crosshair()
        core.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        self.layout.GetLayoutNode().SetViewArrangement(FOUR_UP)

    def _add_crosshair(self) -> None:
        node = core.vtkMRMLCrosshairNode()
        node.SetCrosshairName("default")
        self.scene.AddNode(node)

    def _connect(self, folder: Path) -> None:
        (folder / "cache").mkdir(parents=True, exist_ok=True)
        self._remote.GetCacheManager().SetRemoteCacheDirectory(str(folder / "cache"))
        self._io.SetAndObserveDataIOManager(self._remote.GetDataIOManager())
        self.application.SetHomeDirectory(str(folder))
        self.application.SetShareDirectory("share")
        _write_colors(folder / "share" / "ColorFiles" / "GenericColors.txt")
        self.application.SetTemporaryPath(str(folder / "cache"))
        self.logics["Terminologies"].SetModuleShareDirectory(str(folder / "share"))
        logics = [self._remote, self._io, *self.logics.values(), self.layout]
        for logic in logics:
            logic.SetMRMLApplicationLogic(self.application)  # before the scene: they find each other through it
        self.application.SetColorLogic(self.logics["Colors"])
        for name, logic in self.logics.items():
            self.application.SetModuleLogic(name, logic)
        self._io.SetMRMLScene(self.scene)
        self.application.SetMRMLScene(self.scene)
        for logic in [*self.logics.values(), self.layout]:
            logic.SetMRMLScene(self.scene)
        self.application.SetMRMLSceneDataIO(self.scene, self._remote, self._io)

    def close(self) -> None:
        """Empty the scene while everything that observes it still lives."""
        self.scene.Clear(0)  # with its singletons, some logic crashes
        self.scene.RemoveAllObservers()  # its own end clears it once more, amid the garbage collection of what observes


def _write_colors(path: Path) -> None:
    """Write the colour table that label maps look for, with well distinguishable colours."""
    path.parent.mkdir(exist_ok=True)
    rows = ["0 background 0 0 0 0"]
    for value in range(1, 64):
        red, green, blue = colorsys.hsv_to_rgb(value * 0.618 % 1, 0.6, 0.9)
        rows.append(f"{value} tissue_{value} {red * 255:.0f} {green * 255:.0f} {blue * 255:.0f} 255")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _write_terminologies(folder: Path) -> None:
    """Write the files Slicer brings, with one entry each: the wheel has none, and their logic complains without."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("SlicerGeneralAnatomy", "DICOM-Master"):
        _write(folder / f"SegmentationCategoryTypeModifier-{name}.term.json", _categories(name))
    _write(folder / "AnatomicRegionAndModifier-DICOM-Master.term.json", _regions("DICOM-Master"))


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")


def _code(value: str, meaning: str) -> dict[str, str]:
    return {"CodingSchemeDesignator": "SCT", "CodeValue": value, "CodeMeaning": meaning}


def _categories(name: str) -> dict[str, Any]:
    tissue = {**_code("85756007", "Tissue"), "recommendedDisplayRGBValue": [128, 174, 128]}
    category = {**_code("85756007", "Tissue"), "showAnatomy": "true", "Type": [tissue]}
    return {
        "SegmentationCategoryTypeContextName": f"Segmentation category and type - {name}",
        "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/segment-context-schema.json#",
        "SegmentationCodes": {"Category": [category]},
    }


def _regions(name: str) -> dict[str, Any]:
    return {
        "AnatomicContextName": f"Anatomic codes - {name} list",
        "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/anatomic-context-schema.json#",
        "AnatomicCodes": {"AnatomicRegion": [_code("123037004", "Anatomical structure")]},
    }

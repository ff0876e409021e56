"""A Segment Editor with the effect "LE-UDA" and a worker that the test answers: its fixture (for conftest)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repository import ROOT
from segmentation_scene import (
    LABELS,
    MODEL,
    OBLIQUE,
    SHAPE,
    FakeWorker,
    add_linear_transform,
    add_volume,
    label_map,
    paint,
    segment_voxels,
)

KIDNEY, GREY, SPLEEN = (label.name for label in LABELS)


class Editor:
    """A Segment Editor with the effect, over a volume and a segmentation with the segments that the test names."""

    def __init__(self, app, folder: Path, segments=(KIDNEY,), affine=OBLIQUE, transform=None) -> None:
        import slicer

        self.slicer, self.app = slicer, app
        self.worker = FakeWorker(folder, held=True)
        self._give_effects_this_worker()
        app.loadModule(ROOT / "LEUDASegmentation" / "LEUDASegmentation.py")
        self.volume = add_volume(affine=affine)
        self.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
        self.segmentation.CreateDefaultDisplayNodes()
        if transform is not None:
            for node in (self.volume, self.segmentation):
                node.SetAndObserveTransformNodeID(add_linear_transform(transform).GetID())
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        for name in segments:
            self.segmentation.GetSegmentation().AddEmptySegment("", name)
        self.widget = slicer.qMRMLSegmentEditorWidget()
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.widget.setMRMLSegmentEditorNode(self.node)
        self.node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
        self.widget.setSegmentationNode(self.segmentation)
        self.widget.setSourceVolumeNode(self.volume)
        self.widget.resize(420, 900)
        self.widget.show()
        app.click(self.find("LE-UDA"))
        self.tool = self.widget.effectByName("LE-UDA").self().tool
        self.answer_previews()

    def _give_effects_this_worker(self) -> None:
        """Every effect finds the application's worker; here it is the test's."""
        from LEUDASegmentationLib.logic import LEUDASegmentationLogic
        from LEUDASegmentationLib.processes import worker_client

        worker_client._shared = self.worker
        LEUDASegmentationLogic.models = lambda _self: [MODEL]

    def find(self, name: str) -> Any:
        return self.slicer.util.findChild(self.widget, name)

    def choose(self, box: str, value: str) -> None:
        combo = self.find(box)
        combo.setCurrentIndex(combo.findData(value))
        combo.activated.emit(combo.currentIndex)
        self.app.processEvents()

    def look_at(self, k: int) -> None:
        """Move the red view to the middle of a slice of the volume."""
        from LEUDASegmentationLib.scene.geometry import world_affine

        view = self.slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
        view.JumpSliceByCentering(*(world_affine(self.volume) @ [4.5, 3.5, k, 1])[:3])
        self.app.processEvents()

    def answer_previews(self) -> None:
        """Answer what the preview asks, until it asks no more."""
        self.app.processEvents()
        for _turn in range(20):
            self.app.processEvents()
            for number, request in list(self.worker.open.items()):
                if request.name == "slice":
                    self._answer_slice(number, request.fields)

    def _answer_slice(self, number: int, fields: dict[str, Any]) -> None:
        shape = np.load(fields["volume"], mmap_mode="r").shape
        index = (np.linalg.inv(fields["affine"]) @ [*fields["position"], 1])[2]
        index = int(np.clip(round(index), 0, shape[0] - 1))
        np.save(fields["output"], label_map(shape)[index])
        self.worker.finish({"axis": 2, "index": index, "labels": fields["output"], "notes": []}, number)

    def apply(self, labels: np.ndarray | None = None) -> dict[str, Any]:
        """Press Apply and answer as the worker does: nothing outside the box. Return the request."""
        self.app.click(self.find("LEUDAEffectApply"))
        self.app.wait_until(lambda: self.worker.asked("segment"), 5, "no request")
        (fields,) = self.worker.asked("segment")
        answer = np.zeros(SHAPE, np.uint8)
        (i0, i1), (j0, j1), (k0, k1) = fields["box"] or [(0, size) for size in SHAPE[::-1]]
        full = label_map() if labels is None else labels
        answer[k0:k1, j0:j1, i0:i1] = full[k0:k1, j0:j1, i0:i1]
        np.save(fields["output"], answer)
        number = next(n for n, request in self.worker.open.items() if request.name == "segment")
        self.worker.finish({"device": "cpu", "notes": [], "labels": []}, number)
        self.app.wait_until(lambda: not self.tool.running, 5, "not written")
        self.answer_previews()
        return fields

    def voxels(self, name: str = KIDNEY) -> np.ndarray:
        return segment_voxels(self.segmentation, name, self.volume)

    def draw(self, where: np.ndarray, name: str = KIDNEY) -> None:
        paint(self.segmentation, name, self.volume, where)

    @property
    def message(self) -> str:
        strip = self.tool.options.strip
        return f"{strip.kind}: {strip.cause} {strip.remedy}"


def only(k: int | slice, labels: np.ndarray | None = None) -> np.ndarray:
    """Return a label map with nothing outside some slices."""
    kept = np.zeros(SHAPE, np.uint8)
    kept[k] = (label_map() if labels is None else labels)[k]
    return kept


@pytest.fixture
def open_editor(slicer_app, exchange, monkeypatch) -> Iterator[Any]:
    """Open a Segment Editor; what it changes in the modules is put back."""
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic
    from LEUDASegmentationLib.processes import installation, worker_client

    monkeypatch.setattr(worker_client, "_shared", None)
    monkeypatch.setattr(LEUDASegmentationLogic, "models", LEUDASegmentationLogic.models)
    monkeypatch.setattr(installation, "missing_packages", list)
    monkeypatch.setattr(FakeWorker, "stop", lambda self: None, raising=False)
    editors = []

    def opened(**how: Any) -> Editor:
        editors.append(Editor(slicer_app, exchange, **how))
        return editors[-1]

    yield opened
    for editor in editors:
        editor.widget.setActiveEffect(None)
        editor.widget.delete()

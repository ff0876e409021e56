"""Scenes for the tests of LEUDATraining: volumes, segmentations and what a training is made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leuda_core.errors import LeudaError
from leuda_core.runs.events import EventWriter
from leuda_core.runs.folder import Run

OBLIQUE = np.array([[1.2, 0.3, -0.5, 12.0], [-0.4, 1.1, 0.6, -7.5], [0.2, -0.1, 4.8, 30.25], [0, 0, 0, 1]])
SHAPE = (20, 16, 6)
"""Voxels along i, j, k of the volumes below; sliced across k."""


@pytest.fixture
def node(slicer_app) -> Any:
    """The parameter node of LEUDATraining, without its window."""
    from LEUDATrainingLib.logic import LEUDATrainingLogic

    return LEUDATrainingLogic().getParameterNode()


@pytest.fixture
def source(node) -> Any:
    """The source cases of that node."""
    return source_store(node)


def source_store(node: Any) -> Any:
    """Return the source cases of a parameter node."""
    from LEUDATrainingLib.cases.cases import CaseStore

    return CaseStore(node, "source")


def marks_of(store: Any, case: Any) -> Any:
    """Return what is drawn and labelled in a case, counted at once."""
    from LEUDATrainingLib.labels.case_marks import CaseMarks

    marks = CaseMarks()
    marks.use(structures())
    return marks.of(store, case)


def written_dataset(node: Any, folder: Path) -> Path:
    """Write a parameter node's training data as a dataset."""
    from LEUDATrainingLib.logic import LEUDATrainingLogic

    return LEUDATrainingLogic().writeDataset(node, folder)


def add_volume(name: str = "volume", affine: np.ndarray | None = None, *, shape=SHAPE, seed: int = 0) -> Any:
    """Add a volume of noise, int16, to the scene."""
    import slicer

    voxels = np.random.default_rng(seed).integers(0, 900, shape[::-1]).astype(np.int16)
    node = slicer.util.addVolumeFromArray(voxels, name=name)
    affine = np.diag([1.0, 1.0, 5.0, 1.0]) if affine is None else affine
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    return node


def add_transform(matrix: np.ndarray) -> Any:
    """Add a linear transform."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "linear")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def add_warp() -> Any:
    """Add a transform that no matrix can express."""
    import slicer
    import vtk

    warp = vtk.vtkThinPlateSplineTransform()
    points = [vtk.vtkPoints(), vtk.vtkPoints()]
    for x, y, z in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (30, 30, 30)):
        points[0].InsertNextPoint(x, y, z)
        points[1].InsertNextPoint(x + 3 * (x == 30), y, z)
    warp.SetSourceLandmarks(points[0])
    warp.SetTargetLandmarks(points[1])
    warp.SetBasisToR()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "warp")
    node.SetAndObserveTransformToParent(warp)
    return node


def structures() -> list[Any]:
    """Return two structures, the second with a gap before its value."""
    from LEUDATrainingLib.cases.structures import Structure

    return [
        Structure(1, "Herz ♥", (0.8, 0.2, 0.2), "A~SCT^1^Anatomical Structure~SCT^80891009^Heart~^^~B~^^~^^"),
        Structure(3, "liver", (0.2, 0.5, 0.9)),
    ]


def labels_of(shape=SHAPE, slices=(1, 2)) -> np.ndarray:
    """Return a label map (K, J, I) with both structures on some slices."""
    labels = np.zeros(shape[::-1], np.uint8)
    for index in slices:
        labels[index, 3:9, 2:12] = 1
        labels[index, 10:14, 5:9] = 3
    return labels


def add_labels(volume: Any, labels: np.ndarray) -> Any:
    """Add a segmentation of the structures on a volume's grid."""
    from LEUDATrainingLib.labels.label_maps import new_segmentation, set_labels

    segmentation = new_segmentation(volume, structures(), f"{volume.GetName()} labels")
    set_labels(segmentation, volume, labels, structures())
    return segmentation


def fill(parameter_node: Any) -> tuple[Any, Any, Any]:
    """Put a training that can start into the scene; return source volume, its segmentation, target volume."""
    from LEUDATrainingLib.cases.cases import CaseStore
    from LEUDATrainingLib.cases.structures import write_structures

    write_structures(parameter_node, structures())
    parameter_node.runName = "MR to CT"
    parameter_node.sourceModality, parameter_node.targetModality = "MR", "CT"
    source, target = add_volume("Zoë MR", OBLIQUE, seed=1), add_volume("Zoë CT", seed=2)
    segmentation = add_labels(source, labels_of())
    CaseStore(parameter_node, "source").add_node(source, segmentation)
    CaseStore(parameter_node, "target").add_node(target)
    return source, segmentation, target


class FakeCommand:
    """Stands in for ``LeudaCommand``: answers by itself, in the event loop, with what ``answers`` returns or raises.

    ``answers`` gets the words; returning ``None`` never answers.
    """

    def __init__(self, answers: Callable[[list[str]], Any], words, onDone, onError, onLine=None) -> None:
        self.words, self.cancelled = list(words), False
        self._answers, self._on_done, self._on_error = answers, onDone, onError

    def start(self) -> None:
        import qt

        qt.QTimer.singleShot(0, self._answer)

    def cancel(self) -> None:
        from leuda_core.errors import Cancelled

        self.cancelled = True
        self._on_error(Cancelled())

    def wait(self, _timeout_s: float) -> None:
        self._answer()

    def _answer(self) -> None:
        try:
            document = self._answers(self.words)
        except LeudaError as error:
            self._on_error(error)
            return
        if document is not None:
            self._on_done(document)


class Commands:
    """Answers of the core: a good dataset, and a run that is made, finished or not."""

    def __init__(self, *, problems=(), end: str = "finished", launch_error: LeudaError | None = None) -> None:
        self.words: list[list[str]] = []
        self._problems, self._end, self._launch_error = list(problems), end, launch_error

    def __call__(self, words, onDone, onError, onLine=None) -> FakeCommand:
        return FakeCommand(self._answer, words, onDone, onError, onLine)

    def _answer(self, words: list[str]):
        self.words.append(words)
        if words[0] == "check":
            return {"ok": not self._problems, "problems": self._problems, "summary": {}}
        if self._launch_error:
            raise self._launch_error
        run = Run(Path(words[words.index("--out") + 1]))
        run.path.mkdir(parents=True)
        run.config.write_text(json.dumps({"steps": 4, "dataset": words[1]}))
        events = EventWriter(run.events)
        events("start")
        if self._end == "error":
            events("error", kind="device", message="out of memory", remedy="make batch_size smaller")
        elif self._end:
            events("end", state=self._end)
        return {"run": str(run.path), "state": "running"}

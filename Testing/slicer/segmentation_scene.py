"""Volumes, models and a worker for the tests of LEUDASegmentation's logic, on a real MRML scene."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from leuda_core.bundle.store import ModelEntry
from leuda_core.errors import Cancelled, LeudaError
from leuda_core.types import Label

TERMS = "Segmentation category and type~SCT^123037004^Anatomical Structure~SCT^64033007^Kidney~^^~Anatomic codes~^^~^^"
LABELS = (
    Label(1, "kidney ♥", (0.8, 0.2, 0.1), TERMS),
    Label(2, "grey", (0.5, 0.5, 0.5)),
    Label(5, "spleen", (0.1, 0.3, 0.9)),
)
MODEL = ModelEntry("Herz CT", Path("/models/Herz CT"), "le_uda", labels=LABELS)
SHAPE = (6, 8, 10)  # (K, J, I)

PLAIN = np.diag([0.7, 0.9, 2.5, 1.0])
OBLIQUE = np.array([[0.8, 0.2, -0.6, 12.5], [-0.3, 0.9, 0.8, -70.0], [0.25, -0.15, 3.0, 33.125], [0, 0, 0, 1]])
LEFT_HANDED = np.array([[0.9, 0, 0.4, -100.0], [0, 0.7, 0, 40.0], [0.3, 0, -2.2, 7.0], [0, 0, 0, 1]])
SHEARED = np.array([[1.0, 0.35, 0.0, 3.0], [0.0, 0.8, 0.2, -5.0], [0.0, 0.0, 2.0, 9.0], [0, 0, 0, 1]])
MOVED = np.array([[0.8, -0.6, 0, 5.0], [0.6, 0.8, 0, -3.0], [0, 0, 1, 2.0], [0, 0, 0, 1]])
AFFINES = {"plain": PLAIN, "oblique": OBLIQUE, "left-handed": LEFT_HANDED, "sheared": SHEARED}


def add_volume(name: str = "Zoë CT 1", affine: np.ndarray = PLAIN, shape: Sequence[int] = SHAPE, dtype=np.int16) -> Any:
    """Add a volume whose voxel at flat index n has the value n."""
    import slicer

    voxels = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    return slicer.util.addVolumeFromArray(voxels, np.asarray(affine), name)


def add_linear_transform(matrix: np.ndarray) -> Any:
    """Add a linear transform."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.asarray(matrix, float)))
    return node


def add_warp() -> Any:
    """Add a transform that moves points near the origin by 4 mm, and far ones hardly at all."""
    import slicer
    import vtk

    warp = vtk.vtkThinPlateSplineTransform()
    corners = [(x, y, z) for x in (-60, 60) for y in (-60, 60) for z in (-60, 60)]
    before, after = vtk.vtkPoints(), vtk.vtkPoints()
    for point in corners:
        before.InsertNextPoint(point)
        after.InsertNextPoint(point)
    before.InsertNextPoint(3, 3, 6)
    after.InsertNextPoint(7, 3, 6)
    warp.SetSourceLandmarks(before)
    warp.SetTargetLandmarks(after)
    warp.SetBasisToR()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "warped")
    node.SetAndObserveTransformToParent(warp)
    return node


def label_map(shape: Sequence[int] = SHAPE) -> np.ndarray:
    """Return labels 1, 2 and 5 in three blocks (K, J, I)."""
    labels = np.zeros(shape, np.uint8)
    labels[:, 1:4, 1:3] = 1
    labels[:, 2:6, 4:6] = 2
    labels[-1:, 5:7, 7:9] = 5
    return labels


def drain(steps: Generator) -> Any:
    """Run a generator to its end and return its value; every part done lies in [0, 1] and none is less than before."""
    last = 0.0
    while True:
        try:
            part = next(steps)
        except StopIteration as end:
            return end.value
        assert last <= part <= 1
        last = part


def layer_of(volume: Any, labels: np.ndarray, values: Sequence[int] = (1, 2, 5), roi: Any = None) -> Any:
    """Return a label map as the layer a run would make of it."""
    from LEUDASegmentationLib.scene import geometry, layers

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/labels.npy"
        np.save(path, labels)
        return drain(layers.read_layer(path, geometry.ijk_to_ras(volume), values, roi))


def write(volume, labels_array=None, labels=LABELS, output=None):
    """Write a label map into a segmentation and return the record of the run."""
    from LEUDASegmentationLib.run.results import write_run

    array = label_map(SHAPE) if labels_array is None else labels_array
    return write_run(volume, "Herz CT", layer_of(volume, array, [label.value for label in labels]), labels, output)


def hierarchy_parent(scene, node) -> int:
    """Return the subject-hierarchy item below which a node lies."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    return hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))


def segment_voxels(segmentation: Any, name: str, volume: Any) -> np.ndarray:
    """Return where a segment of this name lies on the grid of a volume, (K, J, I) bool, as Slicer's own code says."""
    import slicer

    segment_id = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
    assert segment_id, f"no segment {name!r}"
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume) > 0


def segment_of(node, name: str):
    """Return the vtkSegment of this name."""
    content = node.GetSegmentation()
    return content.GetSegment(content.GetSegmentIdBySegmentName(name))


def assert_voxels(node, volume, expected: np.ndarray) -> None:
    """Assert that the segments of the labels lie exactly where a label map says."""
    for label in LABELS:
        np.testing.assert_array_equal(segment_voxels(node, label.name, volume), expected == label.value, label.name)


def paint(node, name: str, volume, where: np.ndarray) -> None:
    """Replace a segment's voxels as the Segment Editor does: through the segmentations logic."""
    import slicer

    content = node.GetSegmentation()
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        where.astype(np.uint8), node, content.GetSegmentIdBySegmentName(name), volume
    )


def segment_names(segmentation: Any) -> list[str]:
    """Return the names of the segments, in order."""
    content = segmentation.GetSegmentation()
    return [content.GetNthSegment(index).GetName() for index in range(content.GetNumberOfSegments())]


def write_labels(fields: dict[str, Any]) -> dict[str, Any]:
    """Answer a request for a segmentation with ``label_map``, and with probabilities that tell their channel."""
    labels = label_map(np.load(fields["volume"], mmap_mode="r").shape)
    np.save(fields["output"], labels)
    if fields["probabilities"]:
        channels = [np.full(labels.shape, channel / 8, np.float16) for channel in range(len(LABELS) + 1)]
        np.save(fields["probabilities"], np.stack(channels))
    return {"device": "cpu", "notes": ["a note"], "seconds": {}, "labels": []}


class Request(NamedTuple):
    """What was asked of the worker, and whom its answer goes to."""

    name: str
    onDone: Any
    onError: Any
    onProgress: Any
    fields: dict[str, Any]


class FakeWorker:
    """Stands in for the worker's client.

    Args:
        folder: the exchange folder.
        draw: gets the fields of a request, writes its files and returns the result; may raise a LeudaError.
        held: requests stay open until the test answers; otherwise each is answered in the event loop.
    """

    def __init__(self, folder: Path, draw=write_labels, *, held: bool = False) -> None:
        self._folder, self.draw, self.held = folder, draw, held
        self._count = 0
        self.onLog = None
        self.is_running = False  # as long as nothing was asked
        self.open: dict[int, Request] = {}
        self.fields: list[dict[str, Any]] = []  # of all requests
        self.cancelled: list[int] = []

    def new_path(self, name: str) -> str:
        self._count += 1
        return str(self._folder / f"{self._count}-{name}")

    def discard(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)

    @property
    def files(self) -> list[str]:
        """The files that are left in the exchange folder."""
        return sorted(path.name for path in self._folder.iterdir())

    def request(self, name: str, onDone=None, onError=None, onProgress=None, **fields) -> int:
        import qt

        self._count += 1
        number = self._count
        self.open[number] = Request(name, onDone, onError, onProgress, fields)
        self.fields.append({"request": name, **fields})
        if not self.held:
            qt.QTimer.singleShot(0, lambda: self.answer(number))
        return number

    def cancel(self, number: int) -> None:
        import qt

        self.cancelled.append(number)
        qt.QTimer.singleShot(0, lambda: self.fail(Cancelled(), number))

    def wait(self, number: int, timeout_s: float) -> None:
        import slicer

        while number in self.open:
            slicer.app.processEvents()

    # What the test does; with the last open request unless it names another

    def asked(self, name: str) -> list[dict[str, Any]]:
        """Return the fields of the open requests of a kind."""
        return [request.fields for request in self.open.values() if request.name == name]

    def progress(self, **event: Any) -> None:
        self.open[self._last()].onProgress({"event": "progress", **event})

    def answer(self, number: int | None = None) -> None:
        """Answer a request as ``draw`` says, unless it was cancelled."""
        number = number or self._last()
        if number not in self.open:
            return
        try:
            self.finish(self.draw(self.open[number].fields), number)
        except LeudaError as error:
            self.fail(error, number)

    def finish(self, result: dict[str, Any], number: int | None = None) -> None:
        self.open.pop(number or self._last()).onDone(result)

    def fail(self, error: LeudaError, number: int | None = None) -> None:
        request = self.open.pop(number or self._last(), None)
        if request is not None and request.onError is not None:
            request.onError(error)

    def _last(self) -> int:
        return next(reversed(self.open))

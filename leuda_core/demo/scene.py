"""A volume and its segmentation as a real MRML scene, saved as ``.mrb`` for 3D Slicer. Needs the package slicer-core.

This is the only file of the core that uses MRML. Everything else works without slicer-core.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from leuda_core.errors import FREE_SPACE, InputError, LeudaError
from leuda_core.io.files import is_full
from leuda_core.types import Label, LabelMap, Volume

BINARY, SURFACE = "Binary labelmap", "Closed surface"
SLICE_VIEWS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}


@dataclass(frozen=True, eq=False)
class SceneContents:
    """The contents of a saved scene. ``n_surface_points`` is the number of points of each label's 3-D surface."""

    volume: Volume
    label_map: LabelMap
    n_surface_points: tuple[int, ...]
    reference_geometry: str


def available() -> bool:
    """Return whether slicer-core is installed, without loading it."""
    return importlib.util.find_spec("slicer_core") is not None


def write_scene(volume: Volume, label_map: LabelMap, path: Path, *, name: str = "image") -> None:
    """Save a scene that opens in Slicer with the volume in the slice views and the segmentation over it and in 3-D.

    Raises:
        InputError: slicer-core is missing, or the file cannot be written. LeudaError: the disk is full.
    """
    volume, label_map = right_handed(volume), right_handed(label_map)
    with _scene() as (core, scene, application):
        volume_node = _add_volume(scene, volume, name)
        segmentation_node = _add_segmentation(core, scene, label_map, volume_node, f"{name} segmentation")
        if not segmentation_node.CreateClosedSurfaceRepresentation():
            raise InputError("no surface could be made of the segmentation", "check that the label map is not empty")
        _add_views(core, scene, application, volume_node)
        path.unlink(missing_ok=True)
        if not scene.WriteToMRB(str(path.resolve())):
            full = is_full(path)
            path.unlink(missing_ok=True)
            if full:
                raise LeudaError(f"cannot write '{path}': no space left", FREE_SPACE)
            raise InputError(f"scene {path} could not be written", "check the folder and the free space")


def read_scene(path: Path) -> SceneContents:
    """Load the first volume and the first segmentation of a scene.

    Raises:
        InputError: slicer-core is missing, or the file is not a scene with a volume and a segmentation.
    """
    with _scene() as (core, scene, _):
        read = path.is_file() and scene.ReadFromMRB(str(path.resolve()), True)
        volume_node = scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        segmentation_node = scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        if not read or volume_node is None or segmentation_node is None:
            raise InputError(
                f"{path} is not a scene with a volume and a segmentation", "choose a .mrb file written by LE-UDA"
            )
        reference = segmentation_node.GetNodeReference(segmentation_node.GetReferenceImageGeometryReferenceRole())
        return SceneContents(
            volume=_volume(volume_node),
            label_map=_label_map(core, segmentation_node),
            n_surface_points=tuple(
                segment.GetRepresentation(SURFACE).GetNumberOfPoints() if segment.GetRepresentation(SURFACE) else 0
                for segment in _segments(segmentation_node)
            ),
            reference_geometry=reference.GetName() if reference else "",
        )


def check_scene(path: Path, volume: Volume, label_map: LabelMap) -> list[str]:
    """Load a scene again and return every difference from the data that was saved; an empty list if there is none.

    Left-handed axes come back right-handed, at the same place in space; this does not count as a difference.
    """
    found = read_scene(path)
    volume, label_map = right_handed(volume), right_handed(label_map)
    problems = []
    if not np.allclose(found.volume.affine, volume.affine, atol=1e-6):
        problems.append("the volume has a different position")
    if not np.allclose(found.volume.data, volume.data):
        problems.append("the volume has different intensities")
    if not np.allclose(found.label_map.affine, label_map.affine, atol=1e-6):
        problems.append("the segmentation has a different position")
    if not np.array_equal(found.label_map.data, label_map.data):
        problems.append("the segmentation has different voxels")
    problems += _label_differences(found.label_map.labels, label_map.labels)
    for label, n_points in zip(label_map.labels, found.n_surface_points, strict=False):
        if not n_points and (label_map.data == label.value).any():
            problems.append(f"label {label.name!r} has no surface")
    return problems


V = TypeVar("V", bound=Volume)


def right_handed(volume: V) -> V:
    """Return the same volume with its last axis reversed if the axes are left-handed, as Slicer's reader does.

    Slicer reverses volumes on reading but not segmentations, so a left-handed pair would no longer match.
    """
    if np.linalg.det(volume.affine[:3, :3]) > 0:
        return volume
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (volume.shape[2] - 1)
    affine[:3, 2] *= -1
    return replace(volume, data=volume.data[:, :, ::-1], affine=affine)


def _label_differences(found: Sequence[Label], wanted: Sequence[Label]) -> list[str]:
    if [label.name for label in found] != [label.name for label in wanted]:
        return [f"labels {[label.name for label in found]} instead of {[label.name for label in wanted]}"]
    problems = []
    for a, b in zip(found, wanted, strict=True):
        if not np.allclose(a.color, b.color, atol=1e-6):
            problems.append(f"label {a.name!r} has colour {a.color} instead of {b.color}")
        if b.terminology and _terms(a) != _terms(b):
            problems.append(f"label {a.name!r} has terminology {a.terminology!r} instead of {b.terminology!r}")
    return problems


def _terms(label: Label) -> str:
    return label.terminology.rstrip("|")  # Slicer drops an empty last field


@contextmanager
def _scene() -> Iterator[tuple[Any, Any, Any]]:
    """Yield (slicer_core, an empty scene that can read and write bundles, its application logic)."""
    try:
        import slicer_core as core
    except ImportError as error:
        raise InputError("the package slicer-core is not installed", "run: pip install slicer-core") from error
    with tempfile.TemporaryDirectory() as cache:
        scene, application = core.vtkMRMLScene(), core.vtkSlicerApplicationLogic()
        remote, data_io = core.vtkMRMLRemoteIOLogic(), core.vtkDataIOManagerLogic()
        segmentations = core.vtkSlicerSegmentationsModuleLogic()  # registers the segmentation nodes with the scene
        remote.GetCacheManager().SetRemoteCacheDirectory(cache)
        data_io.SetAndObserveDataIOManager(remote.GetDataIOManager())
        for logic in (remote, data_io, segmentations):
            logic.SetMRMLApplicationLogic(application)  # before the scene: the logics find each other through it
        data_io.SetMRMLScene(scene)
        segmentations.SetMRMLScene(scene)
        application.SetTemporaryPath(cache)
        application.SetMRMLScene(scene)
        application.SetMRMLSceneDataIO(scene, remote, data_io)
        yield core, scene, application
        scene.Clear(1)


def _add_volume(scene: Any, volume: Volume, name: str) -> Any:
    data = volume.data.astype(np.uint8) if volume.data.dtype == bool else volume.data
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveImageData(_image(data))
    node.SetIJKToRASMatrix(_matrix(volume.affine))
    node.CreateDefaultDisplayNodes()
    low, high = np.percentile(data, (0.5, 99.5))
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(float(low), float(high))
    return node


def _add_segmentation(core: Any, scene: Any, label_map: LabelMap, volume_node: Any, name: str) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    image = core.vtkOrientedImageData()  # shared by all segments: one layer, as Slicer itself stores it
    image.DeepCopy(_image(label_map.data))
    image.SetImageToWorldMatrix(_matrix(label_map.affine))
    for label in label_map.labels:
        segment = core.vtkSegment()
        segment.SetName(label.name)
        segment.SetLabelValue(label.value)
        if label.terminology:
            segment.SetTag(core.vtkSegment.GetTerminologyEntryTagName(), label.terminology)
        segment.AddRepresentation(BINARY, image)
        node.GetSegmentation().AddSegment(segment)
        segment.SetColor(*label.color)  # only now: Slicer gives a grey segment a new colour when it is added
    node.GetDisplayNode().SetPreferredDisplayRepresentationName3D(SURFACE)
    return node


def _add_views(core: Any, scene: Any, application: Any, volume_node: Any) -> None:
    """Show the volume in the slice views, which would be black otherwise."""
    for name, orientation in SLICE_VIEWS.items():
        logic = core.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
        slice_node = logic.AddSliceNode(name)
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume_node.GetID())
        slice_node.SetOrientation(orientation)
        logic.FitSliceToBackground()


def _volume(node: Any) -> Volume:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return Volume(_array(node.GetImageData()), _affine(matrix))


def _label_map(core: Any, node: Any) -> LabelMap:
    """Merge the segments on the grid of the first one, which is the whole grid of the stored layer."""
    import vtk

    labels, data, matrix = [], None, vtk.vtkMatrix4x4()
    for segment in _segments(node):
        image = segment.GetRepresentation(BINARY)
        image.GetImageToWorldMatrix(matrix)
        layer = _array(image)
        data = np.zeros_like(layer) if data is None else data
        data[layer == segment.GetLabelValue()] = segment.GetLabelValue()
        terminology = vtk.reference("")
        segment.GetTag(core.vtkSegment.GetTerminologyEntryTagName(), terminology)
        labels.append(Label(segment.GetLabelValue(), segment.GetName(), tuple(segment.GetColor()), str(terminology)))
    if data is None:
        raise InputError("the segmentation of the scene has no segments", "save it with at least one")
    return LabelMap(data, _affine(matrix), tuple(labels))


def _segments(node: Any) -> list[Any]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegment(i) for i in range(segmentation.GetNumberOfSegments())]


def _image(data: np.ndarray) -> Any:
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(data.shape)
    image.GetPointData().SetScalars(numpy_to_vtk(data.ravel(order="F"), deep=True))  # the first axis varies fastest
    return image


def _array(image: Any) -> np.ndarray:
    from vtk.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F").copy()


def _matrix(affine: np.ndarray) -> Any:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(affine, float).ravel().tolist())
    return matrix


def _affine(matrix: Any) -> np.ndarray:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])

"""Loads the files of one case into the scene, so that it can be viewed and its slices marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from leuda_core.errors import InputError
from leuda_core.io.labels import values_decide
from leuda_core.types import Label
from LEUDASegmentationLib.scene.geometry import volume_shape, world_affine
from LEUDATrainingLib.cases.cases import Case, CaseStore
from LEUDATrainingLib.cases.structures import Structure, segments
from LEUDATrainingLib.labels.geometry import slice_axis_of
from LEUDATrainingLib.labels.label_maps import new_segmentation, set_labels
from LEUDATrainingLib.labels.segment_names import has_voxels


def load_case(store: CaseStore, case: Case, structures: Sequence[Structure]) -> None:
    """Load the files of a case into the scene and use the nodes from then on.

    Raises:
        InputError: a file cannot be loaded.
    """
    volume = _load(slicer.util.loadVolume, Path(case.image))
    volume.SetName(case.name)
    segmentation = _load_labels(Path(case.label), volume, structures) if case.label else None
    labelled = case.labelled
    if labelled is not None and _was_turned(Path(case.image), volume):
        last = volume_shape(volume)[2] - 1
        labelled = tuple(last - index for index in labelled)
    with slicer.util.NodeModify(store.node):
        store.set_volume(case.key, volume)
        store.set_segmentation(case.key, segmentation)
        store.set_labelled(case.key, labelled)


def _load(load: Callable[[str], Any], path: Path) -> Any:
    try:
        return load(str(path))
    except RuntimeError as error:
        raise InputError(
            _("{file} could not be loaded").format(file=path.name), _("check that it is a volume, and see Slicer's log")
        ) from error


def _load_labels(path: Path, volume: Any, structures: Sequence[Structure]) -> Any:
    """Load a label file as a segmentation: segments of .seg.nrrd files by name, label maps by value."""
    if path.name.lower().endswith(".seg.nrrd"):
        segmentation = _load(slicer.util.loadSegmentation, path)
        _name_by_value(segmentation, structures)
        return segmentation
    label_map = _load(slicer.util.loadLabelVolume, path)
    try:
        labels = slicer.util.arrayFromVolume(label_map)
        if labels.shape != volume_shape(volume)[::-1]:
            raise InputError(
                _("the grids of the labels {file} and of {volume} differ").format(
                    file=path.name, volume=volume.GetName()
                ),
                _("export the labels again on the grid of the volume"),
            )
        _check_values(path, labels, structures)
        segmentation = new_segmentation(volume, structures, f"{volume.GetName()} labels")
        set_labels(segmentation, volume, labels, structures)
    finally:
        slicer.mrmlScene.RemoveNode(label_map)
    return segmentation


def _check_values(path: Path, labels: np.ndarray, structures: Sequence[Structure]) -> None:
    """Check that every value is one of a structure, as the core does, so that no label is left out in silence."""
    known = {0, *(structure.value for structure in structures)}
    unknown = [f"{value:g}" for value in np.unique(labels) if value not in known]
    if unknown:
        raise InputError(
            _("the labels {file} have values without a structure: {values}").format(
                file=path.name, values=", ".join(unknown[:8])
            ),
            _("add the structures with these values, for example with Dataset…, or choose another file"),
        )


def _name_by_value(segmentation: Any, structures: Sequence[Structure]) -> None:
    """Name the segments by label value where the core goes by value: if all names are placeholders."""
    found = [segment for _id, segment in segments(segmentation) if has_voxels(segment)]
    stored = [Label(segment.GetLabelValue(), segment.GetName()) for segment in found]
    if not values_decide(stored, [structure.name for structure in structures]):
        return
    by_value = {structure.value: structure.name for structure in structures}
    for segment in found:
        segment.SetName(by_value.get(segment.GetLabelValue(), segment.GetName()))


def _was_turned(path: Path, volume: Any) -> bool:
    """Return whether loading reversed the order of the slices, which Slicer does for left-handed axes."""
    if slice_axis_of(volume) != 2:
        return False  # only the last axis is reversed
    probe = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
    storage = slicer.mrmlScene.CreateNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    for node in (probe, storage):
        node.UnRegister(None)
    storage.SetForceRightHandedIJKCoordinateSystem(False)
    storage.SetFileName(str(path))
    if not storage.ReadData(probe):
        return False
    return np.linalg.det(world_affine(probe)[:3, :3]) < 0

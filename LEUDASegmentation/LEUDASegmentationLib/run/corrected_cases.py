"""Corrected results of the scene as the dataset of an adaptation: volumes, labels, and which slices are corrected."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import slicer
from slicer.i18n import tr as _

from leuda_core.bundle.store import ModelEntry
from leuda_core.data.geometry import plan_slices
from leuda_core.errors import InputError
from leuda_core.io.files import write_json
from leuda_core.io.private import make_private_folder, read_regular
from LEUDASegmentationLib.run.results import MODEL_ATTRIBUTE, REFERENCE_ROLE
from LEUDASegmentationLib.scene import corrections, layers
from LEUDASegmentationLib.scene.geometry import ijk_to_ras, volume_shape, world_affine
from LEUDASegmentationLib.scene.nrrd import write_nrrd
from LEUDASegmentationLib.scene.steps import within
from LEUDASegmentationLib.scene.volumes import check_volume

logger = logging.getLogger(__name__)

_SLICES_AXIS = 2  # of (i, j, k): what a user draws on in Slicer's slice views of a volume as it was acquired


@dataclass(frozen=True)
class Result:
    """A result in the scene: its segmentation, its volume, and the drawn slices by the id of their segment."""

    segmentation: Any
    volume: Any
    drawn: dict[str, set[int]]

    @property
    def count(self) -> int:
        """The number of slices that were drawn on."""
        return len(set().union(*self.drawn.values()))


def results_of(scene: Any, model: ModelEntry) -> Generator[float, None, list[Result]]:
    """Return (from a generator that yields the fraction done) what a run wrote with all labels of a model.

    Of several results of one volume, the one with the most corrected slices counts.
    """
    found: dict[str, Result] = {}
    nodes = [node for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene) if _is_result(node, model)]
    for number, node in enumerate(nodes):
        if not _is_result(node, model):  # deleted or changed between two steps
            continue
        volume = node.GetNodeReference(REFERENCE_ROLE)
        part = number / len(nodes), (number + 1) / len(nodes)
        drawn = yield from within(*part, corrections.drawn_slices(node.GetSegmentation(), model.labels))
        result = Result(node, volume, drawn)
        before = found.get(volume.GetID())
        if before is None or result.count > before.count:
            found[volume.GetID()] = result
    return list(found.values())


def _is_result(node: Any, model: ModelEntry) -> bool:
    volume = node.GetNodeReference(REFERENCE_ROLE) if node.GetScene() is not None else None
    if not node.GetAttribute(MODEL_ATTRIBUTE) or volume is None or volume.GetImageData() is None:
        return False
    segmentation = node.GetSegmentation()
    if segmentation.GetSourceRepresentationName() != layers.BINARY:
        return False
    return all(layers.find_segment(segmentation, label.name) is not None for label in model.labels)


def write_scene(scene: Any, model: ModelEntry, folder: Path, source: Path | None) -> Generator[float, None, Path]:
    """Write all results of a model in a scene, as ``write_corrections`` does."""
    found = yield from within(0.0, 0.3, results_of(scene, model))
    return (yield from within(0.3, 1.0, write_corrections(found, model, folder, source)))


def write_corrections(
    results: Sequence[Result], model: ModelEntry, folder: Path, source: Path | None
) -> Generator[float, None, Path]:
    """Write the dataset of an adaptation into ``folder``, from a generator that yields the fraction done.

    Args:
        results: those with corrected slices are labelled cases, the others are volumes without labels.
        source: the dataset file of the model's training, whose source cases are replayed; ``None`` without.

    Returns:
        The dataset file.

    Raises:
        InputError: no slice was corrected, or none in a volume that can be learnt from: one that the model cuts along
            the corrected slices, under no non-linear transform. Other results are left out if this is not all.
        LeudaError: the disk is full.
    """
    corrected = [result for result in results if result.drawn]
    if not corrected:
        raise InputError(
            _("no slice of a result of “{name}” was corrected").format(name=model.name),
            _("correct one or more slices in the Segment Editor first"),
        )
    problems = [(result, _problem(result, model)) for result in results]
    results = [result for result, problem in problems if problem is None]
    for result, problem in problems:
        if problem is not None and result.drawn and not any(other.drawn for other in results):
            raise problem
        if problem is not None:
            logger.warning("left out: %s", problem)
    make_private_folder(folder)
    cases = []
    for number, result in enumerate(results):
        part = number / len(results), (number + 1) / len(results)
        cases.append((yield from within(*part, _write_case(result, model, folder, f"target_{number + 1:03d}"))))
    document = {
        "name": model.name,
        "labels": {"0": "background"} | {str(label.value): {"name": label.name} for label in model.labels},
        "source": _source(source) or {"name": "source", "modality": model.source_modality, "cases": []},
        "target": {"name": "target", "modality": model.target_modality, "cases": cases},
    }
    write_json(folder / "dataset.json", document, private=True)
    return folder / "dataset.json"


def _problem(result: Result, model: ModelEntry) -> InputError | None:
    """Return why a result, or its corrected slices, cannot be learnt."""
    volume, plane = result.volume, cast(Any, model.plane)
    try:
        check_volume(volume)
        world_affine(volume)
        if not result.drawn:
            return None
        corrections.slices_of_volume(result.segmentation.GetSegmentation(), result.drawn, ijk_to_ras(volume))
        axis = plan_slices(volume_shape(volume), world_affine(volume), plane, model.isotropic).axis
    except InputError as error:
        return error
    if axis == _SLICES_AXIS:
        return None
    return InputError(
        _("the model cuts “{name}” across the slices that were corrected").format(name=volume.GetName()),
        _("correct volumes that were acquired in the plane of the model: {plane}").format(plane=model.plane),
    )


def _write_case(result: Result, model: ModelEntry, folder: Path, stem: str) -> Generator[float, None, dict[str, Any]]:
    """Write the volume, and its labels if it was corrected; return its entry in the dataset."""
    volume, affine = result.volume, world_affine(result.volume)
    voxels = slicer.util.arrayFromVolume(volume)
    entry: dict[str, Any] = {"id": stem, "image": f"{stem}.nrrd"}
    for done in write_nrrd(folder / entry["image"], voxels, affine, compress=False):
        yield 0.5 * done / voxels.nbytes
    if result.drawn:
        labels = np.zeros(voxels.shape, np.uint16)
        entry["labelled_slices"] = yield from within(0.5, 0.75, _fill(labels, result, model))
        entry["label"] = f"{stem}_label.nrrd"
        for done in write_nrrd(folder / entry["label"], labels, affine, compress=True):
            yield 0.75 + 0.25 * done / labels.nbytes
    return entry


def _fill(labels: np.ndarray, result: Result, model: ModelEntry) -> Generator[float, None, list[int]]:
    """Put the corrected slices into an array (K, J, I) of the volume's size; return their indices."""
    segmentation, affine = result.segmentation.GetSegmentation(), ijk_to_ras(result.volume)
    nothing = slicer.vtkOrientedImageData()
    layer, _count = yield from corrections.with_drawn_slices(nothing, segmentation, model.labels, result.drawn, affine)
    voxels = layers.layer_array(layer)
    if voxels.size:
        first, last = layer.GetExtent()[4::-2], layer.GetExtent()[5::-2]  # along k, j and i
        ends = list(zip(first, last, labels.shape, strict=True))
        there = tuple(slice(max(0, low), min(high + 1, size)) for low, high, size in ends)
        here = tuple(slice(max(0, -low), max(0, min(high + 1, size) - low)) for low, high, size in ends)
        labels[there] = voxels[here]
    slices = corrections.slices_of_volume(segmentation, result.drawn, affine)
    return sorted(k for k in slices if 0 <= k < len(labels))


def _source(dataset: Path | None) -> dict[str, Any] | None:
    """Return the source of a dataset file with whole paths; ``None`` if it or one of its files is gone."""
    if dataset is None:
        return None
    try:
        source = json.loads(read_regular(dataset))["source"]
        for case in source["cases"]:
            case |= {key: str(dataset.parent / case[key]) for key in ("image", "label") if case.get(key)}
            if not all(Path(case[key]).exists() for key in ("image", "label") if case.get(key)):
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return source if any(case.get("label") for case in source["cases"]) else None

"""Writes the dataset of a training: ``dataset.json``, and ``volumes/`` with the volumes and labels of the scene.

Volumes of the scene are always copied, even if they were loaded from a file that has not changed: Slicer may have
reversed an axis on loading, the copy contains exactly the slices that were shown and marked, and a run can be resumed
after the original file was moved. Volumes that were added as files stay where they are and are referenced by their
absolute path. Linear parent transforms are included in the written affine; the nodes are not changed.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from leuda_core.errors import InputError
from leuda_core.io.files import write_json
from LEUDASegmentationLib.scene.geometry import world_affine
from LEUDASegmentationLib.scene.nrrd import write_nrrd
from LEUDASegmentationLib.scene.volumes import check_volume
from LEUDATrainingLib.cases.cases import ROLES, Case, CaseStore, missing_volume
from LEUDATrainingLib.cases.structures import Structure, read_structures
from LEUDATrainingLib.labels.conflicts import overlap_warning, repeated_problem
from LEUDATrainingLib.labels.label_layers import LabelReader
from LEUDATrainingLib.parameter_node import read_json

logger = logging.getLogger(__name__)

DATASET_FILE = "dataset.json"
VOLUMES_FOLDER = "volumes"


@dataclass(frozen=True)
class WriteProgress:
    """The progress of writing: what is being written, and the completed fraction in [0, 1]."""

    stage: str
    fraction: float


@dataclass
class _Writing:
    """The state of writing one dataset. Labels count twice in the bytes: they are read and written."""

    folder: Path
    structures: Sequence[Structure]
    total_bytes: int
    done_bytes: int = 0

    def progress(self, stage: str, new_bytes: int) -> WriteProgress:
        """Return the progress after ``new_bytes`` more than ``done_bytes``."""
        return WriteProgress(stage, min(1.0, (self.done_bytes + new_bytes) / max(1, self.total_bytes)))


def write_dataset(parameter_node: Any, folder: Path) -> Generator[WriteProgress, None, Path]:
    """Write the dataset of a parameter node into ``folder``; yield after every few megabytes; return the dataset file.

    The caller continues the generator between events, so that the window stays responsive. If the generator is closed
    or an error occurs, the files written so far are deleted.

    Raises:
        InputError: a volume is missing or has a non-linear transform, several segments have the name of a structure,
            or the folder contains a dataset or cannot be written.
        LeudaError: the disk is full.
    """
    folder = Path(folder)
    check_free(folder)
    stores = {role: CaseStore(parameter_node, role) for role in ROLES}
    work = _Writing(folder, read_structures(parameter_node), _bytes_to_write(stores.values()))
    finished = False
    try:
        groups: dict[str, list[dict[str, Any]]] = {}
        for role, store in stores.items():
            groups[role] = yield from _write_cases(work, store)
        write_json(folder / DATASET_FILE, _document(parameter_node, work.structures, groups), private=True)
        finished = True
        yield WriteProgress(_("Dataset written"), 1.0)
        return folder / DATASET_FILE
    finally:
        if not finished:
            discard_dataset(folder)


def check_free(folder: Path) -> None:
    """Check that a folder contains no dataset, on which a run may depend.

    Raises:
        InputError: it contains one.
    """
    if (folder / DATASET_FILE).exists() or (folder / VOLUMES_FOLDER).exists():
        raise InputError(_("{folder} already contains a dataset").format(folder=folder), _("choose another folder"))


def discard_dataset(folder: Path) -> None:
    """Delete a written dataset, and its folder if nothing else is in it."""
    (folder / DATASET_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / VOLUMES_FOLDER, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()


def _document(parameter_node: Any, structures: Sequence[Structure], groups: dict[str, list]) -> dict[str, Any]:
    """Return the content of the dataset file."""
    document = {
        "name": parameter_node.runName or "training",
        "labels": {"0": "background"} | {str(structure.value): _label(structure) for structure in structures},
        "source": {"name": "source", "modality": parameter_node.sourceModality, "cases": groups["source"]},
        "target": {"name": "target", "modality": parameter_node.targetModality, "cases": groups["target"]},
    }
    test = read_json(parameter_node.testCases, {})
    return document | ({"test": test} if test else {})


def _label(structure: Structure) -> dict[str, Any]:
    color = [round(255 * min(1.0, max(0.0, part))) for part in structure.color]
    return {"name": structure.name, "color": color, "terminology": structure.terminology}


def _write_cases(work: _Writing, store: CaseStore) -> Generator[WriteProgress, None, list[dict[str, Any]]]:
    """Write the cases of one domain; return their entries in the dataset file."""
    entries = []
    for number, case in enumerate(store, start=1):
        if store.is_missing(case):
            raise missing_volume(case)
        volume = store.volume(case)
        if volume is None:
            entries.append(_file_entry(case))
            continue
        base = f"{VOLUMES_FOLDER}/{store.role}_{number:03d}"  # no names of patients in paths
        entry: dict[str, Any] = {"id": case.name, "image": f"{base}.nrrd"}
        yield from _write_image(work, case, volume, entry["image"])
        segmentation = store.segmentation(case)
        if segmentation is not None:
            entry["label"] = f"{base}_label.nrrd"
            yield from _write_labels(work, case, volume, segmentation, entry["label"])
            if case.labelled is not None:
                entry["labelled_slices"] = list(case.labelled)
        entries.append(entry)
    return entries


def _file_entry(case: Case) -> dict[str, Any]:
    """Return the entry of a case that is a file."""
    entry: dict[str, Any] = {"id": case.name, "image": str(Path(case.image).absolute())}
    if case.label:
        entry["label"] = str(Path(case.label).absolute())
        if case.labelled is not None:
            entry["labelled_slices"] = list(case.labelled)
    return entry


def _write_image(work: _Writing, case: Case, volume: Any, name: str) -> Generator[WriteProgress, None, None]:
    check_volume(volume)
    voxels = slicer.util.arrayFromVolume(volume)  # keeps the voxels if the node is deleted meanwhile
    stage = _("Writing {name}").format(name=case.name)
    yield from _write(work, work.folder / name, voxels, world_affine(volume), stage, compress=False)


def _write_labels(
    work: _Writing, case: Case, volume: Any, segmentation: Any, name: str
) -> Generator[WriteProgress, None, None]:
    affine = world_affine(volume)  # before the event loop runs again and the node may be deleted
    reader = LabelReader(segmentation, volume, work.structures)
    if reader.repeated:
        raise InputError(*repeated_problem(case.name, reader.repeated))
    labels = yield from _read(work, reader, _("Reading the labels of {name}").format(name=case.name))
    if reader.overlaps:
        logger.warning("%s: %s", *overlap_warning(case.name, reader.overlaps, work.structures))
    stage = _("Writing the labels of {name}").format(name=case.name)
    yield from _write(work, work.folder / name, labels, affine, stage, compress=True)


def _read(work: _Writing, reader: LabelReader, stage: str) -> Generator[WriteProgress, None, np.ndarray]:
    """Return the label map of a case."""
    size, steps = math.prod(reader.shape), reader.read()
    while True:
        try:
            part = next(steps)
        except StopIteration as end:
            work.done_bytes += size
            return end.value
        yield work.progress(stage, round(part * size))


def _write(
    work: _Writing, path: Path, voxels: np.ndarray, affine: np.ndarray, stage: str, *, compress: bool
) -> Generator[WriteProgress, None, None]:
    for done in write_nrrd(path, voxels, affine, compress=compress):
        yield work.progress(stage, done)
    work.done_bytes += voxels.nbytes


def _bytes_to_write(stores: Any) -> int:
    total = 0
    for store in stores:
        for case in store:
            volume = store.volume(case)
            if volume is not None and volume.GetImageData() is not None:
                voxels = slicer.util.arrayFromVolume(volume)
                total += voxels.nbytes + (2 * voxels.size if store.segmentation(case) is not None else 0)
    return total

"""Slices of volumes, prepared once: cut, resampled and normalised, in files from which batches are drawn.

Memory does not grow with the number of volumes: one volume is in memory at a time, and slices are read one by one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from leuda_core.data.dataset import UnreadableCase, labelled_slices, read_case_image, read_case_labels
from leuda_core.data.geometry import stack_around
from leuda_core.data.intensities import intensity_range
from leuda_core.data.planes import case_plan
from leuda_core.data.slices import labels_to_working, to_working
from leuda_core.io.arrays import save_parts
from leuda_core.io.files import write_error
from leuda_core.io.private import make_private_folder
from leuda_core.io.volumes import Grid
from leuda_core.types import IGNORE, Case, Label, LabelMap, Task, Volume


@dataclass(frozen=True)
class SliceFile:
    """A file of slices in NumPy's format, ``(n, rows, columns)``; the first one begins at byte ``offset``."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int

    @staticmethod
    def at(path: Path) -> SliceFile:
        mapped = np.load(path, mmap_mode="r")
        return SliceFile(path, mapped.shape, mapped.dtype, mapped.offset)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Read some slices, ``(len(indices), rows, columns)``, in a fifth of the time that mapping the file takes."""
        slices = np.empty((len(indices), *self.shape[1:]), self.dtype)
        with self.path.open("rb") as file:
            for one, index in zip(slices, indices, strict=True):
                file.seek(self.offset + index * one.nbytes)
                if file.readinto(one.data) < one.nbytes:
                    raise OSError(f"{self.path} is shorter than it was")
        return slices


@dataclass(frozen=True)
class CachedCase:
    """Prepared slices of one case: float16 images and uint8 class indices.

    ``offsets`` are those of a slice and its neighbours, as ``SlicePlan.offsets`` returns them. ``showing[c - 1]`` are
    the labelled slices that show class ``c``. ``other_units``: it is not in Hounsfield units, unlike its domain.
    ``closer`` are the same slices at the spacing of a second look, ``None`` if the task has none.
    """

    id: str
    images: SliceFile
    labels: SliceFile | None
    n_slices: int
    labelled: tuple[int, ...]
    offsets: tuple[int, ...] = (0,)
    showing: tuple[tuple[int, ...], ...] = ()
    other_units: bool = False
    closer: CachedCase | None = None

    def stack(self, index: int) -> list[int]:
        """Return the indices of a slice and its neighbours."""
        return stack_around(index, self.offsets, self.n_slices)


def prepare_case(case: Case, task: Task, folder: Path, *, with_labels: bool) -> CachedCase:
    """Write a case's slices to ``folder`` in working geometry and intensity.

    Raises:
        UnreadableCase: a file cannot be read. InputError: the labels are unusable. LeudaError: the disk is full.
    """
    volume = read_case_image(case)
    label_map = read_case_labels(case, task.labels) if with_labels and case.label is not None else None
    closer = None
    if task.zoom > 1:
        closer = _prepared(case, volume, label_map, task.closer, _new_folder(folder) / "closer")
    return replace(_prepared(case, volume, label_map, task, folder), closer=closer)


def _prepared(case: Case, volume: Volume, label_map: LabelMap | None, task: Task, folder: Path) -> CachedCase:
    plan = case_plan(case, Grid(volume.shape, volume.affine), task.plane, task.isotropic)
    size = plan.working_size(task.spacing_mm)
    intensities = intensity_range(volume.data, task.normalization)
    other_units = task.normalization.window not in (None, intensities)
    slices = plan.view(volume.data)
    image_path = _new_folder(folder) / "image.npy"
    images = (to_working(slices[i : i + 1], size, intensities)[0, 0].numpy() for i in range(plan.n_slices))
    save_parts(image_path, images, shape=(plan.n_slices, *size), dtype=np.float16)
    offsets = plan.offsets(task.context, task.context_mm)
    if label_map is None:
        return CachedCase(case.id, SliceFile.at(image_path), None, plan.n_slices, (), offsets, other_units=other_units)

    labelled = labelled_slices(case, label_map, plan)
    label_path = folder / "label.npy"
    labels = _working_labels(plan.view(label_map.data), labelled, task.labels, size)
    save_parts(label_path, labels, shape=(plan.n_slices, *size), dtype=np.uint8)
    known = SliceFile.at(label_path)
    showing = _showing(known, labelled, len(task.labels))
    return CachedCase(case.id, SliceFile.at(image_path), known, plan.n_slices, labelled, offsets, showing, other_units)


def _showing(labels: SliceFile, labelled: Sequence[int], n_labels: int) -> tuple[tuple[int, ...], ...]:
    found = {index: set(np.unique(labels.read([index]))) for index in labelled}
    return tuple(tuple(index for index in labelled if c in found[index]) for c in range(1, n_labels + 1))


def _working_labels(
    slices: np.ndarray, labelled: Sequence[int], labels: Sequence[Label], size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Yield the class indices of every slice in working geometry; slices that are not labelled are ``IGNORE``."""
    for index in range(len(slices)):
        if index in labelled:
            yield labels_to_working(class_indices(slices[index : index + 1], labels), size)[0]
        else:
            yield np.full(size, IGNORE, np.uint8)


def _new_folder(folder: Path) -> Path:
    try:
        make_private_folder(folder)
    except OSError as error:
        raise write_error(folder, error) from error
    return folder


def class_indices(values: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """Convert label values to class indices: 0 background, ``c`` for ``labels[c - 1]``; uint8, same shape."""
    table = np.zeros(max(label.value for label in labels) + 1, np.uint8)
    for index, label in enumerate(labels, start=1):
        table[label.value] = index
    return table[values]


def prepare_cases(
    roles: Sequence[tuple[Case, Task, bool]],
    folder: Path,
    *,
    on_case: Callable[[int, int], None] | None,
    on_unreadable: Callable[[int, UnreadableCase], None] | None,
) -> tuple[list[CachedCase | None], list[UnreadableCase]]:
    """Prepare cases, each given with its task and whether its labels are read; ``None`` for one that cannot be read.

    Arguments and errors are those of ``SliceLoader``; nothing is left in ``folder`` after an error.
    """
    cached: list[CachedCase | None] = []
    failures: list[UnreadableCase] = []
    places = [folder / f"{index:04d}" for index in range(len(roles))]
    try:
        for place, (case, task, with_labels) in zip(places, roles, strict=True):
            try:
                cached.append(prepare_case(case, task, place, with_labels=with_labels))
            except UnreadableCase as error:
                if on_unreadable is None:
                    raise
                on_unreadable(len(cached), error)
                failures.append(error)
                cached.append(None)
            if on_case:
                on_case(len(cached), len(roles))
    except BaseException:  # slices that nobody will use must not keep a disk full
        for place in places:
            shutil.rmtree(place, ignore_errors=True)
        raise
    return cached, failures


def read_stack(case: CachedCase, index: int) -> np.ndarray:
    """Return a slice and its neighbours, ``(C, rows, columns)`` float32."""
    return case.images.read(case.stack(index)).astype(np.float32)

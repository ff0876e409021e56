"""From volumes to batches: slices are prepared once in memory-mapped files, from which batches are drawn at random.

Memory does not grow with the number of volumes: preparation loads one volume at a time, drawing maps one slice at a
time. A batch depends only on (seed, step), so a resumed run gets the same batches as an uninterrupted one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from leuda_core.config import MethodConfig
from leuda_core.data.augment import random_affine
from leuda_core.data.dataset import labelled_slices, nothing_labelled, read_case_labels
from leuda_core.data.geometry import plan_slices
from leuda_core.data.slices import intensity_range, labels_to_working, to_working
from leuda_core.errors import InputError
from leuda_core.io.volumes import read_grid, read_volume
from leuda_core.types import IGNORE, Batch, Case, Dataset, Label, Task

logger = logging.getLogger(__name__)


def make_task(dataset: Dataset, settings: MethodConfig) -> Task:
    """Determine the task of a run: labels, slicing plane, pixel size."""
    return Task(
        labels=dataset.labels,
        spacing_mm=settings.spacing_mm or automatic_spacing(dataset, settings),
        patch_size=settings.patch_size,
        plane=settings.plane,
    )


def automatic_spacing(dataset: Dataset, settings: MethodConfig) -> float:
    """Return the pixel size at which a typical slice fits the training patch, within 1 to 2 times its own pixel size.

    More than twice the acquired pixel size would lose thin structures; then a patch covers only part of a slice.
    """
    pixels, sides = [], []
    for case in [*dataset.source.cases, *dataset.target.cases]:
        grid = read_grid(case.image)
        plan = plan_slices(grid.shape, grid.affine, settings.plane)
        pixels.append(np.mean(plan.pixel_mm))
        sides.append(max(n * mm for n, mm in zip(plan.size, plan.pixel_mm, strict=True)))
    pixel, side = float(np.median(pixels)), float(np.median(sides))
    return round(min(max(side / settings.patch_size, pixel), 2 * pixel), 3)


@dataclass(frozen=True)
class CachedCase:
    """Prepared slices of one case: files of ``(n, rows, columns)`` float16 images and uint8 class indices."""

    id: str
    images: Path
    labels: Path | None
    n_slices: int
    labelled: tuple[int, ...]


def prepare_case(case: Case, task: Task, folder: Path, *, with_labels: bool) -> CachedCase:
    """Write a case's slices to ``folder`` in working geometry and intensity."""
    volume = read_volume(case.image)
    plan = plan_slices(volume.shape, volume.affine, task.plane)
    size = plan.working_size(task.spacing_mm)
    intensities = intensity_range(volume.data, task.normalization)
    slices = plan.view(volume.data)
    image_path = folder / "image.npy"
    folder.mkdir(parents=True, exist_ok=True)
    images = np.lib.format.open_memmap(image_path, "w+", np.float16, (plan.n_slices, *size))
    for i in range(plan.n_slices):
        images[i] = to_working(slices[i : i + 1], size, intensities)[0, 0].numpy()
    images.flush()
    if not with_labels or case.label is None:
        return CachedCase(case.id, image_path, None, plan.n_slices, ())

    label_map = read_case_labels(case, task.labels)
    labelled = labelled_slices(case, label_map, plan)
    label_path = folder / "label.npy"
    labels = np.lib.format.open_memmap(label_path, "w+", np.uint8, (plan.n_slices, *size))
    labels[:] = IGNORE
    for i in labelled:
        classes = class_indices(plan.view(label_map.data)[i : i + 1], task.labels)
        labels[i] = labels_to_working(classes, size)[0]
    labels.flush()
    return CachedCase(case.id, image_path, label_path, plan.n_slices, labelled)


def class_indices(values: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """Convert label values to class indices: 0 background, ``c`` for ``labels[c - 1]``; uint8, same shape."""
    table = np.zeros(max(label.value for label in labels) + 1, np.uint8)
    for index, label in enumerate(labels, start=1):
        table[label.value] = index
    return table[values]


class SliceLoader:
    """Draws the batches of a run. ``batch(step)`` is a pure function of the seed, the step and the volumes."""

    def __init__(
        self,
        dataset: Dataset,
        task: Task,
        settings: MethodConfig,
        folder: Path,
        *,
        seed: int = 0,
        target_labels: bool = False,
        episodes: bool = False,
        on_case: Callable[[int, int], None] | None = None,
    ) -> None:
        """Prepare every source and target case under ``folder``.

        With ``episodes``, the two halves of a batch come from different volumes if there is more than one.

        Raises:
            InputError: a volume is unusable, or no slice is labelled.
        """
        self._settings, self._seed, self._patch = settings, seed, task.patch_size
        self._episodes = episodes
        roles = [(case, True) for case in dataset.source.cases]
        roles += [(case, target_labels) for case in dataset.target.cases]
        cached = []
        for index, (case, with_labels) in enumerate(roles):
            cached.append(prepare_case(case, task, folder / f"{index:04d}", with_labels=with_labels))
            if on_case:
                on_case(index + 1, len(roles))
        source, target = cached[: len(dataset.source.cases)], cached[len(dataset.source.cases) :]
        self.labelled = [case for case in source if case.labelled]
        self.source, self.target = source, [case for case in target if case.labelled] if target_labels else target
        self._target_labels = target_labels
        if not self.labelled:
            raise nothing_labelled(dataset)
        if not self.target:
            what = f"dataset {dataset.name!r}: no target slice is labelled"
            raise InputError(what, "target_supervised needs target cases with labels")
        logger.info(
            "%d source slices, %d of them labelled, %d target slices",
            sum(case.n_slices for case in source),
            sum(len(case.labelled) for case in source),
            sum(case.n_slices for case in self.target),
        )

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, geometrically augmented, on the CPU. Also uses torch's global random state."""
        rng = np.random.default_rng([self._seed, step])
        labelled, unlabelled = self._settings.batch_size, self._settings.unlabelled_batch_size
        source, source_labels = self._draw(rng, self.labelled, labelled, True)
        source_unlabelled, _ = self._draw(rng, self.source, unlabelled, False)
        target, target_labels = self._draw(
            rng, self.target, labelled if self._target_labels else unlabelled, self._target_labels
        )
        assert source_labels is not None
        return Batch(source, source_labels, source_unlabelled, target, target_labels)

    def _draw(
        self, rng: np.random.Generator, cases: Sequence[CachedCase], count: int, with_labels: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Draw slices; all cases are equally likely, whatever their number of slices."""
        pools = self._pools(rng, cases, count)
        patches = [self._patch_of(rng, pool[int(rng.integers(len(pool)))], with_labels) for pool in pools]
        images = torch.from_numpy(np.stack([image for image, _ in patches])).unsqueeze(1)
        drawn = [label for _, label in patches if label is not None]
        labels = torch.from_numpy(np.stack(drawn)).long() if with_labels else None
        return random_affine(images, labels, self._settings.augmentation)

    def _pools(self, rng: np.random.Generator, cases: Sequence[CachedCase], count: int) -> list[Sequence[CachedCase]]:
        """Return, for each slice to draw, the cases to draw it from."""
        if not self._episodes or len(cases) < 2:
            return [cases] * count
        order = [cases[i] for i in rng.permutation(len(cases))]
        half = len(order) // 2
        return [order[:half]] * (count // 2) + [order[half:]] * (count - count // 2)

    def _patch_of(
        self, rng: np.random.Generator, case: CachedCase, with_labels: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        index = int(rng.choice(case.labelled) if with_labels else rng.integers(case.n_slices))
        image = read_slice(case.images, index).astype(np.float32)
        offset = [int(rng.integers(max(n - self._patch, 0) + 1)) for n in image.shape]
        label = None
        if with_labels and case.labels is not None:
            label = _crop(read_slice(case.labels, index), offset, self._patch, IGNORE)
        return _crop(image, offset, self._patch, -1.0), label


def read_slice(path: Path, index: int) -> np.ndarray:
    """Copy one slice from a memory-mapped file; the mapping and its pages are released at once."""
    return np.array(np.load(path, mmap_mode="r")[index])


def _crop(image: np.ndarray, offset: Sequence[int], side: int, fill: float) -> np.ndarray:
    """Cut a square at ``offset``; a slice that is smaller is centred and padded with ``fill``."""
    part = image[offset[0] : offset[0] + side, offset[1] : offset[1] + side]
    missing = [side - n for n in part.shape]
    return np.pad(part, [(m // 2, m - m // 2) for m in missing], constant_values=fill)

"""The task of a run, and its batches, drawn at random from prepared slices.

A batch depends only on (seed, step), so a resumed run gets the same batches as an uninterrupted one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from leuda_core.config import RULES, MethodConfig
from leuda_core.data.augment import random_affine
from leuda_core.data.dataset import UnreadableCase, nothing_labelled, read_case_grid
from leuda_core.data.planes import case_plan, isotropic_rule
from leuda_core.data.prepared import CachedCase, prepare_cases, read_slices
from leuda_core.errors import InputError
from leuda_core.io.volumes import Grid
from leuda_core.types import IGNORE, Batch, Case, Dataset, Normalization, Task

TURNED = 0.5
"""Share of stacks whose slices are in reverse order: nothing says that volumes of two domains are stored alike."""

logger = logging.getLogger(__name__)


def make_task(dataset: Dataset, settings: MethodConfig, rules: int = RULES) -> Task:
    """Determine the task of a run: labels, slicing plane, pixel size, neighbours. ``rules`` as in ``RunConfig``."""
    readable, _ = readable_part(dataset)  # what is wrong with the others is told when they are read
    grids = [(case, read_case_grid(case)) for case in (*readable.source.cases, *readable.target.cases)]
    isotropic = ""
    if rules > 1 and settings.plane == "acquisition":
        isotropic = isotropic_rule(grid for _, grid in grids)
    return Task(
        labels=dataset.labels,
        spacing_mm=settings.spacing_mm or _automatic_spacing(grids, settings, isotropic),
        patch_size=settings.patch_size,
        plane=settings.plane,
        isotropic=isotropic,
        normalization=Normalization(ignores_padding=rules > 1),
        context=settings.context,
        context_mm=_context_mm(grids, len(readable.source.cases), settings, isotropic) if settings.context else 0.0,
    )


def readable_part(dataset: Dataset) -> tuple[Dataset, list[UnreadableCase]]:
    """Return the dataset without source and target cases whose headers cannot be read, and what is wrong with these.

    Raises:
        InputError: a volume does not exist, or no target or no labelled source case is left.
    """
    failures: list[UnreadableCase] = []

    def readable(case: Case) -> bool:
        try:
            read_case_grid(case)
        except UnreadableCase as error:
            failures.append(error)
            return False
        return True

    source, target = (
        replace(domain, cases=tuple(filter(readable, domain.cases))) for domain in (dataset.source, dataset.target)
    )
    if failures and not (target.cases and any(case.label for case in source.cases)):
        raise failures[0]
    return replace(dataset, source=source, target=target), failures


def _automatic_spacing(grids: Sequence[tuple[Case, Grid]], settings: MethodConfig, isotropic: str = "") -> float:
    """Return the pixel size at which a typical slice fits the training patch, within 1 to 2 times its own pixel size.

    More than twice the acquired pixel size would lose thin structures; then a patch covers only part of a slice.
    """
    pixels, sides = [], []
    for case, grid in grids:
        plan = case_plan(case, grid, settings.plane, isotropic)
        pixels.append(np.mean(plan.pixel_mm))
        sides.append(max(n * mm for n, mm in zip(plan.size, plan.pixel_mm, strict=True)))
    pixel, side = float(np.median(pixels)), float(np.median(sides))
    return round(min(max(side / settings.patch_size, pixel), 2 * pixel), 3)


def _context_mm(grids: Sequence[tuple[Case, Grid]], n_source: int, settings: MethodConfig, isotropic: str) -> float:
    """Return the distance of neighbours: that of the settings, or the typical one of the domain with thicker slices."""
    steps = [case_plan(case, grid, settings.plane, isotropic).step_mm for case, grid in grids]
    typical = max(np.median(steps[:n_source]), np.median(steps[n_source:]))
    return settings.context_mm or round(float(typical), 3)


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
        on_unreadable: Callable[[int, UnreadableCase], None] | None = None,
    ) -> None:
        """Prepare every source and target case under ``folder``.

        With ``episodes``, the two halves of a batch come from different volumes if there is more than one. A case that
        cannot be read is left out and passed to ``on_unreadable`` with its number, if that is given.

        Raises:
            InputError: a volume is unusable, or no slice is labelled. LeudaError: the disk is full.
        """
        self._settings, self._seed, self._patch = settings, seed, task.patch_size
        self._centre = task.context
        self._episodes = episodes
        roles = [(case, True) for case in dataset.source.cases]
        roles += [(case, target_labels) for case in dataset.target.cases]
        cached, failures = prepare_cases(roles, task, folder, on_case=on_case, on_unreadable=on_unreadable)
        first = len(dataset.source.cases)
        source, target = ([case for case in part if case] for part in (cached[:first], cached[first:]))
        self.labelled = [case for case in source if case.labelled]
        self.source, self.target = source, [case for case in target if case.labelled] if target_labels else target
        self._target_labels = target_labels
        if failures and not (self.labelled and self.target):
            raise failures[0]
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
        source, structures = self._draw(rng, self.labelled, labelled, True)
        source_unlabelled, _ = self._draw(rng, self.source, unlabelled, False)
        target, target_structures = self._draw(
            rng, self.target, labelled if self._target_labels else unlabelled, self._target_labels
        )
        assert structures is not None
        return Batch(
            source,
            structures[:, self._centre],
            source_unlabelled,
            target,
            target_labels=None if target_structures is None else target_structures[:, self._centre],
            source_stack_labels=structures,
            target_stack_labels=target_structures,
        )

    def _draw(
        self, rng: np.random.Generator, cases: Sequence[CachedCase], count: int, with_labels: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Draw stacks of slices; all cases are equally likely, whatever their number of slices."""
        pools = self._pools(rng, cases, count)
        patches = [self._patch_of(rng, pool[int(rng.integers(len(pool)))], with_labels) for pool in pools]
        images = torch.from_numpy(np.stack([image for image, _ in patches]))
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
        stack = case.stack(index)
        if len(stack) > 1 and rng.random() < TURNED:
            stack.reverse()
        images = read_slices(case.images, stack).astype(np.float32)
        offset = [int(rng.integers(max(n - self._patch, 0) + 1)) for n in images.shape[1:]]
        labels = None
        if with_labels and case.labels is not None:
            labels = _crop(read_slices(case.labels, stack), offset, self._patch, IGNORE)
        return _crop(images, offset, self._patch, -1.0), labels


def _crop(stack: np.ndarray, offset: Sequence[int], side: int, fill: float) -> np.ndarray:
    """Cut squares at ``offset`` from slices ``(C, H, W)``; smaller slices are centred and padded with ``fill``."""
    part = stack[:, offset[0] : offset[0] + side, offset[1] : offset[1] + side]
    missing = [side - n for n in part.shape[1:]]
    return np.pad(part, [(0, 0), *((m // 2, m - m // 2) for m in missing)], constant_values=fill)

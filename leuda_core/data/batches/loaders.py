"""The batches of a run, drawn at random from prepared slices.

A batch depends only on (seed, step), so a resumed run gets the same batches as an uninterrupted one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from leuda_core.config import RULES, MethodConfig
from leuda_core.data.batches.augment import random_affine
from leuda_core.data.batches.prepared import CachedCase, prepare_cases
from leuda_core.data.batches.views import LIMITS, Limits, View, cut_square, cut_views, random_view
from leuda_core.data.dataset import UnreadableCase, nothing_labelled
from leuda_core.errors import InputError
from leuda_core.types import IGNORE, STREAMS, Batch, Dataset, Stream, Task

TURNED = 0.5
"""Share of stacks whose slices are in reverse order: nothing says that volumes of two domains are stored alike."""

BALANCED, RARE = 0.5, 0.5
"""Share of labelled slices that are drawn by class (first a class, then a slice that shows it) if the rarest class is
on less than a share of ``RARE`` of the slices of the most common one. Elsewhere it brought nothing."""

FOCUSED, LARGER = 0.67, 1.5
"""Share of views that are drawn where structures are in labelled slices, if a slice is so many times larger than a
view, and in the second look. In a slice that a view nearly shows, this would only push the structures to its border."""

CLOSER = 0.5
"""Share of stacks that are shown as the second look shows them, if there is one; the others are whole slices."""

PLACES = 8
"""About so many places are kept of a structure in a slice."""

MOSTLY = 0.5
"""If more than this share of all source slices is labelled, other source slices are not worth learning from again."""

logger = logging.getLogger(__name__)


class _Drawn(NamedTuple):
    """Views or patches of stacks, with what ``Batch`` says about them."""

    images: Tensor
    labels: Tensor | None
    upright: Tensor | None = None
    matrices: Tensor | None = None


class SliceLoader:
    """Draws the batches of a run. ``batch(step)`` is a pure function of the seed, the step and the volumes.

    ``pure`` tells whether it uses no global random state, so that batches can be drawn at any time and in any thread.
    """

    def __init__(
        self,
        dataset: Dataset,
        task: Task,
        settings: MethodConfig,
        folder: Path,
        *,
        seed: int = 0,
        rules: int = RULES,
        target_labels: bool = False,
        target_only: bool = False,
        needs_source: bool = True,
        episodes: bool = False,
        on_case: Callable[[int, int], None] | None = None,
        on_unreadable: Callable[[int, UnreadableCase], None] | None = None,
    ) -> None:
        """Prepare every source and target case under ``folder``.

        With ``target_labels``, the label maps of target cases are read, and batches have ``labelled_target`` slices;
        with ``target_only`` in addition, their ``target`` slices are labelled ones instead. Without ``needs_source``,
        batches may have no source slices, and no labelled target slices. With ``episodes``, the two halves of a batch
        come from different volumes if there is more than one. A case that cannot be read is left out and passed to
        ``on_unreadable`` with its number, if that is given.

        Raises:
            InputError: a volume is unusable, or no slice is labelled. LeudaError: the disk is full.
        """
        self._settings, self._seed, self._patch = settings, seed, task.patch_size
        self._centre, self._episodes, self._rules = task.context, episodes, rules
        self._limits, self.pure = _limits(settings), rules > 2
        roles = [(case, task.for_source, True) for case in dataset.source.cases]
        roles += [(case, task, target_labels) for case in dataset.target.cases]
        cached, failures = prepare_cases(roles, folder, on_case=on_case, on_unreadable=on_unreadable)
        first = len(dataset.source.cases)
        source, target = ([case for case in part if case] for part in (cached[:first], cached[first:]))
        self.labelled = [case for case in source if case.labelled]
        labelled_target = [case for case in target if case.labelled]
        self.source, self.target = source, labelled_target if target_only else target
        self.labelled_target = [] if target_only else labelled_target
        self._target_only = target_only
        self.source_is_labelled = rules > 2 and is_mostly_labelled(
            sum(len(case.labelled) for case in source), sum(case.n_slices for case in source)
        )
        self._n_labels = len(task.labels)
        # What the dataset names as labelled must not be missing unnoticed.
        source_gone = not self.labelled and any(case.label for case in dataset.source.cases)
        target_gone = target_labels and not labelled_target and any(case.label for case in dataset.target.cases)
        if failures and (not self.target or source_gone or target_gone):
            raise failures[0]
        if needs_source and not self.labelled:
            raise nothing_labelled(dataset)
        if needs_source and target_labels and not labelled_target:
            what = f"dataset {dataset.name!r}: no target slice is labelled"
            raise InputError(what, "add label to a target case, or learn without target labels")
        logger.info(
            "%d source slices, %d of them labelled, %d target slices",
            sum(case.n_slices for case in source),
            sum(len(case.labelled) for case in source),
            sum(case.n_slices for case in self.target),
        )
        known = self.labelled or self.labelled_target
        self._places = _places(known, self._n_labels)
        self._balanced = BALANCED if _has_rare_class(known, self._n_labels) else 0.0

    def batch(self, step: int, streams: Set[Stream] = STREAMS) -> Batch:
        """Return the batch of a step, geometrically augmented, on the CPU; slices of other streams are not drawn."""
        if self._rules < 3:
            streams = STREAMS  # all use the same random numbers
        rng = np.random.default_rng([self._seed, step])
        labelled, unlabelled = self._settings.batch_size, self._settings.unlabelled_batch_size
        source = self._draw(rng, self.labelled if "source" in streams else (), labelled, True)
        more_source = self._draw(rng, self.source if "source_unlabelled" in streams else (), unlabelled, False)
        target = self._draw(
            rng,
            self.target if "target" in streams else (),
            labelled if self._target_only else unlabelled,
            self._target_only,
        )
        known = self._settings.labelled_target_batch_size
        labelled_target = self._draw(rng, self.labelled_target, known, True) if self.labelled_target else None
        assert source.labels is not None
        return Batch(
            source.images,
            source.labels[:, self._centre],
            more_source.images,
            target.images,
            target_labels=None if target.labels is None else target.labels[:, self._centre],
            source_stack_labels=source.labels,
            target_stack_labels=target.labels,
            upright=_joined(more_source.upright, target.upright),
            upright_matrices=_joined(more_source.matrices, target.matrices),
            source_is_labelled=self.source_is_labelled,
            labelled_target=labelled_target.images if labelled_target else None,
            labelled_target_structures=labelled_target.labels if labelled_target else None,
        )

    def _draw(self, rng: np.random.Generator, cases: Sequence[CachedCase], count: int, with_labels: bool) -> _Drawn:
        """Draw stacks of slices; all cases are equally likely, whatever their number of slices."""
        if not cases:
            return self._nothing(with_labels)
        pools = self._pools(rng, cases, count)
        if self._rules < 3:
            return self._draw_patches(rng, pools, with_labels)
        choices = [self._choice(rng, pool, with_labels) for pool in pools]
        drawn = [self._view_of(rng, case, index, with_labels) for case, index in choices]
        views, stacks, labels = zip(*drawn, strict=True)
        upright = [cut_square(one, view.offset(), self._patch, -1.0) for view, one in zip(views, stacks, strict=True)]
        return _Drawn(
            *cut_views(views, stacks, labels if with_labels else None),
            torch.from_numpy(np.stack(upright)).float(),
            torch.stack([view.upright_matrix() for view in views]),
        )

    def _nothing(self, with_labels: bool) -> _Drawn:
        stacks = torch.zeros(0, 2 * self._centre + 1, self._patch, self._patch)
        return _Drawn(stacks, stacks.long() if with_labels else None, stacks, torch.zeros(0, 2, 3))

    def _choice(
        self, rng: np.random.Generator, pool: Sequence[CachedCase], with_labels: bool
    ) -> tuple[CachedCase, int]:
        """Draw a case and a slice: any, or of a rare class as often as of a common one."""
        if with_labels and rng.random() < self._balanced:
            shown = [c for c in range(self._n_labels) if any(case.showing[c] for case in pool)]
            if shown:
                c = shown[int(rng.integers(len(shown)))]
                pool = [case for case in pool if case.showing[c]]
                case = pool[int(rng.integers(len(pool)))]
                return case, int(rng.choice(case.showing[c]))
        case = pool[int(rng.integers(len(pool)))]
        return case, int(rng.choice(case.labelled) if with_labels else rng.integers(case.n_slices))

    def _view_of(
        self, rng: np.random.Generator, case: CachedCase, index: int, with_labels: bool
    ) -> tuple[View, np.ndarray, np.ndarray | None]:
        """Return a view, and the stack that it shows with its labels."""
        closer = case.closer if case.closer and rng.random() < CLOSER else None
        case = closer or case
        stack = self._stack_of(rng, case, index)
        images = case.images.read(stack)
        labels = case.labels.read(stack) if with_labels and case.labels else None
        around = None
        if (closer or max(images.shape[1:]) > LARGER * self._patch) and rng.random() < FOCUSED:
            place = self._places[int(rng.integers(len(self._places)))]
            around = (place[0] * images.shape[1], place[1] * images.shape[2])
        return random_view(rng, images.shape[1:], self._patch, self._limits, around), images, labels

    def _stack_of(self, rng: np.random.Generator, case: CachedCase, index: int) -> list[int]:
        stack = case.stack(index)
        if len(stack) > 1 and rng.random() < TURNED:
            stack.reverse()
        return stack

    def _pools(self, rng: np.random.Generator, cases: Sequence[CachedCase], count: int) -> list[Sequence[CachedCase]]:
        """Return, for each slice to draw, the cases to draw it from."""
        if not self._episodes or len(cases) < 2:
            return [cases] * count
        order = [cases[i] for i in rng.permutation(len(cases))]
        half = len(order) // 2
        return [order[:half]] * (count // 2) + [order[half:]] * (count - count // 2)

    def _draw_patches(
        self, rng: np.random.Generator, pools: Sequence[Sequence[CachedCase]], with_labels: bool
    ) -> _Drawn:
        """Draw as runs of rules 1 and 2 do: patches that are turned and scaled afterwards."""
        patches = [self._patch_of(rng, pool[int(rng.integers(len(pool)))], with_labels) for pool in pools]
        images = torch.from_numpy(np.stack([image for image, _ in patches]))
        drawn = [label for _, label in patches if label is not None]
        labels = torch.from_numpy(np.stack(drawn)).long() if with_labels else None
        return _Drawn(*random_affine(images, labels, self._settings.augmentation))

    def _patch_of(
        self, rng: np.random.Generator, case: CachedCase, with_labels: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        index = int(rng.choice(case.labelled) if with_labels else rng.integers(case.n_slices))
        stack = self._stack_of(rng, case, index)
        images = case.images.read(stack).astype(np.float32)
        offset = [int(rng.integers(max(n - self._patch, 0) + 1)) for n in images.shape[1:]]
        labels = None
        if with_labels and case.labels is not None:
            labels = cut_square(case.labels.read(stack), offset, self._patch, IGNORE)
        return cut_square(images, offset, self._patch, -1.0), labels


def is_mostly_labelled(labelled: int, slices: int) -> bool:
    """Return whether so many of the source slices are labelled that the others bring little."""
    return labelled > MOSTLY * slices


def _has_rare_class(cases: Sequence[CachedCase], n_labels: int) -> bool:
    counts = [sum(len(case.showing[c]) for case in cases) for c in range(n_labels)]
    shown = [count for count in counts if count]
    return bool(shown) and min(shown) < RARE * max(shown)


def _places(cases: Sequence[CachedCase], n_labels: int) -> np.ndarray:
    """Return where structures are in labelled slices, ``(n, 2)``: row and column as a share of the slice's sides.

    A structure has as many places in every slice that shows it, however large it is there.
    """
    found = []
    for case in cases:
        for index in case.labelled if case.labels else ():
            assert case.labels is not None
            labels = case.labels.read([index])[0]
            for c in (c for c in range(n_labels) if index in case.showing[c]):
                pixels = np.argwhere(labels == c + 1)
                found.append(pixels[:: max(1, len(pixels) // PLACES)] / labels.shape)
    return np.concatenate(found) if found else np.full((1, 2), 0.5)


def _limits(settings: MethodConfig) -> Limits:
    usual = LIMITS[settings.augmentation]
    return replace(
        usual,
        rotation_deg=settings.rotation_deg or usual.rotation_deg,
        scaling=settings.scaling or usual.scaling,
    )


def _joined(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return None if first is None or second is None else torch.cat([first, second])

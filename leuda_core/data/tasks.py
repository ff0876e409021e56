"""The task of a run: what is decided from the headers of a dataset before its slices are prepared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from leuda_core.config import RULES, MethodConfig
from leuda_core.data.dataset import UnreadableCase, read_case_grid
from leuda_core.data.hounsfield import Normalizations, normalizations
from leuda_core.data.planes import case_plan, isotropic_rule
from leuda_core.io.volumes import Grid
from leuda_core.types import Case, Dataset, Normalization, Task


def make_task(
    dataset: Dataset,
    settings: MethodConfig,
    rules: int = RULES,
    *,
    target_labels: bool = False,
    begun: Normalizations | None = None,
) -> Task:
    """Determine the task of a run: labels, slicing plane, pixel size, neighbours, normalisation.

    Args:
        rules: as in ``RunConfig``.
        target_labels: whether the run reads the labels of the target.
        begun: the normalisations that the run began with; ``None`` decides them, for which CT volumes are read.
    """
    readable, _ = readable_part(dataset)  # what is wrong with the others is told when they are read
    grids = [(case, read_case_grid(case)) for case in (*readable.source.cases, *readable.target.cases)]
    isotropic = ""
    if rules > 1 and settings.plane == "acquisition":
        isotropic = isotropic_rule(grid for _, grid in grids)
    usual = Normalization(ignores_padding=rules > 1)
    target, source = begun or (usual, None)
    if rules > 2 and begun is None:
        target, source = normalizations(readable, usual, settings, isotropic=isotropic, target_labels=target_labels)
    return Task(
        labels=dataset.labels,
        spacing_mm=settings.spacing_mm or _automatic_spacing(grids, settings, isotropic),
        patch_size=settings.patch_size,
        plane=settings.plane,
        isotropic=isotropic,
        normalization=target,
        source_normalization=source,
        context=settings.context,
        context_mm=_context_mm(grids, len(readable.source.cases), settings, isotropic) if settings.context else 0.0,
        zoom=settings.zoom if rules > 2 else 1.0,
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
        sides.append(plan.side_mm)
    pixel, side = float(np.median(pixels)), float(np.median(sides))
    return round(min(max(side / settings.patch_size, pixel), 2 * pixel), 3)


def _context_mm(grids: Sequence[tuple[Case, Grid]], n_source: int, settings: MethodConfig, isotropic: str) -> float:
    """Return the distance of neighbours: that of the settings, or the typical one of the domain with thicker slices."""
    steps = [case_plan(case, grid, settings.plane, isotropic).step_mm for case, grid in grids]
    typical = max(np.median(steps[:n_source]), np.median(steps[n_source:]))
    return settings.context_mm or round(float(typical), 3)

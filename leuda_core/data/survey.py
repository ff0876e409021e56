"""The fingerprint of a data set: plain numbers about its slices and structures, from which a plan is made.

Grids are read from headers; of the voxels, the label maps that a run may read, and the intensities of a few volumes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import msgspec
import numpy as np
from scipy.ndimage import find_objects

from leuda_core.data.batches.prepared import class_indices
from leuda_core.data.dataset import (
    UnreadableCase,
    labelled_slices,
    nothing_labelled,
    read_case_grid,
    read_case_image,
    read_case_labels,
)
from leuda_core.data.geometry import SlicePlan
from leuda_core.data.intensities import intensity_range
from leuda_core.data.planes import case_plan, plane_name
from leuda_core.types import Case, Dataset, Domain, Normalization, Task

SAMPLED_VOLUMES = 2  # of each domain, for intensities: reading a volume takes longer than all of its labels
SAMPLED_VOXELS = 20_000  # of each of them
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
USUAL = 0.95
"""Quantile of extents: a single slice must not decide."""


class DomainSurvey(msgspec.Struct, frozen=True):
    """Slices of one domain: medians, except where the name says otherwise.

    ``side_mm`` and ``side_pixels`` are the longer sides of slices. ``intensities`` are quantiles of a few normalised
    volumes, in [-1, 1]; empty if none were read.
    """

    cases: int
    slices: int
    pixel_mm: float
    slice_mm: float
    side_mm: float
    largest_side_mm: float
    side_pixels: int
    largest_side_pixels: int
    intensities: tuple[float, ...] = ()


class StructureSurvey(msgspec.Struct, frozen=True):
    """One structure on the labelled source slices that show it.

    ``share`` is that of the slice, ``extent_mm`` the longer side of its box. ``width_mm`` is twice its area divided by
    its perimeter: the thickness of a ring, half the diameter of a disc. A structure that no slice shows has zeros.
    """

    name: str
    slices: int = 0
    volumes: int = 0
    share: float = 0.0
    extent_mm: float = 0.0
    width_mm: float = 0.0


class Survey(msgspec.Struct, frozen=True):
    """The fingerprint of a data set.

    ``extent_mm`` is the longer side of the box around all structures of a slice. ``one_plane``: whether all volumes
    are cut in the same anatomical plane. ``gap`` is the mean difference of the quantiles of the domains, 0 to 2;
    ``None`` without intensities. ``labelled_slices`` are those that the method learns from.
    """

    source: DomainSurvey
    target: DomainSurvey
    structures: tuple[StructureSurvey, ...]
    extent_mm: float
    one_plane: bool
    labelled_slices: int
    largest_voxels: int
    gap: float | None = None

    @property
    def thinnest(self) -> StructureSurvey | None:
        """The structure of the smallest width; ``None`` if no slice shows any."""
        shown = [one for one in self.structures if one.width_mm > 0]
        return min(shown, key=lambda one: one.width_mm) if shown else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain, JSON-ready values under the same names."""
        return msgspec.to_builtins(self)


@dataclass(frozen=True)
class Surveyed:
    """A survey with the facts about single cases that a plan also needs.

    ``labelled`` maps the source cases with labelled slices to their number, ``voxels`` all cases to theirs.
    ``labelled_target`` is the same for target cases, empty if target labels are not read. ``unreadable`` are the cases
    whose label map cannot be read.
    """

    survey: Survey
    voxels: Mapping[str, int]
    labelled: Mapping[str, int]
    labelled_target: Mapping[str, int]
    unreadable: tuple[UnreadableCase, ...]


def take_survey(
    dataset: Dataset, task: Task, *, target_labels: bool = False, target_only: bool = False, intensities: bool = False
) -> Surveyed:
    """Look at the volumes and label maps of a data set; ``task`` says how volumes are cut and normalised.

    Args:
        target_labels: count the labelled target slices, too. Structures are always measured on the source.
        target_only: nothing is learnt from the labelled source slices.
        intensities: read a few volumes of each domain.

    Raises:
        InputError: a file is missing or unusable, or no source slice is labelled.
    """
    grids = {case.id: read_case_grid(case) for case in (*dataset.source.cases, *dataset.target.cases)}
    cases = {case.id: case for case in (*dataset.source.cases, *dataset.target.cases)}
    plans = {name: case_plan(cases[name], grid, task.plane, task.isotropic) for name, grid in grids.items()}
    labels = _LabelSurvey(task)
    labelled = labels.count(dataset.source, plans, measure=True)
    if not any(labelled.values()):
        raise labels.unreadable[0] if labels.unreadable else nothing_labelled(dataset)
    target = labels.count(dataset.target, plans, measure=False) if target_labels else {}
    planes = {plane_name(grids[name], plan) for name, plan in plans.items()}
    domains = ((dataset.source, task.for_source), (dataset.target, task))
    samples = [_sampled(domain, its.normalization) if intensities else np.array([]) for domain, its in domains]
    voxels = {name: prod(grid.shape) for name, grid in grids.items()}
    survey = Survey(
        source=_domain(dataset.source, plans, samples[0]),
        target=_domain(dataset.target, plans, samples[1]),
        structures=labels.structures(),
        extent_mm=labels.extent_mm(),
        one_plane=len(planes) == 1 and "oblique" not in planes,
        labelled_slices=sum(target.values()) + (0 if target_only else sum(labelled.values())),
        largest_voxels=max(voxels.values()),
        gap=_gap(*samples),
    )
    return Surveyed(survey, voxels, labelled, target, tuple(labels.unreadable))


def _domain(domain: Domain, plans: Mapping[str, SlicePlan], sample: np.ndarray) -> DomainSurvey:
    own = [plans[case.id] for case in domain.cases]
    sides = [plan.side_mm for plan in own]
    pixels = [max(plan.size) for plan in own]
    return DomainSurvey(
        cases=len(own),
        slices=sum(plan.n_slices for plan in own),
        pixel_mm=_rounded(np.median([np.mean(plan.pixel_mm) for plan in own])),
        slice_mm=_rounded(np.median([plan.step_mm for plan in own])),
        side_mm=_rounded(np.median(sides)),
        largest_side_mm=_rounded(max(sides)),
        side_pixels=int(np.median(pixels)),
        largest_side_pixels=max(pixels),
        intensities=tuple(round(float(value), 3) for value in np.quantile(sample, QUANTILES)) if sample.size else (),
    )


class _LabelSurvey:
    """What the label maps of a data set show, collected case by case."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.unreadable: list[UnreadableCase] = []
        self._measures: dict[int, list[_Measure]] = {index: [] for index in range(1, task.n_classes)}
        self._volumes = dict.fromkeys(self._measures, 0)
        self._extents: list[float] = []

    def count(self, domain: Domain, plans: Mapping[str, SlicePlan], *, measure: bool) -> dict[str, int]:
        """Return the number of labelled slices of the labelled cases; ``measure`` also measures their structures."""
        counts = {}
        for case in domain.cases:
            try:
                if case.label is not None:
                    counts[case.id] = self._case(case, plans[case.id], measure=measure)
            except UnreadableCase as error:
                self.unreadable.append(error)
        return counts

    def _case(self, case: Case, plan: SlicePlan, *, measure: bool) -> int:
        label_map = read_case_labels(case, self._task.labels)
        labelled = labelled_slices(case, label_map, plan)
        seen: set[int] = set()
        for index in labelled if measure else ():
            values = plan.view(label_map.data)[index]
            self._extents.append(_box_mm(values != 0, plan.pixel_mm))
            for number, found in _measured(class_indices(values, self._task.labels), plan.pixel_mm):
                self._measures[number].append(found)
                seen.add(number)
        for number in seen:
            self._volumes[number] += 1
        return len(labelled)

    def structures(self) -> tuple[StructureSurvey, ...]:
        """Return what was measured of every structure."""
        return tuple(
            StructureSurvey(label.name, len(found), self._volumes[number], *_summary(found))
            for number, label in enumerate(self._task.labels, start=1)
            for found in [self._measures[number]]
        )

    def extent_mm(self) -> float:
        """Return the usual longer side of the box around all structures of a slice."""
        shown = [extent for extent in self._extents if extent]
        return _rounded(np.quantile(shown, USUAL)) if shown else 0.0


@dataclass(frozen=True)
class _Measure:
    """A structure on one slice."""

    area_mm2: float
    share: float
    extent_mm: float
    width_mm: float


def _summary(found: Sequence[_Measure]) -> tuple[float, float, float]:
    """Return the mean share, the usual extent and the mean width, which larger parts decide."""
    if not found:
        return 0.0, 0.0, 0.0
    width = np.average([one.width_mm for one in found], weights=[one.area_mm2 for one in found])
    share, extent = np.mean([one.share for one in found]), np.quantile([one.extent_mm for one in found], USUAL)
    return float(f"{share:.3g}"), _rounded(extent), _rounded(width)


def _measured(classes: np.ndarray, pixel_mm: tuple[float, float]) -> Iterator[tuple[int, _Measure]]:
    """Yield the number and the measures of every structure of a slice of class indices."""
    for number, box in enumerate(find_objects(classes), start=1):
        if box is None:
            continue
        mask = classes[box] == number
        area = int(mask.sum()) * prod(pixel_mm)
        extent = max(n * mm for n, mm in zip(mask.shape, pixel_mm, strict=True))
        width = 2 * area / _perimeter_mm(mask, pixel_mm)
        yield number, _Measure(area, float(mask.sum()) / classes.size, extent, width)


def _perimeter_mm(mask: np.ndarray, pixel_mm: tuple[float, float]) -> float:
    """Return the length of the border of a mask.

    The edges of pixels along a border in a random direction are 4 / pi times as long as the border (Crofton).
    """
    outlined = np.pad(mask, 1)
    rows, columns = (np.count_nonzero(np.diff(outlined, axis=axis)) for axis in (0, 1))
    return float(np.pi / 4 * (rows * pixel_mm[1] + columns * pixel_mm[0]))


def _box_mm(mask: np.ndarray, pixel_mm: tuple[float, float]) -> float:
    """Return the longer side of the box around a mask; 0 for an empty one."""
    sides = [np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1)]
    return max(
        (float(side[-1] - side[0] + 1) * mm for side, mm in zip(sides, pixel_mm, strict=True) if side.size), default=0.0
    )


def _sampled(domain: Domain, normalization: Normalization) -> np.ndarray:
    """Return normalised voxel values of a few volumes; those that cannot be read are told elsewhere."""
    found = []
    for index in sorted({0, len(domain.cases) // 2})[:SAMPLED_VOLUMES]:
        try:
            data = read_case_image(domain.cases[index]).data
        except UnreadableCase:
            continue
        low, high = intensity_range(data, normalization)
        values = data.ravel(order="K")[:: max(1, data.size // SAMPLED_VOXELS) | 1].astype(np.float64)
        found.append(np.clip(2 * (values - low) / (high - low) - 1, -1, 1))
    return np.concatenate(found) if found else np.array([])


def _gap(source: np.ndarray, target: np.ndarray) -> float | None:
    if not (source.size and target.size):
        return None
    places = np.linspace(0.01, 0.99, 99)
    return round(float(np.abs(np.quantile(source, places) - np.quantile(target, places)).mean()), 3)


def _rounded(value: float) -> float:
    """Return a length with four digits, which any unit of a volume survives."""
    return float(f"{value:.4g}")

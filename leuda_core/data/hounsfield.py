"""CT in absolute units: which domains of a data set are in Hounsfield units, and the window that they are clipped to.

Percentiles of a volume give the same tissue another grey as soon as the table, the lungs or metal come into view, and
leave a fifth of the range to soft tissue.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import numpy as np

from leuda_core.config import MethodConfig
from leuda_core.data.dataset import UnreadableCase, labelled_slices, read_case_image, read_case_labels
from leuda_core.data.intensities import AIR, in_hounsfield
from leuda_core.data.planes import AGREEING, case_plan
from leuda_core.errors import InputError
from leuda_core.io.volumes import Grid
from leuda_core.types import Case, Dataset, Domain, Label, Normalization, Volume

T = TypeVar("T")

SOFT_TISSUE = (-175.0, 275.0)
"""A common window for the abdomen (width 450, level 50), which also shows fat and contrast agent in parenchyma."""

SHOWN, MARGIN = (1.0, 99.0), 50.0
"""Percentiles of every labelled structure that the window includes, and a margin in HU. nnU-Net (Isensee et al., Nature
Methods 2021) also clips CT to percentiles of the labelled voxels, of all structures together."""

LARGEST = 1e5  # HU, of metal; more is no measurement

MOST_LABELLED, MOST_OTHERS = 16, 8
"""Volumes of a domain that are read for the decision."""

MOST_VALUES = 20_000  # of each structure in each volume, so that all patients count alike

_CT = {"ct", "cta", "ctpa", "ccta", "cect", "ncct", "nect", "hrct", "mdct", "msct", "ldct", "4dct"}
_COMPUTED_TOMOGRAPHY = {"computed", "tomography"}
_NOT_CT = re.compile(r"mr.*|pet|pt|nm|spect|emission|us|cbct|cone|conebeam|micro|optical")
"""Not CT, more than CT, or CT without a calibrated scale."""

Normalizations = tuple[Normalization, Normalization | None]
"""Of the target, and of the source if it is another one."""


def is_ct(modality: str) -> bool:
    """Return whether the modality of a dataset file, a free text, is that of a calibrated CT and of nothing else."""
    words = set(re.findall(r"[a-z0-9]+", modality.casefold()))
    named = bool(words & _CT) or words >= _COMPUTED_TOMOGRAPHY
    return named and not any(_NOT_CT.fullmatch(word) for word in words)


def normalizations(
    dataset: Dataset, usual: Normalization, settings: MethodConfig, *, isotropic: str, target_labels: bool
) -> Normalizations:
    """Return the normalisation of the target and that of the source, ``None`` if it is the same.

    A domain whose modality is CT, and most of whose volumes can be in Hounsfield units, has a window: that of the
    settings, or soft tissue and all structures of such a domain whose labels may be read. The others have ``usual``.

    Args:
        isotropic: as in ``Task``. target_labels: whether the run reads the labels of the target.

    Raises:
        InputError: the settings give a window and no domain is such a CT, or labels are unusable.
    """
    domains = [dataset.target, dataset.source]
    absolute = [is_ct(domain.modality) and _mostly_hounsfield(domain) for domain in domains]
    if not any(absolute):
        _check_window_unused(settings, domains)
        return usual, None
    window = settings.ct_window
    if window is None:
        readable = [
            domain for domain, ct, labels in zip(domains, absolute, (target_labels, True), strict=True) if ct and labels
        ]
        window = _window(dataset.labels, [case for domain in readable for case in _chosen(domain)], settings, isotropic)
    target, source = (replace(usual, window=window) if ct else usual for ct in absolute)
    return target, None if source == target else source


def _check_window_unused(settings: MethodConfig, domains: Sequence[Domain]) -> None:
    if settings.ct_window:
        named = " and ".join(f"{domain.name!r} ({domain.modality or 'no modality'})" for domain in domains)
        what = f"ct_window_low and ct_window_high are given, and no domain is CT in Hounsfield units: {named}"
        raise InputError(what, "set both to 0, or check the modality in the dataset file and the volumes")


def _chosen(domain: Domain) -> list[Case]:
    """Return the cases to read, evenly from all: with labels and without."""
    parts = [[case for case in domain.cases if bool(case.label) is labelled] for labelled in (True, False)]
    return [
        part[index]
        for part, most in zip(parts, (MOST_LABELLED, MOST_OTHERS), strict=True)
        for index in np.unique(np.linspace(0, len(part) - 1, min(most, len(part))).round().astype(int))
    ]


def _mostly_hounsfield(domain: Domain) -> bool:
    found = _of_each(_chosen(domain), lambda _, volume: in_hounsfield(volume.data))
    return bool(found) and sum(found) >= AGREEING * len(found)


def _of_each(cases: Sequence[Case], look: Callable[[Case, Volume], T]) -> list[T]:
    """Look at volumes, one in memory at a time; what is wrong with unreadable ones is told when they are prepared."""
    found = []
    for case in cases:
        with suppress(UnreadableCase):
            found.append(look(case, read_case_image(case)))
    return found


def _window(
    labels: Sequence[Label], cases: Sequence[Case], settings: MethodConfig, isotropic: str
) -> tuple[float, float]:
    """Return the window of soft tissue, extended to the structures of labelled cases."""
    values: dict[int, list[np.ndarray]] = {label.value: [] for label in labels}

    def collect(case: Case, volume: Volume) -> None:
        if in_hounsfield(volume.data):
            _collect(values, case, volume, labels=labels, settings=settings, isotropic=isotropic)

    _of_each([case for case in cases if case.label], collect)
    shown = [np.percentile(np.concatenate(parts), SHOWN) for parts in values.values() if parts]
    low = min([SOFT_TISSUE[0], *(first - MARGIN for first, _ in shown)])
    high = max([SOFT_TISSUE[1], *(last + MARGIN for _, last in shown)])
    return max(float(math.floor(low)), AIR), min(float(math.ceil(high)), LARGEST)


def _collect(
    values: dict[int, list[np.ndarray]],
    case: Case,
    volume: Volume,
    *,
    labels: Sequence[Label],
    settings: MethodConfig,
    isotropic: str,
) -> None:
    """Add the values of each structure on the labelled slices of a case."""
    plan = case_plan(case, Grid(volume.shape, volume.affine), settings.plane, isotropic)
    label_map = read_case_labels(case, labels)
    slices, classes = plan.view(volume.data), plan.view(label_map.data)
    inside = [(slices[i][classes[i] > 0], classes[i][classes[i] > 0]) for i in labelled_slices(case, label_map, plan)]
    if not inside:
        return
    shown, of = (np.concatenate(parts) for parts in zip(*inside, strict=True))
    for value, found in values.items():
        if (mine := shown[of == value]).size:
            found.append(mine[:: math.ceil(mine.size / MOST_VALUES)])

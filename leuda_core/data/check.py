"""Checks a dataset before a training: every volume is opened, and all problems are reported, not only the first."""

from __future__ import annotations

import logging
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leuda_core.data.dataset import (
    labelled_slices,
    nothing_labelled,
    parse_dataset,
    read_case_labels,
    structure_problems,
)
from leuda_core.data.hounsfield import is_ct
from leuda_core.data.intensities import in_hounsfield
from leuda_core.data.planes import case_plan, isotropic_rule, plane_name
from leuda_core.data.plausibility import doubts, is_noise, nothing_to_learn, only_class, unit_doubts
from leuda_core.errors import Cancelled, InputError, as_leuda_error
from leuda_core.io.volumes import Grid, read_grid, read_volume
from leuda_core.types import Case, Dataset

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DatasetReport:
    """All problems found in a dataset, and a summary.

    ``problems`` is empty for a usable dataset; ``warnings`` are what is probably wrong without preventing a training.
    """

    problems: tuple[str, ...]
    summary: dict[str, Any]
    warnings: tuple[str, ...] = ()


def check_dataset(path: Path | str) -> DatasetReport:
    """Open every file of a dataset and report all problems, not only the first; whatever a case raises is one."""
    path = Path(path)
    try:
        dataset = parse_dataset(path)
    except InputError as error:
        return DatasetReport((str(error),), {})
    problems = [f"{path.name}: {what}; {remedy}" for what, remedy in structure_problems(dataset)]
    groups = {
        "source": dataset.source.cases,
        "target": dataset.target.cases,
        "test_target": dataset.test_target,
        "test_source": dataset.test_source,
    }
    isotropic, rows, unread = _isotropic_rule(dataset), [], 0
    for role, case in ((role, case) for role, cases in groups.items() for case in cases):
        row = _try_case(case, dataset, isotropic)
        if isinstance(row, str):
            problems.append(row)
            unread += role == "source" and case.label is not None
        else:
            rows.append({"role": role, **row})
    labelled = sum(row["labelled_slices"] for row in rows if row["role"] == "source")
    if not labelled and not unread and any(case.label for case in dataset.source.cases):
        problems.append(str(nothing_labelled(dataset)))
    problems += nothing_to_learn(rows)
    summary = {
        "name": dataset.name,
        "labels": {label.value: label.name for label in dataset.labels},
        "cases": {role: len(cases) for role, cases in groups.items()},
        "labelled_source_slices": labelled,
        "volumes": rows,
    }
    ct = [role for role in ("source", "target") if is_ct(getattr(dataset, role).modality)]
    return DatasetReport(tuple(problems), summary, (*doubts(rows), *unit_doubts(rows, ct)))


def _isotropic_rule(dataset: Dataset) -> str:
    """Return how a training would cut nearly isotropic volumes; files that cannot be read are told elsewhere."""
    grids = []
    for case in (*dataset.source.cases, *dataset.target.cases):
        with suppress(Exception):
            grids.append(read_grid(case.image))
    return isotropic_rule(grids)


def _try_case(case: Case, dataset: Dataset, isotropic: str) -> dict[str, Any] | str:
    """Return the facts about a case, or the problem that it has, whatever was raised."""
    try:
        return _check_case(case, dataset, isotropic)
    except Cancelled:
        raise
    except Exception as error:
        logger.debug("%s", traceback.format_exc())
        problem, name = str(as_leuda_error(error)), f"case {case.id!r}: "
        return problem if problem.startswith(name) else name + problem


def _check_case(case: Case, dataset: Dataset, isotropic: str) -> dict[str, Any]:
    volume = read_volume(case.image)
    grid = Grid(volume.shape, volume.affine)
    plan = case_plan(case, grid, "acquisition", isotropic)
    row = {
        "id": case.id,
        "shape": list(volume.shape),
        "spacing_mm": [round(s, 3) for s in volume.spacing_mm],
        "slices": plan.n_slices,
        "labelled_slices": 0,
        "plane": plane_name(grid, plan),
        "noise": is_noise(plan.view(volume.data)),
        "hounsfield": in_hounsfield(volume.data),
        "only_label": None,
    }
    if case.label is not None:
        label_map = read_case_labels(case, dataset.labels)
        labelled = labelled_slices(case, label_map, plan)
        row["labelled_slices"] = len(labelled)
        row["only_label"] = _only_label([plan.view(label_map.data)[index] for index in labelled], dataset)
    return row


def _only_label(slices: list[np.ndarray], dataset: Dataset) -> str | None:
    """Return the name of what covers every pixel of label slices; ``None`` if there is more than that."""
    value = only_class(slices)
    return None if value is None else next((one.name for one in dataset.labels if one.value == value), "background")

"""The slicing plane of a data set: one decision for all of its volumes, which the model records.

Volumes with a clearly largest spacing are cut across it. The others, nearly isotropic, follow them: across the same
anatomical direction, with rows and columns as most of them have it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from nibabel.orientations import aff2axcodes

from leuda_core.data.geometry import AS_STORED, SlicePlan, is_nearly_isotropic, plan_slices
from leuda_core.io.volumes import Grid
from leuda_core.types import Case, Plane

AGREEING = 2 / 3
"""At least this share of the volumes must be cut across one anatomical direction for the others to follow it."""

ALIGNED = 0.9
"""Cosine between the normal of slices and a body axis above which they are called after it; others are oblique."""

_PLANES = ("sagittal", "coronal", "axial")


def isotropic_rule(grids: Iterable[Grid]) -> str:
    """Decide how the nearly isotropic volumes of a data set are cut; for ``Task.isotropic``."""
    codes = [_codes(grid) for grid in grids if not is_nearly_isotropic(grid.affine)]
    across = Counter(code[0] for code in codes).most_common(1)
    if not across or across[0][1] < AGREEING * len(codes):
        return AS_STORED
    return Counter(code for code in codes if code[0] == across[0][0]).most_common(1)[0][0]


def case_plan(case: Case, grid: Grid, plane: Plane, isotropic: str) -> SlicePlan:
    """Return how a case is cut. Slices that it lists as labelled are along its own largest spacing, which stays."""
    return plan_slices(grid.shape, grid.affine, plane, isotropic if case.labelled_slices is None else "")


def plane_name(grid: Grid, plan: SlicePlan) -> str:
    """Return "axial", "coronal", "sagittal" or "oblique"."""
    rows, columns = (grid.affine[:3, axis] for axis in (plan.row_axis, plan.column_axis))
    normal = np.abs(np.cross(rows, columns))
    nearest = int(normal.argmax())
    return _PLANES[nearest] if normal[nearest] > ALIGNED * np.linalg.norm(normal) else "oblique"


def disagreement(planes: Mapping[str, str]) -> str | None:
    """Describe cases, given with their planes, that are cut in other planes than most; ``None`` if all agree."""
    named = {case: plane for case, plane in planes.items() if plane != "oblique"}
    if len(set(named.values())) < 2:
        return None
    usual, count = Counter(named.values()).most_common(1)[0]
    others = ", ".join(f"{case} {plane}" for case, plane in named.items() if plane != usual)
    return f"{count} volumes are cut in {usual} slices, others are not: {others}"


def _codes(grid: Grid) -> str:
    """Return the directions across the slices of a volume as stored, along its rows and along its columns."""
    plan = plan_slices(grid.shape, grid.affine)
    letters = aff2axcodes(grid.affine)
    across = {"L": "R", "P": "A", "I": "S"}.get(letters[plan.axis], letters[plan.axis])
    return across + letters[plan.row_axis] + letters[plan.column_axis]

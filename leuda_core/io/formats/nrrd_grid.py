"""The grid that the header of an NRRD file describes: directions in a space, or plain spacings without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leuda_core.errors import InputError
from leuda_core.io.formats import headers
from leuda_core.io.formats.sources import EXPORT_AGAIN, shown, unreadable

_DIMENSIONS = {
    **dict.fromkeys(("rightanteriorsuperior", "ras", "leftanteriorsuperior", "las"), 3),
    **dict.fromkeys(("leftposteriorsuperior", "lps", "scannerxyz", "3drighthanded", "3dlefthanded"), 3),
    **dict.fromkeys(("rightanteriorsuperiortime", "rast", "leftanteriorsuperiortime", "last"), 4),
    **dict.fromkeys(("leftposteriorsuperiortime", "lpst"), 4),
    **dict.fromkeys(("scannerxyztime", "3drighthandedtime", "3dlefthandedtime"), 4),
}
_TO_RAS = {
    **dict.fromkeys(("rightanteriorsuperior", "ras"), np.eye(4)),
    **dict.fromkeys(("leftanteriorsuperior", "las"), np.diag([-1.0, 1.0, 1.0, 1.0])),
}


def grid_affine(path: Path, fields: Mapping[str, Any], domain: Sequence[int], count: int) -> np.ndarray:
    """Return the affine (RAS mm) of the ``domain`` axes among all ``count`` axes, from fields parsed by pynrrd.

    Raises:
        InputError: numbers that are missing, not finite, too large or contradict each other; lengths not in mm.
    """
    space = fields.get("space", "").lower().replace("-", "").replace(" ", "")
    if "space" in fields and space not in _DIMENSIONS:
        raise unreadable(path, f"the field 'space' is {shown(fields['space'])}")
    if not space and "space dimension" not in fields:
        return _plain(path, fields, domain, count)
    dimension = _DIMENSIONS.get(space, fields.get("space dimension"))
    if dimension != len(domain):
        what = f"'{path}' has {len(domain)} axes in a space of {dimension} dimensions"
        raise InputError(what, "export it as one 3-D volume")
    if "spacings" in fields and np.isfinite(fields["spacings"]).any():
        raise InputError(f"'{path}' has spacings in addition to a space", f"{EXPORT_AGAIN}, with space directions")
    headers.check_unit(path, fields.get("space units", []))
    to_ras = _TO_RAS.get(space, headers.LPS_TO_RAS)
    axes, origin = _directions(path, fields, domain, count, to_ras), _origin(path, fields, len(domain))
    return headers.affine_of(path, axes, origin, to_ras)


def _directions(
    path: Path, fields: Mapping[str, Any], domain: Sequence[int], count: int, to_ras: np.ndarray
) -> np.ndarray:
    """Return the step along each domain axis as a column; 1 along the same axis of LPS, as ITK has it, without one."""
    axes = (np.linalg.inv(to_ras) @ headers.LPS_TO_RAS)[: len(domain), : len(domain)]
    if "space directions" not in fields:
        return axes
    rows = fields["space directions"]
    if len(rows) != count:
        raise unreadable(path, f"the field 'space directions' has {len(rows)} vectors for {count} axes")
    for column, axis in enumerate(domain):
        row = np.asarray([] if rows[axis] is None else rows[axis], float)
        if row.size == 0 or np.isnan(row).all():
            continue
        axes[:, column] = _vector(path, "space directions", row, len(domain))
    return axes


def _origin(path: Path, fields: Mapping[str, Any], dimension: int) -> np.ndarray:
    origin = np.asarray(fields.get("space origin", np.zeros(dimension)), float)
    if origin.size == dimension and np.isnan(origin).all():
        return np.zeros(dimension)
    return _vector(path, "space origin", origin, dimension)


def _vector(path: Path, name: str, values: np.ndarray, count: int) -> np.ndarray:
    if values.shape != (count,) or not all(map(headers.is_sane, values)):
        what = (
            f"'{path}' has {shown(values.tolist())} in the field '{name}', not {count} numbers up to {headers.MAX_MM:g}"
        )
        raise InputError(what, EXPORT_AGAIN)
    return values


def _plain(path: Path, fields: Mapping[str, Any], domain: Sequence[int], count: int) -> np.ndarray:
    """Return the affine of a file without space: steps of the spacings along L, P and S."""
    headers.check_unit(
        path, [fields["units"][axis] for axis in domain] if len(fields.get("units", [])) == count else []
    )
    if "space directions" in fields or "space origin" in fields:
        raise unreadable(path, "it has directions or an origin, but no space")
    if "spacings" not in fields:
        if "axis mins" in fields and np.isfinite(fields["axis mins"]).any():
            raise InputError(f"'{path}' has axis mins without spacings", f"{EXPORT_AGAIN}, with space directions")
        return headers.affine_of(path, np.eye(len(domain)), np.zeros(len(domain)))
    spacings = _vector(path, "spacings", _of_axes(path, fields, "spacings", domain, count), len(domain))
    return headers.affine_of(path, np.diag(spacings), _corner(path, fields, domain, spacings, count))


def _of_axes(path: Path, fields: Mapping[str, Any], name: str, domain: Sequence[int], count: int) -> np.ndarray:
    if len(fields[name]) != count:
        raise unreadable(path, f"the field '{name}' has {len(fields[name])} values for {count} axes")
    return np.asarray(fields[name])[list(domain)]


def _corner(
    path: Path, fields: Mapping[str, Any], domain: Sequence[int], spacings: np.ndarray, count: int
) -> np.ndarray:
    """Return the centre of the first voxel: an axis begins at its edge, unless its samples are nodes."""
    if "axis mins" not in fields or np.isnan(found := _of_axes(path, fields, "axis mins", domain, count)).any():
        return np.zeros(len(domain))
    mins = _vector(path, "axis mins", found, len(domain))
    centerings = fields.get("centerings", ["cell"] * count)
    if len(centerings) != count:
        raise unreadable(path, f"the field 'centerings' has {len(centerings)} words for {count} axes")
    nodes = np.array([centerings[axis].lower() == "node" for axis in domain])
    return mins + np.where(nodes, 0.0, spacings / 2)

"""The values of a label map: counted, given the meaning of the wanted labels, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from leuda_core.errors import InputError
from leuda_core.io.arrays import slabs
from leuda_core.io.labels import match_labels, named_once, unknown_error
from leuda_core.io.segmentations import segmentation_labels
from leuda_core.types import Label

MAX_VALUES = 256
"""Maximum number of values in a label map, including the background; an image given by mistake has more."""

_FEW = 2**16  # values up to this are counted and replaced through a table, many times faster than by sorting


def with_labels(
    data: np.ndarray, header: Mapping[str, str], labels: Sequence[Label] | None, path: Path
) -> tuple[np.ndarray, tuple[Label, ...]]:
    """Return a label map with the values of ``labels``, as the smallest unsigned dtype, and its labels.

    Args:
        data: ``(I, J, K)``, as stored; any real dtype.
        header: the key/value pairs of the file, which may name its labels.
        labels: wanted; ``None`` for those that the file names, or else one for each value.

    Raises:
        InputError: a value is fractional, negative or has no label, the names of the file are unknown, repeated or
            damaged, or there are too many values without names.
    """
    counts = _count_values(data, path)
    try:
        stored = segmentation_labels(header)
        found, values = _meaning(counts, stored, labels)
    except InputError as error:
        raise InputError(f"'{path}': {error.message}", error.remedy) from error
    if stored:
        _check_known(counts, stored, path)
    if any(value != new for value, new in values.items()):
        data = _renumber(data, counts, values)
        counts = {values.get(value, value): count for value, count in counts.items()}
    _check_known(counts, found, path)
    largest = max([0, *counts, *(label.value for label in found)])
    return data.astype(np.min_scalar_type(largest), copy=False), found


def present_values(data: np.ndarray) -> set[int]:
    """Return the values of a label map ``(I, J, K)`` of whole numbers."""
    return {value for slab in slabs(data) for value, _count in _slab_counts(slab)}


def _meaning(
    counts: Mapping[int, int], stored: Sequence[Label], labels: Sequence[Label] | None
) -> tuple[tuple[Label, ...], dict[int, int]]:
    """Return the labels of the map, and the new value for each stored value that has voxels and a name."""
    if labels is None and not stored and len(counts) > MAX_VALUES:
        raise InputError(
            f"{len(counts)} different values, too many for a label map", "give the label map, not the image"
        )
    if labels is None:
        return named_once(stored, counts) or tuple(Label(value, f"label {value}") for value in counts if value), {}
    values, unknown = match_labels([label for label in stored if label.value in counts], labels)
    if unknown:
        raise unknown_error(unknown, labels)
    return tuple(labels), values


def _count_values(data: np.ndarray, path: Path) -> dict[int, int]:
    """Return the number of voxels for each value of a label map, sorted by value."""
    counts: dict[int, int] = {}
    broken = 0
    for slab in slabs(data):
        if data.dtype.kind == "f":
            whole = np.isfinite(slab) & (slab == np.floor(slab))
            broken += slab.size - int(whole.sum())
            slab = slab[whole]
        for value, count in _slab_counts(slab):
            counts[value] = counts.get(value, 0) + count
    if broken:
        raise InputError(f"label map '{path}' has {broken} voxels that are not whole numbers", "give a label map")
    if negative := sorted(value for value in counts if value < 0):
        voxels = sum(counts[value] for value in negative)
        raise InputError(
            f"label map '{path}' has {voxels} negative voxels (down to {negative[0]})", "use labels from 0"
        )
    return dict(sorted(counts.items()))


def _slab_counts(slab: np.ndarray) -> list[tuple[int, int]]:
    if slab.size and slab.min() >= 0 and slab.max() < _FEW:
        counts = np.bincount(slab.ravel(order="K").astype(np.intp))
        return [(int(value), int(counts[value])) for value in np.flatnonzero(counts)]
    values, counts = np.unique(slab, return_counts=True)
    return [(int(value), int(count)) for value, count in zip(values, counts, strict=True)]


def _check_known(counts: Mapping[int, int], labels: Sequence[Label], path: Path) -> None:
    known = sorted({0, *(label.value for label in labels)})
    unknown = [value for value in counts if value not in known]
    if unknown:
        named = ", ".join(f"{value} ({counts[value]} voxels)" for value in unknown[:8])
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        table = ", ".join(map(str, known))
        raise InputError(f"label map '{path}' has values without a label: {named}{more}", f"the labels are {table}")


def _renumber(data: np.ndarray, counts: Mapping[int, int], values: Mapping[int, int]) -> np.ndarray:
    """Replace the values of a map whose values are the keys of ``counts``."""
    old = np.array(list(counts))
    new = np.array([values.get(int(value), int(value)) for value in old])
    table = np.zeros(int(old.max()) + 1 if old.max() < _FEW else 0, np.min_scalar_type(int(new.max())))
    if table.size:
        table[old] = new
    renumbered = np.empty_like(data, table.dtype)
    for slab, target in zip(slabs(data), slabs(renumbered), strict=True):
        target[...] = table[slab.astype(np.intp)] if table.size else new[np.searchsorted(old, slab)]
    return renumbered

"""Signs of an error in a result: what it says differs from all completely labelled volumes of the training.

Patients differ less in the size of a structure, and in the number of its pieces, than wrong answers do, and neither
needs a label of the target. docs/RESULTS.md has the figures, also of contacts between structures, which told nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from leuda_core.data.dataset import read_case_labels
from leuda_core.errors import InputError
from leuda_core.types import Anatomy, Dataset, Label, LabelMap

SIZE = 2.0
"""How many times larger than the largest, or smaller than the smallest known one, a structure may be."""

PIECES = 0.2
"""By how much the share of the largest piece of a structure may be below the least known one."""


@dataclass(frozen=True)
class Shape:
    """One structure in one volume: its volume, the share of its largest connected component, and whether it is cut off
    by the edge of the volume."""

    ml: float
    largest: float
    cut: bool


def shapes_of(label_map: LabelMap, check: Callable[[], None] = lambda: None) -> dict[int, Shape]:
    """Measure the structures of a label map, by their values; those that are absent are left out.

    ``check`` is called before each of them; it may raise to cancel.
    """
    from scipy.ndimage import find_objects

    voxel_ml = abs(float(np.linalg.det(label_map.affine[:3, :3]))) / 1000
    boxes = find_objects(label_map.data)
    present = {label.value: boxes[label.value - 1] for label in label_map.labels if label.value <= len(boxes)}
    found = {}
    for value, box in present.items():
        check()
        if box is not None:
            found[value] = _shape(label_map.data, value, box, voxel_ml)
    return found


def _shape(data: np.ndarray, value: int, box: tuple[slice, ...], voxel_ml: float) -> Shape:
    from skimage.measure import label as label_components

    sizes = np.bincount(label_components(data[box] == value, connectivity=3).ravel())[1:]
    ends = zip(box, data.shape, strict=True)
    cut = any(side.start == 0 or side.stop == length for side, length in ends if length > 1)
    return Shape(voxel_ml * float(sizes.sum()), float(sizes.max() / sizes.sum()), cut)


def anatomy_of(volumes: Iterable[Mapping[int, Shape]], labels: Sequence[Label]) -> tuple[Anatomy, ...]:
    """Return what is common to the structures of completely labelled volumes; empty without any."""
    known = list(volumes)
    shown = {label: [shapes[label.value] for shapes in known if label.value in shapes] for label in labels}
    return tuple(_common(label.name, found, len(known)) for label, found in shown.items()) if known else ()


def _common(name: str, found: Sequence[Shape], of: int) -> Anatomy:
    if not found:
        return Anatomy(name, 0, of)
    sizes = [shape.ml for shape in found]
    least = min(shape.largest for shape in found)
    low, high = (float(f"{size:.2g}") for size in (min(sizes), max(sizes)))  # no more of a single patient than needed
    return Anatomy(name, len(found), of, low, high, round(least, 3))


def known_anatomy(dataset: Dataset) -> tuple[Anatomy, ...]:
    """Return what is common to the structures of the completely labelled source volumes that can be read."""
    volumes = []
    for case in dataset.source.cases:
        if case.label is not None and case.labelled_slices is None:
            with suppress(InputError):  # was told when the run began
                volumes.append(shapes_of(read_case_labels(case, dataset.labels)))
    return anatomy_of(volumes, dataset.labels)


def implausible(
    label_map: LabelMap, anatomy: Sequence[Anatomy], check: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """Yield what about the structures of a result differs from all volumes of the training, one sentence each.

    A structure that is cut off by the edge of the volume may be small. Nothing is said about a result without any.
    ``check`` is that of ``shapes_of``.
    """
    found = shapes_of(label_map, check) if anatomy else {}
    named = {known.name: known for known in anatomy}
    for label in label_map.labels:
        shape, known = found.get(label.value), named.get(label.name)
        if known is None:
            continue
        if shape is None:
            if found and known.cases == known.of:
                yield f"{label.name} was not found, although every labelled volume of the training shows it"
        elif known.cases:
            yield from _differences(shape, known)


def _differences(shape: Shape, known: Anatomy) -> Iterator[str]:
    large, small = shape.ml > SIZE * known.high_ml, shape.ml < known.low_ml / SIZE and not shape.cut
    if large or small:
        word = "large" if large else "small"
        usual = f"{_ml(known.low_ml)} to {_ml(known.high_ml)}" if known.cases > 1 else _ml(known.high_ml)
        yield f"{known.name} is unusually {word}: {_ml(shape.ml)} mL; in the labelled volumes, it has {usual} mL"
    if shape.largest < known.largest - PIECES:
        yield f"{known.name} is in pieces: the largest is {shape.largest:.0%} of it"


def _ml(volume: float) -> str:
    return f"{volume:.0f}" if volume >= 10 else f"{volume:.2g}"

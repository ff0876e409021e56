"""The dataset file (JSON): the volumes for source, target and test, and the meaning of their labels.

``load_dataset`` reads the file and raises the first problem; ``data.check`` also opens every volume and collects all
problems, for ``leuda check``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from leuda_core.data.dataset_entries import CasePaths, label_value, read_dataset_bytes
from leuda_core.data.geometry import SlicePlan
from leuda_core.errors import InputError
from leuda_core.io.names import real_path
from leuda_core.io.streams import has_control_characters
from leuda_core.io.volumes import Grid, grid_gap_mm, label_map_of, read_grid, read_stored, read_volume, same_grid
from leuda_core.types import Case, Dataset, Domain, Label, LabelMap, Volume

PALETTE = ((200, 90, 80), (110, 184, 209), (120, 180, 100), (216, 180, 80), (150, 120, 190), (221, 130, 101))
"""Display colours (RGB, 0 to 255) for labels without one."""

MAX_LABELS = 254
"""Limit of bundles and their label maps, as ``MAX_LABEL_VALUE``."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Label(_Strict, frozen=True):
    name: str
    color: tuple[Annotated[int, Meta(ge=0, le=255)], ...] | None = None
    terminology: str = ""


class _Case(_Strict, frozen=True):
    id: Annotated[str, Meta(min_length=1)]
    image: Annotated[str, Meta(min_length=1)]
    label: str | None = None
    labelled_slices: list[Annotated[int, Meta(ge=0)]] | None = None


class _Domain(_Strict, frozen=True):
    cases: list[_Case]
    name: str = ""
    modality: str = ""


class _Test(_Strict, frozen=True):
    target: list[_Case] = []
    source: list[_Case] = []


class _File(_Strict, frozen=True):
    name: str
    labels: dict[str, str | _Label]
    source: _Domain
    target: _Domain
    test: _Test = _Test()


def load_dataset(path: Path | str, *, needs_source: bool = True) -> Dataset:
    """Read a dataset file; paths in it are relative to it.

    Without ``needs_source``, it may have no source cases: a model is adapted to its target, or it is only tested on.

    Raises:
        InputError: the first problem of the file itself. Volumes are not opened.
    """
    path = Path(path)
    dataset = parse_dataset(path)
    for problem in structure_problems(dataset, needs_source=needs_source):
        raise InputError(f"{path.name}: {problem[0]}", problem[1])
    return dataset


def parse_dataset(path: Path) -> Dataset:
    """Read a dataset file that may have structural problems.

    Raises:
        InputError: it is not a dataset file.
    """
    content = read_dataset_bytes(path)
    try:
        file = msgspec.json.decode(content.decode("utf-8-sig"), type=_File)
    except UnicodeDecodeError as error:
        what = f"{path.name}: byte {error.start} is not UTF-8"
        raise InputError(what, "give the dataset's JSON file, saved as UTF-8") from error
    except msgspec.DecodeError as error:
        reason = re.sub(r"`(\$[^`]*)`", r"\1", str(error))
        raise InputError(f"{path.name}: {reason}", "see the dataset file format in the README") from error
    paths = CasePaths(path)
    return Dataset(
        name=file.name,
        labels=_labels(path, file.labels),
        source=_domain(paths, "source", file.source),
        target=_domain(paths, "target", file.target),
        test_target=_cases(paths, "test.target", file.test.target),
        test_source=_cases(paths, "test.source", file.test.source),
        path=real_path(path.parent) / path.name,
    )


def _labels(path: Path, table: dict[str, str | _Label]) -> tuple[Label, ...]:
    labels: list[Label] = []
    for key, entry in table.items():
        value = label_value(path.name, key)
        if value == 0:
            continue
        entry = _Label(name=entry) if isinstance(entry, str) else entry
        if has_control_characters(entry.name):
            what = f"{path.name}: the name {entry.name!r} of label {value} contains control characters"
            raise InputError(what, "write it on one line")
        color = entry.color or PALETTE[len(labels) % len(PALETTE)]
        if len(color) != 3:
            raise InputError(
                f"{path.name}: colour {list(color)} of label {value} does not have 3 values", "use [r, g, b]"
            )
        red, green, blue = (channel / 255 for channel in color)
        labels.append(Label(value, entry.name, (red, green, blue), entry.terminology))
    if not 1 <= len(labels) <= MAX_LABELS:
        what = f"'labels' names {len(labels)} structures" if labels else "'labels' names no structure"
        raise InputError(f"{path.name}: {what}", f"name 1 to {MAX_LABELS} in addition to the background")
    given: dict[str, list[object]] = {
        "value": [label.value for label in labels],
        "name": [label.name.strip() for label in labels],
    }
    for what, found in given.items():
        if twice := next((one for one in found if found.count(one) > 1), None):
            raise InputError(f"{path.name}: two labels have the {what} {twice!r}", "give each its own")
    return tuple(sorted(labels, key=lambda label: label.value))


def _domain(paths: CasePaths, role: str, domain: _Domain) -> Domain:
    return Domain(domain.name or role, domain.modality, _cases(paths, f"{role}.cases", domain.cases))


def _cases(paths: CasePaths, place: str, cases: Iterable[_Case]) -> tuple[Case, ...]:
    return tuple(
        Case(
            id=case.id,
            image=paths.find(case.image, f"{place}[{index}].image"),
            label=paths.find(case.label, f"{place}[{index}].label") if case.label else None,
            labelled_slices=tuple(case.labelled_slices) if case.labelled_slices is not None else None,
        )
        for index, case in enumerate(cases)
    )


Problem = tuple[str, str]


def structure_problems(dataset: Dataset, *, needs_source: bool = True) -> list[Problem]:
    """Return the problems that can be found without opening a volume: (what, remedy)."""
    problems: list[Problem] = []
    if not needs_source:
        pass
    elif not dataset.source.cases:
        problems.append(
            ("no source case", "list at least one labelled source volume (`leuda adapt` alone does without)")
        )
    elif not any(case.label for case in dataset.source.cases):
        problems.append(("no source case has a label", 'add "label" to at least one source case'))
    if not dataset.target.cases:
        problems.append(("no target case", "list at least one unlabelled target volume"))
    learnt = [*dataset.source.cases, *dataset.target.cases]
    problems += _twice(learnt, "in source and target")
    tests = [*dataset.test_target, *dataset.test_source]
    problems += _twice(tests, "in test")
    learnt_images = {real_path(case.image): case.id for case in learnt}
    problems += [
        (f"test case {case.id!r} is also used for training, as {learnt_images[image]!r}", "remove it from one of them")
        for case in tests
        if (image := real_path(case.image)) in learnt_images
    ]
    problems += [(f"test case {case.id!r} has no label", "add its label") for case in tests if case.label is None]
    problems += [
        (f"case {case.id!r} has labelled_slices but no label", "add its label")
        for case in [*learnt, *tests]
        if case.labelled_slices is not None and case.label is None
    ]
    return problems


def _twice(cases: Sequence[Case], where: str) -> list[Problem]:
    problems: list[Problem] = []
    ids: set[str] = set()
    images: dict[Path, str] = {}
    for case in cases:
        image = real_path(case.image)  # the same file by another path or link is still the same
        if case.id in ids:
            problems.append((f"case {case.id!r} is listed twice {where}", "remove or rename one"))
        elif image in images:
            first = images[image]
            problems.append((f"cases {first!r} and {case.id!r} are the same volume {case.image.name}", "remove one"))
        ids.add(case.id)
        images[image] = case.id
    return problems


class UnreadableCase(InputError):
    """A file of a case is there and cannot be read, which says nothing about the other cases."""


def read_case_grid(case: Case) -> Grid:
    """Read the grid of a case.

    Raises:
        UnreadableCase: the header cannot be used. InputError: the volume does not exist. Both name the case.
    """
    with _naming(case, case.image):
        return read_grid(case.image)


def read_case_image(case: Case) -> Volume:
    """Read the volume of a case.

    Raises:
        UnreadableCase: the volume cannot be used. InputError: it does not exist. Both name the case.
    """
    with _naming(case, case.image):
        return read_volume(case.image)


def read_case_labels(case: Case, labels: Sequence[Label]) -> LabelMap:
    """Read the label map of a case and compare its grid with that of the image.

    Raises:
        UnreadableCase: a file cannot be read. InputError: it does not exist, label and image have different grids, or
            the label map is unusable. Both name the case.
    """
    assert case.label is not None, "callers pass only labelled cases"
    image = read_case_grid(case)
    with _naming(case, case.label):
        stored = read_stored(case.label)
    label = Grid(stored.data.shape, stored.affine)
    if image.shape != label.shape:
        raise InputError(
            f"case {case.id!r}: grid {label.shape} of label {case.label.name} differs from image grid {image.shape}",
            "export the label again, on the grid of the image",
        )
    if not same_grid(image, label):
        raise InputError(
            f"case {case.id!r}: label {case.label.name} has a different position than its image, "
            f"by up to {grid_gap_mm(image, label):.3g} mm",
            "export the label again, on the grid of the image",
        )
    with _naming(case):
        return label_map_of(stored, labels, case.label)


@contextmanager
def _naming(case: Case, file: Path | None = None) -> Iterator[None]:
    """Name the case in input errors; those about the content of a file become ``UnreadableCase``.

    Lack of memory, of permission or of a connection says nothing about the file: the run must not go without it.
    """
    try:
        yield
    except InputError as error:
        cause = error.__cause__
        of_system = isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno is not None)
        kind = UnreadableCase if file is not None and os.path.exists(file) and not of_system else InputError
        raise kind(f"case {case.id!r}: {error.message}", error.remedy) from error


def nothing_labelled(dataset: Dataset) -> InputError:
    """Return the error for a dataset without any labelled source slice."""
    named = ", ".join(repr(case.id) for case in dataset.source.cases if case.label)
    what = f"dataset {dataset.name!r}: no source slice is labelled (cases with a label map: {named})"
    return InputError(what, "label at least one slice, or list it in labelled_slices")


def labelled_slices(case: Case, label_map: LabelMap, plan: SlicePlan) -> tuple[int, ...]:
    """Return the labelled slices: those that the case lists, or else every slice that contains a label."""
    if case.labelled_slices is None:
        return tuple(int(i) for i in np.flatnonzero(plan.view(label_map.data).any(axis=(1, 2))))
    outside = [i for i in case.labelled_slices if i >= plan.n_slices]
    if outside:
        raise InputError(
            f"case {case.id!r}: labelled slice {outside[0]} does not exist, the volume has {plan.n_slices} slices",
            f"use 0 to {plan.n_slices - 1}",
        )
    return tuple(sorted(set(case.labelled_slices)))

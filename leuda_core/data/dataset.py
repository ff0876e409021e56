"""The dataset file (JSON): the volumes for source, target and test, and the meaning of their labels.

``load_dataset`` reads the file and raises the first problem; ``check_dataset`` also opens every volume and collects all
problems, for ``leuda check``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from leuda_core.data.geometry import SlicePlan, plan_slices
from leuda_core.errors import InputError, LeudaError
from leuda_core.io.volumes import grid_gap_mm, read_grid, read_label_map, read_volume, same_grid
from leuda_core.types import Case, Dataset, Domain, Label, LabelMap

PALETTE = ((200, 90, 80), (110, 184, 209), (120, 180, 100), (216, 180, 80), (150, 120, 190), (221, 130, 101))
"""Display colours (RGB, 0 to 255) for labels without one."""

MAX_LABELS, MAX_LABEL_VALUE = 254, 65535
"""Limits of bundles and their label maps."""


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


def load_dataset(path: Path | str) -> Dataset:
    """Read a dataset file; paths in it are relative to it.

    Raises:
        InputError: the first problem of the file itself. Volumes are not opened.
    """
    path = Path(path)
    dataset = _parse(path)
    for problem in _structure_problems(dataset):
        raise InputError(f"{path.name}: {problem[0]}", problem[1])
    return dataset


def _parse(path: Path) -> Dataset:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"dataset file {path} does not exist", "check the path") from error
    except OSError as error:
        remedy = "give the dataset's JSON file" if path.is_dir() else "check the path and its permissions"
        raise InputError(f"dataset file {path} cannot be read: {(error.strerror or '').lower()}", remedy) from error
    try:
        file = msgspec.json.decode(content.decode("utf-8-sig"), type=_File)
    except UnicodeDecodeError as error:
        what = f"{path.name}: byte {error.start} is not UTF-8"
        raise InputError(what, "give the dataset's JSON file, saved as UTF-8") from error
    except msgspec.DecodeError as error:
        reason = re.sub(r"`(\$[^`]*)`", r"\1", str(error))
        raise InputError(f"{path.name}: {reason}", "see the dataset file format in the README") from error
    folder = path.resolve().parent
    return Dataset(
        name=file.name,
        labels=_labels(path, file.labels),
        source=_domain(folder, "source", file.source),
        target=_domain(folder, "target", file.target),
        test_target=_cases(folder, file.test.target),
        test_source=_cases(folder, file.test.source),
        path=path.resolve(),
    )


def _labels(path: Path, table: dict[str, str | _Label]) -> tuple[Label, ...]:
    labels: list[Label] = []
    for key, entry in table.items():
        if not key.isdecimal():
            raise InputError(f"{path.name}: label value {key!r} is not a whole number", "use '1', '2', …")
        if int(key) > MAX_LABEL_VALUE:
            raise InputError(f"{path.name}: label value {key} is too large", f"use values up to {MAX_LABEL_VALUE}")
        if int(key) == 0:
            continue
        entry = _Label(name=entry) if isinstance(entry, str) else entry
        color = entry.color or PALETTE[len(labels) % len(PALETTE)]
        if len(color) != 3:
            raise InputError(
                f"{path.name}: colour {list(color)} of label {key} does not have 3 values", "use [r, g, b]"
            )
        red, green, blue = (channel / 255 for channel in color)
        labels.append(Label(int(key), entry.name, (red, green, blue), entry.terminology))
    if not 1 <= len(labels) <= MAX_LABELS:
        what = f"'labels' names {len(labels)} structures" if labels else "'labels' names no structure"
        raise InputError(f"{path.name}: {what}", f"name 1 to {MAX_LABELS} in addition to the background")
    for what in ("value", "name"):
        found = [getattr(label, what) for label in labels]
        if twice := next((one for one in found if found.count(one) > 1), None):
            raise InputError(f"{path.name}: two labels have the {what} {twice!r}", "give each its own")
    return tuple(sorted(labels, key=lambda label: label.value))


def _domain(folder: Path, role: str, domain: _Domain) -> Domain:
    return Domain(domain.name or role, domain.modality, _cases(folder, domain.cases))


def _cases(folder: Path, cases: Iterable[_Case]) -> tuple[Case, ...]:
    return tuple(
        Case(
            id=case.id,
            image=folder / case.image,
            label=folder / case.label if case.label else None,
            labelled_slices=tuple(case.labelled_slices) if case.labelled_slices is not None else None,
        )
        for case in cases
    )


Problem = tuple[str, str]


def _structure_problems(dataset: Dataset) -> list[Problem]:
    """Return the problems that can be found without opening a volume: (what, remedy)."""
    problems: list[Problem] = []
    if not dataset.source.cases:
        problems.append(("no source case", "list at least one labelled source volume"))
    elif not any(case.label for case in dataset.source.cases):
        problems.append(("no source case has a label", 'add "label" to at least one source case'))
    if not dataset.target.cases:
        problems.append(("no target case", "list at least one unlabelled target volume"))
    learnt = [*dataset.source.cases, *dataset.target.cases]
    problems += _twice(learnt, "in source and target")
    tests = [*dataset.test_target, *dataset.test_source]
    problems += _twice(tests, "in test")
    learnt_images = {case.image.resolve(): case.id for case in learnt}
    problems += [
        (f"test case {case.id!r} is also used for training, as {learnt_images[image]!r}", "remove it from one of them")
        for case in tests
        if (image := case.image.resolve()) in learnt_images
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
        image = case.image.resolve()  # the same file by another path or link is still the same
        if case.id in ids:
            problems.append((f"case {case.id!r} is listed twice {where}", "remove or rename one"))
        elif image in images:
            first = images[image]
            problems.append((f"cases {first!r} and {case.id!r} are the same volume {case.image.name}", "remove one"))
        ids.add(case.id)
        images[image] = case.id
    return problems


@dataclass(frozen=True)
class DatasetReport:
    """All problems found in a dataset, and a summary. ``problems`` is empty for a usable dataset."""

    problems: tuple[str, ...]
    summary: dict[str, Any]


def check_dataset(path: Path | str) -> DatasetReport:
    """Open every file of a dataset and report all problems, not only the first."""
    path = Path(path)
    try:
        dataset = _parse(path)
    except InputError as error:
        return DatasetReport((str(error),), {})
    problems = [f"{path.name}: {what}; {remedy}" for what, remedy in _structure_problems(dataset)]
    labelled, unread = 0, 0
    groups = {
        "source": dataset.source.cases,
        "target": dataset.target.cases,
        "test_target": dataset.test_target,
        "test_source": dataset.test_source,
    }
    rows = []
    for role, cases in groups.items():
        for case in cases:
            try:
                row = _check_case(case, dataset)
            except LeudaError as error:
                problems.append(str(error))
                unread += role == "source" and case.label is not None
            else:
                rows.append({"role": role, **row})
                labelled += row["labelled_slices"] if role == "source" else 0
    if not labelled and not unread and any(case.label for case in dataset.source.cases):
        problems.append(str(nothing_labelled(dataset)))
    summary = {
        "name": dataset.name,
        "labels": {label.value: label.name for label in dataset.labels},
        "cases": {role: len(cases) for role, cases in groups.items()},
        "labelled_source_slices": labelled,
        "volumes": rows,
    }
    return DatasetReport(tuple(problems), summary)


def _check_case(case: Case, dataset: Dataset) -> dict[str, Any]:
    volume = read_volume(case.image)
    plan = plan_slices(volume.shape, volume.affine)
    row = {
        "id": case.id,
        "shape": list(volume.shape),
        "spacing_mm": [round(s, 3) for s in volume.spacing_mm],
        "slices": plan.n_slices,
        "labelled_slices": 0,
    }
    if case.label is not None:
        row["labelled_slices"] = len(labelled_slices(case, read_case_labels(case, dataset.labels), plan))
    return row


def read_case_labels(case: Case, labels: Sequence[Label]) -> LabelMap:
    """Read the label map of a case and compare its grid with that of the image.

    Raises:
        InputError: label and image have different grids, or the label map is unusable.
    """
    assert case.label is not None, "callers pass only labelled cases"
    image, label = read_grid(case.image), read_grid(case.label)
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
    return read_label_map(case.label, labels)


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

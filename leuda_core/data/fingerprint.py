"""What a run learns from, as hashes, to notice that it has changed: ``data.json`` in the run folder.

A file whose size and times are those of the record counts as unchanged; any other is hashed again, so a data set may
be moved or copied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec

from leuda_core.errors import InputError, reason_of
from leuda_core.io.files import write_bytes
from leuda_core.io.private import open_private
from leuda_core.io.volumes import detached_files, volume_digest
from leuda_core.types import Case, Dataset, Normalization, Task

_REMEDY = "put the earlier data back, or train again into a new folder"


class FileRecord(msgspec.Struct, frozen=True):
    """Hash of a file or folder, and its sizes and times, by which an unchanged one is recognised quickly."""

    sha256: str
    stamp: str


class CaseRecord(msgspec.Struct, frozen=True):
    """One case: its files as far as the run reads them."""

    role: Literal["source", "target"]
    id: str
    image: FileRecord
    label: FileRecord | None = None
    labelled_slices: tuple[int, ...] | None = None

    @property
    def content(self) -> tuple[object, ...]:
        """What is learnt from: everything but names and places."""
        return self.role, self.image.sha256, self.label and self.label.sha256, self.labelled_slices


class LeftOut(msgspec.Struct, frozen=True):
    """A case that could not be read when the run began, and why. The run continues without it."""

    role: Literal["source", "target"]
    id: str
    message: str
    remedy: str = ""


class DataRecord(msgspec.Struct, frozen=True):
    """What a run learns from. ``labels`` are (value, name); the order of the cases matters.

    ``spacing_mm``, ``isotropic``, ``context_mm`` and the normalisations are those of the task, which cases that are
    left out may have influenced.
    """

    labels: tuple[tuple[int, str], ...]
    cases: tuple[CaseRecord, ...]
    left_out: tuple[LeftOut, ...] = ()
    spacing_mm: float | None = None
    isotropic: str = ""
    context_mm: float = 0.0
    normalization: Normalization | None = None
    source_normalization: Normalization | None = None

    def digest(self) -> str:
        """Return the hash of all that is learnt from."""
        return hashlib.sha256(msgspec.json.encode([self.labels, [case.content for case in self.cases]])).hexdigest()


def record_data(dataset: Dataset, *, target_labels: bool) -> DataRecord:
    """Hash everything that a run on a dataset reads; ``target_labels``: whether it reads those of the target.

    Raises:
        InputError: a file cannot be read.
    """
    roles = _roles(dataset, target_labels)
    return DataRecord(_labels(dataset), tuple(_record(case, role, labels) for role, case, labels in roles))


class DataGuard:
    """Records what a run learns from at its first start, and refuses to continue on anything else."""

    def __init__(self, path: Path, dataset: Dataset, *, target_labels: bool) -> None:
        """Compare the dataset with the record at ``path``, if there is one.

        Raises:
            InputError: names the case that has changed, or the record is damaged.
        """
        self._path, self._labels = path, _labels(dataset)
        self._cases: list[CaseRecord] = []
        known = _read(path) if path.exists() else None
        self._left_out = list(known.left_out) if known else []
        self._before = known
        self._dataset = dataset
        self._roles = _roles(self.dataset, target_labels)
        if known is not None:
            _check_structure(known, self._labels, self._roles)
            pairs = zip(known.cases, self._roles, strict=True)
            self._cases = [_compared(before, case) for before, (_, case, _) in pairs]

    @property
    def dataset(self) -> Dataset:
        """The dataset without the cases that are left out."""
        gone = {(one.role, one.id) for one in self._left_out}
        source, target = (
            replace(domain, cases=tuple(case for case in domain.cases if (role, case.id) not in gone))
            for role, domain in (("source", self._dataset.source), ("target", self._dataset.target))
        )
        return replace(self._dataset, source=source, target=target)

    def prepared(self, index: int) -> None:
        """Record case ``index`` of all source and then all target cases, after it was read for the first time."""
        role, case, labels = self._roles[index]
        if self._before is None and not any((role, case.id) == (one.role, one.id) for one in self._left_out):
            self._cases.append(_record(case, role, labels))

    def leave_out(self, index: int, error: InputError) -> None:
        """Record that a case cannot be read.

        Raises:
            InputError: it could be read when the run began.
        """
        if self._before is not None:
            raise error
        role, case, _ = self._roles[index]
        self._left_out.append(LeftOut(role, case.id, error.message, error.remedy))

    @property
    def normalizations(self) -> tuple[Normalization, Normalization | None] | None:
        """Those of target and source with which the run began; ``None`` if they are not recorded."""
        if self._before is None or self._before.normalization is None:
            return None
        return self._before.normalization, self._before.source_normalization

    def as_begun(self, task: Task) -> Task:
        """Return the task as it was decided when the run began."""
        before = self._before
        if before is None or before.spacing_mm is None:
            return task
        return replace(task, spacing_mm=before.spacing_mm, isotropic=before.isotropic, context_mm=before.context_mm)

    def finish(self, task: Task) -> DataRecord:
        """Write and return the record of all cases and of the task."""
        cases, gone = tuple(self._cases), tuple(self._left_out)
        record = DataRecord(
            self._labels,
            cases,
            gone,
            task.spacing_mm,
            task.isotropic,
            task.context_mm,
            task.normalization,
            task.source_normalization,
        )
        write_bytes(self._path, msgspec.json.format(msgspec.json.encode(record), indent=1), private=True)
        return record


def _roles(dataset: Dataset, target_labels: bool) -> list[tuple[Literal["source", "target"], Case, bool]]:
    """Return (role, case, whether its label map is read), in the order in which a run prepares them."""
    found: list[tuple[Literal["source", "target"], Case, bool]]
    found = [("source", case, True) for case in dataset.source.cases]
    return found + [("target", case, target_labels) for case in dataset.target.cases]


def _labels(dataset: Dataset) -> tuple[tuple[int, str], ...]:
    return tuple((label.value, label.name) for label in dataset.labels)


def _record(case: Case, role: Literal["source", "target"], labels: bool) -> CaseRecord:
    label = _hashed(case, case.label) if labels and case.label else None
    return CaseRecord(role, case.id, _hashed(case, case.image), label, case.labelled_slices if label else None)


def _hashed(case: Case, path: Path) -> FileRecord:
    try:
        stamp = _stamp(path)
        return FileRecord(volume_digest(path), stamp)
    except OSError as error:
        raise InputError(f"case {case.id!r}: {path} cannot be read: {reason_of(error)}", _REMEDY) from error


def _stamp(path: Path) -> str:
    """Return sizes and times of the files of a volume.

    The time of the last change of the entry (``ctime``) cannot be set by a program that copies files with their times.
    """
    files = (
        sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path, *detached_files(path)]
    )
    facts = [(file.name, (stat := file.stat()).st_size, stat.st_mtime_ns, stat.st_ctime_ns) for file in files]
    return hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _compared(before: CaseRecord, case: Case) -> CaseRecord:
    """Return the record with present times; hashes only a file whose size or times differ."""
    image = _same(before.image, case, case.image)
    label = _same(before.label, case, case.label) if before.label and case.label else None
    return msgspec.structs.replace(before, id=case.id, image=image, label=label)


def _same(before: FileRecord, case: Case, path: Path) -> FileRecord:
    try:
        unchanged = _stamp(path) == before.stamp
    except OSError:
        unchanged = False  # hashing it tells what is wrong
    if unchanged:
        return before
    now = _hashed(case, path)
    if now.sha256 != before.sha256:
        raise InputError(f"case {case.id!r}: {path} has changed since this run began", _REMEDY)
    return now


def _check_structure(
    known: DataRecord,
    labels: tuple[tuple[int, str], ...],
    roles: Sequence[tuple[Literal["source", "target"], Case, bool]],
) -> None:
    """Compare what the dataset file says with the record."""
    if known.labels != labels:
        tables = "; now ".join(", ".join(f"{value} {name}" for value, name in one) for one in (known.labels, labels))
        raise InputError(f"the labels of the dataset have changed since this run began: {tables}", _REMEDY)
    for role in ("source", "target"):
        before = [case.id for case in known.cases if case.role == role]
        now = [case.id for its, case, _ in roles if its == role]
        if len(before) != len(now):
            changes = {"without": set(before) - set(now), "new:": set(now) - set(before)}
            change = "; ".join(f"{what} {', '.join(map(repr, sorted(ids)))}" for what, ids in changes.items() if ids)
            what = f"the dataset had {len(before)} {role} cases when this run began, now {len(now)}"
            raise InputError(f"{what} ({change})" if change else what, _REMEDY)
        if before != now and sorted(before) == sorted(now):
            raise InputError(f"the order of the {role} cases has changed since this run began", _REMEDY)
    for record, (_, case, reads_labels) in zip(known.cases, roles, strict=True):
        has_label = bool(reads_labels and case.label)
        if has_label != (record.label is not None):
            state = "has a label now, and had none" if has_label else "has no label now, and had one"
            raise InputError(f"case {case.id!r} {state} when this run began", _REMEDY)
        if has_label and case.labelled_slices != record.labelled_slices:
            raise InputError(f"case {case.id!r}: labelled_slices have changed since this run began", _REMEDY)


def _read(path: Path) -> DataRecord:
    try:
        with open_private(path, "rb") as stream:
            return msgspec.json.decode(stream.read(), type=DataRecord)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        what = f"{path} cannot be read ({error})"
        raise InputError(what, "restore it, or delete it to continue without comparing the data") from error

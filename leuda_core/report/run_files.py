"""The content of a run folder, read without loading its model; what does not exist yet stays empty."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from leuda_core.bundle.schema import DomainSummary
from leuda_core.config import RunConfig, config_schema, read_run_config
from leuda_core.durations import duration
from leuda_core.errors import InputError, reason_of
from leuda_core.io.private import read_regular
from leuda_core.runs.events import read_events, seconds_at_work
from leuda_core.runs.folder import Run
from leuda_core.types import Dataset, Domain, Label

T = TypeVar("T")


class _Means(msgspec.Struct):
    """What the report shows of a ``Summary``; ``None`` is NaN."""

    name: str
    dice: float | None
    hd95_mm: float | None
    asd_mm: float | None
    n_missed: int
    n_false: int
    n_absent: int
    dice_std: float | None = None


class _Info(msgspec.Struct):
    source: DomainSummary
    target: DomainSummary
    software: dict[str, str] = {}


class _Task(msgspec.Struct):
    labels: list[Label]


class _Bundle(msgspec.Struct):
    """What the report shows of ``bundle.json``."""

    info: _Info
    task: _Task


class _Failed(msgspec.Struct):
    case: str
    message: str


class _Scores(msgspec.Struct):
    """What the report shows of an ``Evaluation``."""

    scores: list[Any]
    cases: list[_Means]
    labels: list[_Means]
    overall: _Means
    failed: list[_Failed] = []


@dataclass(frozen=True)
class RunFiles:
    """The content of a run folder. ``labels`` maps names to CSS colours; ``previews`` are (step, file) in order."""

    path: Path
    config: RunConfig
    method_title: str
    dataset_name: str
    domains: tuple[DomainSummary, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    previews: list[tuple[int, Path]] = field(default_factory=list)
    scores: dict[str, Any] | None = None
    card: str = ""
    software: dict[str, str] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)

    @property
    def duration(self) -> str:
        """Training time without the pauses between a stop and the next start; empty below one second."""
        seconds = seconds_at_work(self.events)
        return duration(seconds) if seconds >= 1 else ""


def read_run_files(path: Path) -> RunFiles:
    """Read a run folder.

    Raises:
        InputError: the folder holds no run, or one of its files is damaged.
    """
    run = Run(path).check()
    config = read_run_config(run.config)
    bundle = _bundle(run.bundle / "bundle.json")
    dataset = _dataset(config.dataset)
    title, descriptions = _method(config)
    return RunFiles(
        path=path,
        config=config,
        method_title=title,
        dataset_name=dataset.name if dataset else Path(config.dataset).parent.name or Path(config.dataset).stem,
        domains=_domains(bundle, dataset),
        labels=_labels(bundle, dataset),
        events=read_events(run.events)[0],
        previews=_previews(run.previews),
        scores=_scores(run.scores),
        card=_text(run.bundle / "README.md"),
        software=bundle.info.software if bundle else {},
        descriptions=descriptions,
    )


def _scores(path: Path) -> dict[str, Any] | None:
    """Return the JSON form of an ``Evaluation``, or ``None`` if the run has not been scored."""
    found = _decoded(path, _Scores, "holds no scores", "write it with `leuda evaluate --json` or delete it")
    return msgspec.to_builtins(found) if found else None


def _method(config: RunConfig) -> tuple[str, dict[str, str]]:
    """Return the title of a run's method and the descriptions of its settings."""
    from leuda_core.methods import method_of

    try:
        method = method_of(config)
    except InputError:  # a run of another version
        return config.method, {}
    fields = config_schema(method.Config)["properties"]
    return method.title, {key: value.get("description", "") for key, value in fields.items()}


def _dataset(path: str) -> Dataset | None:
    from leuda_core.data.dataset import load_dataset

    try:
        return load_dataset(path, needs_source=False)
    except InputError:  # it was moved or deleted; a report must still be possible
        return None


def _domains(bundle: _Bundle | None, dataset: Dataset | None) -> tuple[DomainSummary, ...]:
    if bundle:
        return bundle.info.source, bundle.info.target
    return (_counts(dataset.source), _counts(dataset.target)) if dataset else ()


def _counts(domain: Domain) -> DomainSummary:
    return DomainSummary(
        name=domain.name,
        modality=domain.modality,
        cases=len(domain.cases),
        labelled_cases=sum(case.label is not None for case in domain.cases),
    )


def _labels(bundle: _Bundle | None, dataset: Dataset | None) -> dict[str, str]:
    labels = tuple(bundle.task.labels) if bundle else dataset.labels if dataset else ()
    return {
        label.name: "#" + "".join(f"{round(255 * min(1.0, max(0.0, part))):02x}" for part in label.color)
        for label in labels
    }


def _previews(folder: Path) -> list[tuple[int, Path]]:
    found = [(re.search(r"(\d+)$", path.stem), path) for path in folder.glob("*.png")] if folder.is_dir() else []
    return sorted((int(match[1]), path) for match, path in found if match and path.is_file())


def _bundle(path: Path) -> _Bundle | None:
    """Return what the report shows of a model, ``None`` if there is none."""
    return _decoded(path, _Bundle, "is damaged", "restore the file, or delete the folder of the model")


def _decoded(path: Path, kind: type[T], problem: str, remedy: str) -> T | None:
    content = _content(path)
    try:
        return msgspec.json.decode(content, type=kind) if content is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} {problem} ({error})", remedy) from error


def _text(path: Path) -> str:
    return (_content(path) or b"").decode("utf-8", "replace")


def _content(path: Path) -> bytes | None:
    try:
        return read_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason_of(error)})", "restore the file or delete it") from error

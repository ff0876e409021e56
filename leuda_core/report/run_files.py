"""The content of a run folder, read without loading its model; what does not exist yet stays empty."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from leuda_core.bundle.schema import DomainSummary
from leuda_core.config import RunConfig, config_schema, read_run_config
from leuda_core.durations import duration
from leuda_core.errors import InputError
from leuda_core.io.private import read_regular
from leuda_core.runs.events import read_events, seconds_at_work
from leuda_core.runs.folder import Run
from leuda_core.types import Dataset, Domain, Label


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
    dataset = _dataset(config.dataset)
    domains, labels, software = _described(run.bundle / "bundle.json", dataset)
    title, descriptions = _method(config.method)
    return RunFiles(
        path=path,
        config=config,
        method_title=title,
        dataset_name=dataset.name if dataset else Path(config.dataset).parent.name or Path(config.dataset).stem,
        domains=domains,
        labels=labels,
        events=read_events(run.events)[0],
        previews=_previews(run.previews),
        scores=_scores(run.scores),
        card=_text(run.bundle / "README.md"),
        software=software,
        descriptions=descriptions,
    )


def _scores(path: Path) -> dict[str, Any] | None:
    """Return the JSON form of an ``Evaluation``, or ``None`` if the run has not been scored."""
    value = _json(path)
    keys = ("scores", "cases", "labels", "overall")
    if value is not None and not (isinstance(value, dict) and all(key in value for key in keys)):
        raise InputError(f"{path} holds no scores", "write it with `leuda evaluate --json` or delete it")
    return value


def _method(name: str) -> tuple[str, dict[str, str]]:
    """Return a method's title and the descriptions of its settings."""
    from leuda_core.methods import METHODS

    method = METHODS.get(name)
    if method is None:  # a run of another version
        return name, {}
    fields = config_schema(method.Config)["properties"]
    return method.title, {key: value.get("description", "") for key, value in fields.items()}


def _dataset(path: str) -> Dataset | None:
    from leuda_core.data.dataset import load_dataset

    try:
        return load_dataset(path)
    except InputError:  # it was moved or deleted; a report must still be possible
        return None


def _described(path: Path, dataset: Dataset | None) -> tuple[tuple[DomainSummary, ...], dict[str, str], dict[str, str]]:
    """Return domains, colours of labels and software, from a model if there is one, or else from the dataset."""
    bundle = _json(path) or {}
    try:
        software = msgspec.convert(bundle.get("info", {}).get("software", {}), dict[str, str])
        return _domains(bundle, dataset), _labels(bundle, dataset), software
    except (msgspec.ValidationError, AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"{path} does not describe a model ({error})"
        raise InputError(what, "delete the folder of the model and write it again with `leuda resume`") from error


def _domains(bundle: dict[str, Any], dataset: Dataset | None) -> tuple[DomainSummary, ...]:
    if "info" in bundle:
        return tuple(msgspec.convert(bundle["info"][side], DomainSummary) for side in ("source", "target"))
    return (_counts(dataset.source), _counts(dataset.target)) if dataset else ()


def _counts(domain: Domain) -> DomainSummary:
    return DomainSummary(
        name=domain.name,
        modality=domain.modality,
        cases=len(domain.cases),
        labelled_cases=sum(case.label is not None for case in domain.cases),
    )


def _labels(bundle: dict[str, Any], dataset: Dataset | None) -> dict[str, str]:
    if "task" in bundle:
        labels = tuple(msgspec.convert(bundle["task"]["labels"], list[Label]))
    else:
        labels = dataset.labels if dataset else ()
    return {label.name: "#" + "".join(f"{round(255 * part):02x}" for part in label.color) for label in labels}


def _previews(folder: Path) -> list[tuple[int, Path]]:
    found = [(re.search(r"(\d+)$", path.stem), path) for path in folder.glob("*.png")] if folder.is_dir() else []
    return sorted((int(match[1]), path) for match, path in found if match and path.is_file())


def _json(path: Path) -> Any:
    try:
        return json.loads(read_regular(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error})", "restore the file or delete it") from error


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

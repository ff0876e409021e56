"""What a run folder says, gathered without loading a network; whatever is not there yet is left empty."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from leuda_core.config import RunConfig, config_schema
from leuda_core.errors import InputError
from leuda_core.events import read_events
from leuda_core.jobs import Run
from leuda_core.types import Dataset, Domain, Label


@dataclass(frozen=True)
class DomainCounts:
    """How much of one domain there was. ``labelled_slices`` is known once a run has finished."""

    name: str
    modality: str
    cases: int
    labelled_cases: int
    labelled_slices: int = 0


@dataclass(frozen=True)
class RunFiles:
    """The content of a run folder. ``labels`` maps names to CSS colours; ``previews`` are (step, file) in order."""

    path: Path
    config: RunConfig
    method_title: str
    dataset_name: str
    domains: tuple[DomainCounts, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    previews: list[tuple[int, Path]] = field(default_factory=list)
    scores: dict[str, Any] | None = None
    card: str = ""
    software: dict[str, str] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)

    @property
    def duration(self) -> str:
        """Time spent, without the pauses between a stop and the next start; empty if nothing was done."""
        seconds, begin, last = 0.0, None, 0.0
        for event in [*self.events, {"event": "start", "time": 0.0}]:
            if event["event"] == "start":
                seconds += last - begin if begin is not None else 0.0
                begin = event.get("time", 0.0)
            last = event.get("time", last)
        if seconds < 1:
            return ""
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def read_run_files(path: Path) -> RunFiles:
    """Read a run folder.

    Raises:
        InputError: the folder holds no run, or one of its files has been damaged.
    """
    run = Run(path).check()
    try:
        config = msgspec.json.decode(run.config.read_bytes(), type=RunConfig)
    except msgspec.MsgspecError as error:
        raise InputError(f"{run.config}: {error}", "restore the file, or train again") from error
    bundle = _json(run.bundle / "bundle.json") or {}
    dataset = _dataset(config.dataset)
    title, descriptions = _method(config.method)
    return RunFiles(
        path=path,
        config=config,
        method_title=title,
        dataset_name=dataset.name if dataset else Path(config.dataset).parent.name or Path(config.dataset).stem,
        domains=_domains(bundle, dataset),
        labels=_labels(bundle, dataset),
        events=read_events(run.events)[0],
        previews=_previews(run.previews),
        scores=scores_dict(_json(path / "scores.json"), path / "scores.json"),
        card=_text(run.bundle / "README.md"),
        software=bundle.get("info", {}).get("software", {}),
        descriptions=descriptions,
    )


def scores_dict(value: Any, path: Path) -> dict[str, Any] | None:
    """Return ``value`` if it is the JSON form of an ``Evaluation`` or nothing.

    Raises:
        InputError: it is something else.
    """
    if value is None:
        return None
    keys = ("scores", "cases", "labels", "overall")
    if not isinstance(value, dict) or not all(key in value for key in keys):
        raise InputError(f"{path} holds no scores", "write it with `leuda evaluate --json`, or delete it")
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
    except InputError:  # moved since; a report must still be possible
        return None


def _domains(bundle: dict[str, Any], dataset: Dataset | None) -> tuple[DomainCounts, ...]:
    if "info" in bundle:
        return tuple(msgspec.convert(bundle["info"][side], DomainCounts) for side in ("source", "target"))
    return (_counts(dataset.source), _counts(dataset.target)) if dataset else ()


def _counts(domain: Domain) -> DomainCounts:
    return DomainCounts(
        domain.name, domain.modality, len(domain.cases), sum(case.label is not None for case in domain.cases)
    )


def _labels(bundle: dict[str, Any], dataset: Dataset | None) -> dict[str, str]:
    if "task" in bundle:
        labels = tuple(msgspec.convert(bundle["task"]["labels"], list[Label]))
    else:
        labels = dataset.labels if dataset else ()
    return {label.name: "#" + "".join(f"{round(255 * part):02x}" for part in label.color) for label in labels}


def _previews(folder: Path) -> list[tuple[int, Path]]:
    found = [(re.search(r"(\d+)$", path.stem), path) for path in folder.glob("*.png")] if folder.is_dir() else []
    return sorted((int(match[1]), path) for match, path in found if match)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})", "restore the file, or delete it") from error


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""

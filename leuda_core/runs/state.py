"""The state of a run, which any process can read from the files of its folder.

Training is a detached process without pipes: a run has crashed if its lock is free and its events have no end. Standard
library only, so that Slicer can import it before anything is installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from leuda_core.io.private import read_regular
from leuda_core.runs.events import read_events
from leuda_core.runs.folder import Run, as_run
from leuda_core.runs.lock import holder, is_running
from leuda_core.runs.model import model_problem
from leuda_core.runs.pace import course_of, seconds_left

State = Literal["created", "running", "finished", "stopped", "failed", "crashed"]

_MOST_STEPS = 2**53


@dataclass(frozen=True)
class RunStatus:
    """The state of a run according to its files.

    ``progress`` is in [0, 1]; ``seconds_left`` is an estimate; ``warnings`` have a ``message`` and a ``remedy`` each.
    """

    path: Path
    state: State
    stage: str = ""
    step: int = 0
    total: int = 0
    progress: float = 0.0
    seconds_left: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    message: str = ""
    remedy: str = ""
    warnings: tuple[Mapping[str, str], ...] = ()
    pid: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain, JSON-ready values under the same names."""
        plain = {"path": str(self.path), "metrics": dict(self.metrics), "warnings": list(map(dict, self.warnings))}
        return {**self.__dict__, **plain}


def status(run: Run | Path | str) -> RunStatus:
    """Read the state of a run from its files, without changing anything.

    Raises:
        InputError: the folder contains no run.
    """
    run = as_run(run).check()
    running = is_running(run)  # before reading the events, so that an end written in between does not look like a crash
    found = status_of(run, read_events(run.events)[0], running=running)
    problem = model_problem(run) if found.state == "finished" else ""
    return replace(found, message=problem, remedy=_model_remedy(run)) if problem else found


def status_of(run: Run, events: Sequence[dict[str, Any]], *, running: bool) -> RunStatus:
    """Return the state of a run from all of its events; for ``running``, see ``is_running``."""
    state, message, remedy = _state(events, running)
    steps = [event for event in events if _is_step(event)]
    step = int(steps[-1]["step"]) if steps else 0
    total = int(steps[-1]["total"]) if steps else _planned_steps(run)
    step = total if state == "finished" else step
    metrics: dict[str, float] = {}
    for event in events:
        metrics.update(_numbers(event.get("metrics")))
    who = holder(run) if running else None
    return RunStatus(
        path=run.path,
        state=state,
        stage=str(next((e["stage"] for e in reversed(events) if "stage" in e), "")),
        step=step,
        total=total,
        progress=1.0 if state == "finished" else min(step / total, 1.0) if total else 0.0,
        seconds_left=_seconds_left(events) if running else None,
        metrics=metrics,
        message=message,
        remedy=remedy,
        warnings=_warnings(events),
        pid=who.pid if who else None,
    )


def _model_remedy(run: Run) -> str:
    if run.has_checkpoint:
        return "write it again from the last checkpoint with `leuda resume`"
    return "no checkpoint is left either: train again into a new folder"


def _is_step(event: dict[str, Any]) -> bool:
    """Return whether this is progress of training, not of preparing the volumes."""
    step, total = event.get("step"), event.get("total")
    whole = isinstance(step, int) and isinstance(total, int) and 0 <= step <= total <= _MOST_STEPS
    return event["event"] == "progress" and event.get("stage") != "prepare" and whole


def _planned_steps(run: Run) -> int:
    try:
        steps = json.loads(read_regular(run.config))["steps"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0
    return steps if isinstance(steps, int) and 0 <= steps <= _MOST_STEPS else 0


def _numbers(values: object) -> dict[str, float]:
    if not isinstance(values, dict):
        return {}
    return {key: value for key, value in values.items() if isinstance(value, (int, float))}


def _state(events: Sequence[dict[str, Any]], running: bool) -> tuple[State, str, str]:
    """Return state, message and remedy from the last relevant event."""
    if running:
        return "running", "", ""
    last = next((event for event in reversed(events) if event["event"] in ("start", "end", "error")), None)
    if last is None:
        return "created", "", ""
    if last["event"] == "start":
        return (
            "crashed",
            "the process stopped unexpectedly",
            "see log.txt; continue from the checkpoint with `leuda resume`",
        )
    message, remedy = str(last.get("message", "")), str(last.get("remedy", ""))
    if last["event"] == "error":
        return ("stopped" if last.get("kind") == "cancelled" else "failed"), message, remedy
    return ("stopped" if last.get("state") == "stopped" else "finished"), message, remedy


def _warnings(events: Sequence[dict[str, Any]]) -> tuple[Mapping[str, str], ...]:
    """Return the warnings that hold: of the start, of the last look at the model, and those raised since."""
    start: list[dict[str, str]] = []
    model: list[dict[str, str]] = []
    for event in events:
        listed = event.get("warnings")
        if event["event"] == "start":
            start = []
        elif isinstance(listed, list):
            model = [_warning(one) for one in listed if isinstance(one, dict)]
        elif event["event"] == "warning":
            (model if event.get("kind") else start).append(_warning(event))
    found = [*start, *model]
    return tuple(one for index, one in enumerate(found) if one not in found[:index])


def _warning(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(values.get(key, "")) for key in ("kind", "message", "remedy")}


def _seconds_left(events: Sequence[dict[str, Any]]) -> float | None:
    starts = [index for index, event in enumerate(events) if event["event"] == "start"]
    recent = events[starts[-1] if starts else 0 :]
    return seconds_left([event for event in recent if _is_step(event)], course_of(recent))

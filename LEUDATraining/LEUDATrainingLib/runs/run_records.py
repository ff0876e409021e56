"""The runs in a folder, read from their files. Standard library only."""

from __future__ import annotations

import json
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leuda_core.errors import InputError, LeudaError, reason_of
from leuda_core.runs.events import read_events
from leuda_core.runs.folder import Run
from leuda_core.runs.lock import RunLock, is_running
from leuda_core.runs.state import RunStatus, status_of

_READ_BYTES = 16 * 1024

RUN_FOLDER = "run"
"""A run of the module is in ``NAME/run``, next to the dataset that was written for it."""


@dataclass(frozen=True)
class RunRecord:
    """One run of a list.

    Attributes:
        folder: everything of the run: its own folder, or the one that also contains the dataset written for it.
        created: when the run was created, in seconds since 1970.
        status: None if the folder is damaged; ``problem`` then describes how.
    """

    name: str
    folder: Path
    run: Run
    method: str
    created: float
    status: RunStatus | None
    problem: str = ""

    @property
    def state(self) -> str:
        return self.status.state if self.status else "damaged"


class RunFinder:
    """Lists the runs of a folder. Runs that have not changed since the last time are not read again."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[object, RunRecord]] = {}

    def find(self, folder: Path) -> list[RunRecord]:
        """Return the runs in ``folder``, the newest first; none for a missing folder.

        Raises:
            InputError: the folder cannot be read.
        """
        found: dict[Path, tuple[object, RunRecord]] = {}
        for run in _runs(folder):
            with suppress(FileNotFoundError):  # deleted since it was listed
                stamp = _stamp(run)
                known = self._known.get(run.path)
                found[run.path] = known if known and known[0] == stamp else (stamp, read_record(run))
        self._known = found
        return sorted((record for _stamp, record in found.values()), key=lambda r: (-r.created, r.name))


def read_record(run: Run) -> RunRecord:
    """Read one run.

    Raises:
        FileNotFoundError: it was deleted.
    """
    config, problem = _read_config(run.config)
    found = None
    if not problem:
        try:
            found = _read_status(run)
        except (OSError, LeudaError) as error:
            problem = str(error)
    own = run.path.name == RUN_FOLDER
    return RunRecord(
        name=run_name(run.path),
        folder=run.path.parent if own else run.path,
        run=run,
        method=str(config.get("method", "")),
        created=run.config.stat().st_mtime,
        status=found,
        problem=problem,
    )


def run_name(path: Path) -> str:
    """Return the name of the run in a folder."""
    return path.parent.name if path.name == RUN_FOLDER else path.name


def read_run_config(run: Run) -> dict[str, Any]:
    """Return the content of ``run.json``; an empty dictionary if it cannot be read."""
    return _read_config(run.config)[0]


def delete_run(record: RunRecord) -> None:
    """Delete a run and the dataset that was written for it.

    Raises:
        InputError: the run is in use, or its folder cannot be deleted.
    """
    try:
        with RunLock(record.run):  # fails if another process uses it
            pass
        hidden = record.folder.with_name(f".deleted-{secrets.token_hex(4)}")
        record.folder.rename(hidden)  # at once, so that a partially deleted run is never listed
        shutil.rmtree(hidden)
    except FileNotFoundError:
        return
    except OSError as error:
        what = f"run '{record.name}' cannot be deleted ({reason_of(error)})"
        raise InputError(what, "close the programs that use it and check the permissions of the folder") from error


def folder_bytes(folder: Path) -> int:
    """Return the size of everything in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _runs(folder: Path) -> list[Run]:
    try:
        entries = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(
            f"{folder} cannot be read ({reason_of(error)})", "check the permissions of the folder"
        ) from error
    places = [Run(place) for entry in entries for place in (entry / RUN_FOLDER, entry)]
    return [run for run in places if run.config.is_file()]


def _read_status(run: Run) -> RunStatus:
    """Return the status of a run without its metrics and without reading all events of a long run.

    Raises:
        InputError: the folder contains no run.
    """
    run.check()
    running = is_running(run)  # before the events, so that an end in between does not look like a crash
    return status_of(run, _first_and_latest_events(run.events), running=running)


def _first_and_latest_events(path: Path) -> list[dict[str, Any]]:
    """Return the first event, which shows that the run has started, and the latest events."""
    size = path.stat().st_size if path.exists() else 0
    if size <= 2 * _READ_BYTES:
        return read_events(path)[0]
    first, latest = read_events(path, 0, _READ_BYTES)[0], read_events(path, size - _READ_BYTES)[0]
    return [*first[:1], *latest]  # an incomplete first line of the latest events is not an event


def _stamp(run: Run) -> object:
    """Return a value that changes whenever the record would change."""
    events = run.events.stat() if run.events.exists() else None
    return (
        run.config.stat().st_mtime_ns,
        (events.st_mtime_ns, events.st_size) if events else None,
        is_running(run),
    )


def _read_config(path: Path) -> tuple[dict[str, Any], str]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"{path.name} cannot be read: {error}"
    return (config, "") if isinstance(config, dict) else ({}, f"{path.name} does not describe a run")

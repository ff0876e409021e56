"""Observes a run through its folder: reads new events from its file, in pieces of limited size.

Everything is read from files, so a run can be observed whoever started it, also after a restart of Slicer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from leuda_core.errors import InputError, LeudaError
from leuda_core.runs.events import read_events
from leuda_core.runs.folder import Run
from leuda_core.runs.lock import is_running
from leuda_core.runs.state import RunStatus, status_of
from LEUDASegmentationLib.scene.steps import Pulse

INTERVAL_MS = 500
_LATEST = 500  # events
_PIECE_BYTES = 64 * 1024  # parsed in about 5 ms; a long run is read in several pieces


class RunWatcher:
    """Calls ``on_change()`` whenever the events, the lock or the stop request of a run have changed.

    A long run is read in several pieces, with one call for each; the status is available with the last one. Each call
    provides only the new events; earlier ones are not kept.

    Attributes:
        run: the run that is observed, or None.
        new: the events since the previous call.
        replaced: whether another run was created in the same folder, so that all earlier events are invalid.
        status: the status of the run; None before all events are read.
        error: why the run cannot be observed any more, for example because its folder was deleted.
    """

    run: Run | None
    new: list[dict[str, Any]]
    replaced: bool
    status: RunStatus | None
    error: LeudaError | None

    def __init__(self, parent: Any, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._timer = Pulse(self.poll, INTERVAL_MS, parent)
        self._forget(None)

    def watch(self, path: Path | None) -> None:
        """Observe another run, or none; a short run is read immediately."""
        self._timer.stop()
        self._forget(Run(path) if path else None)
        if self.run is None:
            self._on_change()
            return
        self._timer.start()
        self.poll()

    @property
    def last(self) -> dict[str, Any]:
        """The last event; empty before the first."""
        return self._latest[-1] if self._latest else {}

    def stop(self) -> None:
        """Stop observing for good; the status is kept."""
        self._timer.end()

    @property
    def stop_requested_at(self) -> float | None:
        """When the run was asked to stop (seconds since 1970), or None; also by an earlier session of Slicer."""
        with suppress(OSError):
            return self.run.stop.stat().st_mtime if self.run else None
        return None

    def seconds_since_stop(self) -> float | None:
        """Return the time since a running run was asked to stop, or None."""
        asked = self.stop_requested_at
        running = self.status is not None and self.status.state == "running"
        return max(0.0, time.time() - asked) if asked and running else None

    def poll(self) -> None:
        """Read new events, and call ``on_change`` if anything has changed."""
        self.new, self.replaced = [], False
        try:
            changed = self._read()
        except (OSError, LeudaError) as error:
            changed = self._fail(error)
        if changed:
            self._on_change()

    def _forget(self, run: Run | None) -> None:
        self.run = run
        self.new, self.replaced = [], False
        self.status, self.error = None, None
        self._turns: list[dict[str, Any]] = []  # events that status_of needs, before the latest ones
        self._latest: deque[dict[str, Any]] = deque()
        self._offset = 0
        self._seen: tuple[bool, bool] | None = None
        self._stale = False

    def _read(self) -> bool:
        """Read one piece of the events. Return whether anything has changed."""
        run = self.run
        if run is None:
            return False
        run.check()
        if _size(run.events) < self._offset:  # the file was replaced
            self._forget(run)
            self._stale = self.replaced = True
        running = is_running(run)  # before the events, so that an end in between does not look like a crash
        before = self._offset
        self._take(run)
        if before < self._offset < _size(run.events):
            qt.QTimer.singleShot(0, self._read_on)
            return True
        seen = running, self.stop_requested_at is not None
        if not self._stale and seen == self._seen:
            return False
        self._seen, self._stale = seen, False
        self.error = None
        self.status = status_of(run, [*self._turns, *self._latest], running=running)
        return True

    def _read_on(self) -> None:
        """Read the next piece of a long run, unless it is not observed any more."""
        if self._timer.active:
            self.poll()

    def _take(self, run: Run) -> None:
        """Read a piece; keep the events that determine the status: the latest ones, earlier starts, ends, warnings."""
        self.new, self._offset = read_events(run.events, self._offset, _PIECE_BYTES)
        self._stale = self._stale or bool(self.new)
        self._latest.extend(self.new)
        while len(self._latest) > _LATEST:
            event = self._latest.popleft()
            if event["event"] in ("start", "watch", "warning", "end", "error"):
                self._turns.append(event)

    def _fail(self, error: Exception) -> bool:
        """Store the error. Return whether it is a new one."""
        news = str(error) != str(self.error or "")
        if not isinstance(error, LeudaError):
            error = InputError(str(error), _("check that the folder can be read"))
        self.error, self.status = error, None
        return news


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0

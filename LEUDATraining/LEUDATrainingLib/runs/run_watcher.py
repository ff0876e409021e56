"""Follows a run folder from outside: reads what its events file has gained, a bounded piece at a time.

Everything comes from the files, so that a run is found again whoever started it and however often Slicer restarted.
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
from leuda_core.runs.folder import Run, is_running
from leuda_core.runs.state import RunStatus, status_of

INTERVAL_MS = 500
_LATEST = 500  # events
_PIECE_BYTES = 64 * 1024  # parsed in some 5 ms: a long run is read over several turns of the event loop


class RunWatcher:
    """Calls ``on_change()`` whenever a run's events, its lock or its request to stop have changed.

    A long run comes in several pieces, each with a call; its status with the last one. Events are not kept, however
    long the run is: a call brings the new ones.

    Attributes:
        run: the run that is followed, or None.
        new: the events that came since the call before.
        anew: whether the run was made anew in the same folder, so that nothing holds that came before.
        status: what all events say; None before the first complete reading.
        error: why the run cannot be followed any more, such as a folder that was deleted.
    """

    run: Run | None
    new: list[dict[str, Any]]
    anew: bool
    status: RunStatus | None
    error: LeudaError | None

    def __init__(self, parent: Any, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._timer = qt.QTimer(parent)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self.poll)
        self._forget(None)

    def watch(self, path: Path | None) -> None:
        """Follow another run, or none; what there is to read is read at once if it is short."""
        self._timer.stop()
        self._forget(Run(path) if path else None)
        if self.run is None:
            self._on_change()
            return
        self._timer.start()
        self.poll()

    @property
    def last(self) -> dict[str, Any]:
        """The last event, empty before the first."""
        return self._latest[-1] if self._latest else {}

    def stop(self) -> None:
        """Stop following; what was read stays."""
        self._timer.stop()

    @property
    def stop_requested_at(self) -> float | None:
        """When somebody asked the run to stop (seconds since 1970), or None; also before Slicer was restarted."""
        with suppress(OSError):
            return self.run.stop.stat().st_mtime if self.run else None
        return None

    def seconds_since_stop(self) -> float | None:
        """Return how long a running run has been asked to stop, or None."""
        asked = self.stop_requested_at
        running = self.status is not None and self.status.state == "running"
        return max(0.0, time.time() - asked) if asked and running else None

    def poll(self) -> None:
        """Read what is new, and call back if anything is."""
        self.new, self.anew = [], False
        try:
            changed = self._read()
        except (OSError, LeudaError) as error:
            changed = self._fail(error)
        if changed:
            self._on_change()

    def _forget(self, run: Run | None) -> None:
        self.run = run
        self.new, self.anew = [], False
        self.status, self.error = None, None
        self._turns: list[dict[str, Any]] = []  # beginnings and ends, of before the latest
        self._latest: deque[dict[str, Any]] = deque()
        self._offset = 0
        self._seen: tuple[bool, bool] | None = None
        self._stale = False

    def _read(self) -> bool:
        """Take one piece of the events in. Return whether anything is new."""
        run = self.run
        if run is None:
            return False
        run.check()
        if _size(run.events) < self._offset:  # written anew
            self._forget(run)
            self._stale = self.anew = True
        running = is_running(run)  # before the events, so that an end written in between is not taken for a crash
        self._take(run)
        if self.new and _size(run.events) > self._offset:
            qt.QTimer.singleShot(0, self._go_on)
            return True
        seen = running, self.stop_requested_at is not None
        if not self._stale and seen == self._seen:
            return False
        self._seen, self._stale = seen, False
        self.error = None
        self.status = status_of(run, [*self._turns, *self._latest], running=running)
        return True

    def _go_on(self) -> None:
        """Read the next piece of a long run, unless following it has ended."""
        if self._timer.active:
            self.poll()

    def _take(self, run: Run) -> None:
        """Read a piece; keep what tells the status: the latest events, and earlier ones of a beginning or an end."""
        self.new, self._offset = read_events(run.events, self._offset, _PIECE_BYTES)
        self._stale = self._stale or bool(self.new)
        self._latest.extend(self.new)
        while len(self._latest) > _LATEST:
            event = self._latest.popleft()
            if event["event"] in ("start", "end", "error"):
                self._turns.append(event)

    def _fail(self, error: Exception) -> bool:
        """Keep the reason. Return whether it is news."""
        news = str(error) != str(self.error or "")
        if not isinstance(error, LeudaError):
            error = InputError(str(error), _("check that the folder can be read"))
        self.error, self.status = error, None
        return news


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0

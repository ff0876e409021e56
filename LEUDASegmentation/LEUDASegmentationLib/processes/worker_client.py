"""The client of the worker process: sends requests and receives events, as JSON lines.

The first request starts the worker; if the worker has crashed, the next request starts a new one. It ends when its
standard input closes, and therefore never outlives Slicer, even if Slicer crashes.
"""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from leuda_core.errors import Cancelled, LeudaError
from leuda_core.io.children import UTF8_MODE
from LEUDASegmentationLib.processes.child_process import ChildProcess
from LEUDASegmentationLib.processes.commands import error_from_json, error_of_process
from LEUDASegmentationLib.processes.environment import python_command
from LEUDASegmentationLib.processes.exchange_folder import ExchangeFolder

logger = logging.getLogger(__name__)

PROTOCOL = 1
CANCEL_MS = 900  # after this time, a cancelled request ends for the user, whatever the worker does
_STUCK_MS = 3000  # after this time, a worker that still works on it is killed
_CLOSE_MS = 500
_OUTCOMES_KEPT = 64

Event = dict[str, Any]


@dataclass
class _Request:
    line: bytes
    onDone: Callable[[Any], None] | None
    onError: Callable[[LeudaError], None] | None
    onProgress: Callable[[Event], None] | None


class WorkerClient:
    """Communicates with one worker process.

    ``onLog``, if set, is called with each line of the worker's log.
    """

    def __init__(self) -> None:
        self.onLog: Callable[[str], None] | None = None
        self._process: ChildProcess | None = None
        self._generation = 0
        self._open: dict[int, _Request] = {}
        self._unanswered: set[int] = set()  # cancelled for the user, but not yet answered by the worker
        self._outcomes: OrderedDict[int, Any] = OrderedDict()
        self._last_id = 0
        self._folder = ExchangeFolder()
        self.new_path = self._folder.new_path
        self.discard = self._folder.discard

    @property
    def is_running(self) -> bool:
        """Whether a worker process is running."""
        return self._process is not None

    @property
    def open_requests(self) -> list[int]:
        """The ids of the requests that have not ended."""
        return list(self._open)

    def request(
        self,
        name: str,
        onDone: Callable[[Any], None] | None = None,
        onError: Callable[[LeudaError], None] | None = None,
        onProgress: Callable[[Event], None] | None = None,
        **fields: Any,
    ) -> int:
        """Send a request, start the worker if necessary, and return the id of the request immediately.

        ``onDone`` gets the result, ``onError`` a ``LeudaError``, ``onProgress`` events with ``stage``, ``done``,
        ``total`` and ``seconds_left``. Either ``onDone`` or ``onError`` is called exactly once.
        """
        self._last_id += 1
        line = _encode({"request": name, "id": self._last_id, **fields})
        self._open[self._last_id] = _Request(line, onDone, onError, onProgress)
        self._running().write(line)
        return self._last_id

    def cancel(self, request_id: int) -> None:
        """Cancel a running or waiting request; its ``onError`` gets ``Cancelled`` within a second."""
        if request_id not in self._open or request_id in self._unanswered:
            return
        self._unanswered.add(request_id)
        generation = self._generation
        self._running().write(_encode({"request": "cancel", "id": request_id}))
        qt.QTimer.singleShot(CANCEL_MS, lambda: self._fail(request_id, Cancelled()))
        qt.QTimer.singleShot(_STUCK_MS, lambda: self._end_stuck_worker(request_id, generation))

    def wait(self, request_id: int, timeout_s: float) -> Any:
        """Return the result of a request when it is done; Slicer keeps processing events meanwhile.

        Raises:
            LeudaError: the request failed, or it was not done in time (it then continues).
        """
        deadline = time.monotonic() + timeout_s
        while request_id in self._open and time.monotonic() < deadline:
            slicer.app.processEvents()
            qt.QThread.msleep(5)
        if request_id in self._open:
            message = _("the worker was not finished after {seconds} s").format(seconds=round(timeout_s))
            raise LeudaError(message, _("wait longer, or cancel it"))
        outcome = self._outcomes.pop(request_id)
        if isinstance(outcome, LeudaError):
            raise outcome
        return outcome

    def stop(self) -> None:
        """End the worker, cancel open requests, remove all exchanged files. The next request starts a new worker."""
        process, self._process = self._process, None
        self._generation += 1
        if process is not None:
            process.close(_CLOSE_MS)
        self._unanswered.clear()
        for request_id in list(self._open):
            self._fail(request_id, Cancelled())
        self._folder.remove()

    def _running(self) -> ChildProcess:
        """Return the worker process; start it if there is none."""
        if self._process is None:
            self._generation += 1
            generation = self._generation

            def current(handle: Callable[[Any], None]) -> Callable[[Any], None]:
                """Ignore late output of an earlier process."""
                return lambda value: handle(value) if generation == self._generation else None

            self._process = ChildProcess(
                [*python_command(), *UTF8_MODE, "-m", "leuda_core.worker"],
                onOutput=current(self._on_output),
                onLog=current(self._on_log_line),
                onEnd=current(self._on_end),
            )
            self._process.start()
        return self._process

    def _on_output(self, line: str) -> None:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict) or not isinstance(event.get("id"), int | None):
            logger.warning("the worker wrote a line that is not an event: %s", line[:200])
            return
        kind, request_id = event.get("event"), event.get("id")
        if kind == "hello":
            self._check_protocol(event.get("protocol"))
        elif kind == "progress":
            self._on_progress(request_id, event)
        elif kind == "done":
            self._finish(request_id, event.get("result"))
        elif kind == "error" and request_id is not None:
            self._fail(request_id, error_from_json(event), answered=True)
        elif kind == "error":
            logger.error("worker: %s", error_from_json(event))

    def _check_protocol(self, protocol: Any) -> None:
        if protocol == PROTOCOL:
            return
        error = LeudaError(
            _("the worker uses protocol {theirs}, this module {ours}").format(theirs=protocol, ours=PROTOCOL),
            _("reinstall the LE-UDA extension, so that all its parts have the same version"),
        )
        self._end_process()
        self._fail_all(error)

    def _on_progress(self, request_id: Any, event: Event) -> None:
        request = self._open.get(request_id)
        if request is not None and request.onProgress is not None and request_id not in self._unanswered:
            request.onProgress(event)

    def _on_log_line(self, line: str) -> None:
        logger.debug("worker: %s", line)
        if self.onLog is not None:
            self.onLog(line)

    def _on_end(self, code: int) -> None:
        process, self._process = self._process, None
        error = error_of_process(code, process.last_log_line if process else "")
        self._fail_all(error)

    def _fail_all(self, error: LeudaError) -> None:
        for request_id in list(self._open):
            self._fail(request_id, Cancelled() if request_id in self._unanswered else error, answered=True)
        self._unanswered.clear()

    def _finish(self, request_id: Any, result: Any) -> None:
        self._unanswered.discard(request_id)
        request = self._ended(request_id, result)
        if request is not None and request.onDone is not None:
            request.onDone(result)

    def _fail(self, request_id: Any, error: LeudaError, *, answered: bool = False) -> None:
        if answered:
            self._unanswered.discard(request_id)
        request = self._ended(request_id, error)
        if request is not None and request.onError is not None:
            request.onError(error)

    def _ended(self, request_id: Any, outcome: Any) -> _Request | None:
        """Close a request and keep its outcome for ``wait``; return ``None`` if it was not open."""
        request = self._open.pop(request_id, None)
        if request is not None:
            self._outcomes[request_id] = outcome
            while len(self._outcomes) > _OUTCOMES_KEPT:
                self._outcomes.popitem(last=False)
        return request

    def _end_stuck_worker(self, request_id: int, generation: int) -> None:
        """Kill a worker that still works on a cancelled request; send the open requests to a new worker."""
        if request_id not in self._unanswered or generation != self._generation:
            return
        logger.warning("the worker did not answer a cancellation; it is restarted")
        self._end_process()
        self._unanswered.clear()
        for request in list(self._open.values()):
            self._running().write(request.line)

    def _end_process(self) -> None:
        process, self._process = self._process, None
        self._generation += 1
        if process is not None:
            process.kill()


def _encode(message: Event) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode() + b"\n"


_shared: WorkerClient | None = None


def shared_worker() -> WorkerClient:
    """Return the application's one worker client; it stops when Slicer quits."""
    global _shared
    if _shared is None:
        _shared = WorkerClient()
        slicer.app.connect("aboutToQuit()", stop_shared_worker)
    return _shared


def stop_shared_worker() -> None:
    """Stop the application's worker, if there is one."""
    global _shared
    if _shared is not None:
        slicer.app.disconnect("aboutToQuit()", stop_shared_worker)
        _shared.stop()
        _shared = None

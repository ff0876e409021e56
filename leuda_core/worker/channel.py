"""The worker's two pipes: a thread reads requests, and events are written as whole lines.

The thread answers a cancelled request immediately, whatever the main thread is doing; the main thread notices it at its
next check and drops the work. Standard library only: the first line must not wait for torch.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from leuda_core.errors import Cancelled, InputError, LeudaError, as_leuda_error

PROTOCOL = 1
LONGEST_LINE = 4 << 20
"""Longest request in bytes; a longer line is refused without being kept."""
MOST_WAITING, MOST_WAITING_BYTES = 1000, 4 * LONGEST_LINE
"""How many requests may wait, and how long they may be together; more are refused."""
_LONGEST_TEXT = 2000  # characters of a message, which may quote a request
_PROGRESS_EVERY_S = 0.05


class Events:
    """Writes events, one JSON line each, from any thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, event: str, /, **fields: Any) -> None:
        line = json.dumps({"event": event, **fields}, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            try:
                self._stream.write(line)
                self._stream.flush()
            except OSError:  # the parent process has ended
                os._exit(0)


class Request:
    """One request. After its single answer, ``done`` or ``error``, it sends nothing more."""

    def __init__(self, number: int, name: str, fields: dict[str, Any], events: Events, size: int = 0) -> None:
        self.id, self.name, self.fields, self.size = number, name, fields, size
        self._events = events
        self._lock = threading.Lock()
        self._answered = self._cancelled = False
        self._stage, self._began, self._told = "", 0.0, 0.0

    @property
    def is_open(self) -> bool:
        return not self._answered

    def is_cancelled(self) -> bool:
        return self._cancelled

    def check(self) -> None:
        """Raise Cancelled if the request is cancelled."""
        if self._cancelled:
            raise Cancelled

    def cancel(self) -> None:
        """Answer that the request is cancelled; its work ends at the next check."""
        self._cancelled = True
        self.fail(Cancelled())

    def done(self, result: dict[str, Any]) -> None:
        self._answer("done", result=result)

    def fail(self, error: LeudaError) -> None:
        self._answer("error", **_told(error))

    def progress(self, stage: str, done: int, total: int) -> None:
        """Report the progress of a stage: its start, its end, and at most 20 times per second in between."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began = stage, now
        elif done < total and now - self._told < _PROGRESS_EVERY_S:
            return
        self._told = now
        left = round((now - self._began) / done * (total - done), 1) if done else None
        with self._lock:
            if not self._answered:
                self._events("progress", id=self.id, stage=stage, done=done, total=total, seconds_left=left)

    def _answer(self, event: str, **fields: Any) -> None:
        with self._lock:
            if not self._answered:
                self._answered = True  # before the client reads the answer: it may then use the id again
                self._events(event, id=self.id, **fields)


class Inbox:
    """Reads requests in a thread, returns them in order, and allows cancelling each at any time.

    However much arrives, memory is bounded: a line that is too long and a request too many are answered and dropped.

    Args:
        stream: requests, one JSON object per line; an invalid line is answered with an error and ignored.
        on_end: called in the thread when the stream ends.
    """

    def __init__(self, stream: BinaryIO, events: Events, on_end: Callable[[], object]) -> None:
        self._events = events
        self._waiting: deque[Request] = deque()
        self._arrived = threading.Condition()
        self._open: dict[int, Request] = {}  # used by the thread only
        threading.Thread(target=self._read, args=(stream, on_end), name="requests", daemon=True).start()

    def take(self, timeout_s: float | None) -> Request | None:
        """Return the next request that is not cancelled; ``None`` if there was none for ``timeout_s``."""
        with self._arrived:
            while self._arrived.wait_for(lambda: self._waiting, timeout_s):
                request = self._waiting.popleft()
                if request.is_open:
                    return request
        return None

    def _read(self, stream: BinaryIO, on_end: Callable[[], object]) -> None:
        try:
            for line in _lines(stream):
                if line is None or line.strip():
                    self._accept(line)
        finally:  # a worker without input must not stay
            on_end()

    def _accept(self, line: bytes | None) -> None:
        """Take a line as a request, or answer why not. ``None`` is a line that is too long."""
        number: int | None = None
        try:
            fields = _parsed(line)
            number, name = _identity(fields)
            if name == "cancel":
                if found := self._open.get(number):
                    found.cancel()
                return
            self._open = {known: request for known, request in self._open.items() if request.is_open}
            if number in self._open:
                number, taken = None, number  # this is not the answer to the first one
                raise InputError(f"request id {taken} is in use", "use increasing numbers")
            self._put(Request(number, name, fields, self._events, len(line or b"")))
        except Exception as error:  # nothing that a line says may end the thread
            self._events("error", id=number, **_told(as_leuda_error(error, "report the problem and attach the log")))

    def _put(self, request: Request) -> None:
        with self._arrived:
            if self._is_full(request.size):
                self._waiting = deque(other for other in self._waiting if other.is_open)
            if self._is_full(request.size):
                what = f"{len(self._waiting)} requests are waiting"
                raise InputError(what, "wait for their answers, or cancel them, before you send more")
            self._open[request.id] = request
            self._waiting.append(request)
            self._arrived.notify()

    def _is_full(self, size: int) -> bool:
        if len(self._waiting) >= MOST_WAITING:
            return True
        return size + sum(request.size for request in self._waiting) > MOST_WAITING_BYTES


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yield the lines of a stream; ``None`` for one that is too long, of which only one piece at a time is kept."""
    while line := stream.readline(LONGEST_LINE + 1):
        too_long = len(line) > LONGEST_LINE
        while too_long and line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)
        yield None if too_long else line


def _parsed(line: bytes | None) -> dict[str, Any]:
    if line is None:
        raise InputError(f"a request has more than {LONGEST_LINE} bytes", "send several smaller requests")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"a request is not valid JSON ({error})", "write one JSON object per line") from error
    if not isinstance(fields, dict):
        raise InputError(
            f"a request is a JSON {type(fields).__name__}, not an object", "write one JSON object per line"
        )
    return fields


def _identity(fields: dict[str, Any]) -> tuple[int, str]:
    number, name = fields.get("id"), fields.get("request")
    if type(number) is not int or not isinstance(name, str):
        raise InputError(f"a request has id {number!r} and request {name!r}", "give an integer and a name")
    return number, name


def _told(error: LeudaError) -> dict[str, str]:
    """Return the fields of an error's event."""
    message = error.message if len(error.message) <= _LONGEST_TEXT else error.message[:_LONGEST_TEXT] + " …"
    return {"kind": error.kind, "message": message, "remedy": error.remedy[:_LONGEST_TEXT]}

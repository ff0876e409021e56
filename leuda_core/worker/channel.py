"""The worker's two pipes: a thread reads requests, and events are written as whole lines.

The thread answers a cancelled request immediately, whatever the main thread is doing; the main thread notices it at its
next check and drops the work. Standard library only: the first line must not wait for torch.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from leuda_core.errors import Cancelled, InputError, LeudaError

PROTOCOL = 1
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

    def __init__(self, number: int, name: str, fields: dict[str, Any], events: Events) -> None:
        self.id, self.name, self.fields = number, name, fields
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
        self._answer("error", kind=error.kind, message=error.message, remedy=error.remedy)

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
                self._answered = True
                self._events(event, id=self.id, **fields)


class Inbox:
    """Reads requests in a thread, returns them in order, and allows cancelling each at any time.

    Args:
        stream: requests, one JSON object per line; an invalid line is answered with an error and ignored.
        on_end: called in the thread when the stream ends.
    """

    def __init__(self, stream: BinaryIO, events: Events, on_end: Callable[[], object]) -> None:
        self._events = events
        self._waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._open: dict[int, Request] = {}  # used by the thread only
        threading.Thread(target=self._read, args=(stream, on_end), name="requests", daemon=True).start()

    def take(self, timeout_s: float | None) -> Request | None:
        """Return the next request that is not cancelled; ``None`` if there was none for ``timeout_s``."""
        while True:
            try:
                request = self._waiting.get(timeout=timeout_s)
            except queue.Empty:
                return None
            if request.is_open:
                return request

    def _read(self, stream: BinaryIO, on_end: Callable[[], object]) -> None:
        try:
            for line in stream:
                if line.strip():
                    self._accept(line)
        finally:  # a worker without input must not stay
            on_end()

    def _accept(self, line: bytes) -> None:
        number = None
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
        except InputError as error:
            self._events("error", id=number, kind=error.kind, message=error.message, remedy=error.remedy)
            return
        self._open[number] = Request(number, name, fields, self._events)
        self._waiting.put(self._open[number])


def _parsed(line: bytes) -> dict[str, Any]:
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

"""The event stream of a run: a file of JSON lines, written by one process and read by any number of others.

Kinds: ``start``, ``progress``, ``metric``, ``preview``, ``checkpoint``, ``end``, ``error``. Readers ignore kinds and
keys they do not know. Standard library only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class EventWriter:
    """Appends events to a file, each as one line in one write, so that readers never see parts of events mixed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size:
            with open(path, "ab") as stream:  # complete the partial line of a killed writer
                stream.write(b"\n")

    def __call__(self, kind: str, /, **fields: Any) -> None:
        line = json.dumps({"event": kind, "time": round(time.time(), 3), **fields}, separators=(",", ":")) + "\n"
        # With O_APPEND, seeking and writing are one operation.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self._path, flags, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def read_events(path: Path, offset: int = 0, most_bytes: int = -1) -> tuple[list[dict[str, Any]], int]:
    """Return the complete events after byte ``offset``, and the offset to continue from.

    ``most_bytes``, if not negative, limits how much is read at once; it must be larger than any single event.

    A last line without newline is still being written and is left for the next call. A line that is not a JSON object
    (truncated by a killed writer) is skipped. A missing file is treated as empty.
    """
    try:
        with open(path, "rb") as stream:
            stream.seek(offset)
            data = stream.read(most_bytes)
    except FileNotFoundError:
        return [], offset
    end = data.rfind(b"\n") + 1
    events = []
    for line in data[:end].splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "event" in event:
            events.append(event)
    return events, offset + end


def seconds_at_work(events: Sequence[dict[str, Any]]) -> float:
    """Return the working time of a run, without the pauses between a stop and the next start."""
    seconds, begin, last = 0.0, None, 0.0
    for event in [*events, {"event": "start", "time": 0.0}]:
        if event["event"] == "start":
            seconds += last - begin if begin is not None else 0.0
            begin = event.get("time", 0.0)
        last = event.get("time", last)
    return seconds

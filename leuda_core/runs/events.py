"""The event stream of a run: a file of JSON lines, written by one process and read by any number of others.

Kinds: ``start``, ``plan``, ``progress``, ``metric``, ``preview``, ``checkpoint``, ``watch``, ``warning``, ``end``,
``error``.
Readers ignore kinds and keys they do not know. Standard library only.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from leuda_core.errors import lacks_space
from leuda_core.io.files import write_error
from leuda_core.io.private import open_file

logger = logging.getLogger(__name__)

LONGEST_LINE = 1 << 20
"""Bytes after which a line is none of ours; it is skipped without being kept."""
_LATEST_S = 1e11  # seconds since 1970
_MOST_DIGITS = 18


class EventWriter:
    """Appends events to a file, each as one line in one write, so that readers never see parts of events mixed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, kind: str, /, **fields: Any) -> None:
        """Append an event. On a full disk it is left out: the work itself may still succeed.

        Raises:
            InputError: the file cannot be written, for another reason.
        """
        line = json.dumps({"event": kind, "time": round(time.time(), 3), **fields}, separators=(",", ":")) + "\n"
        # With O_APPEND, seeking and writing are one operation.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        try:
            with open(open_file(self._path, flags), "rb+", buffering=0) as stream:
                append_line(stream, line.encode())
        except OSError as error:
            if not lacks_space(error):
                raise write_error(self._path, error) from error
            logger.warning("no space left for the event %s in %s", kind, self._path)


def append_line(stream: BinaryIO, line: bytes) -> None:
    """Append a whole line or nothing; a partial line of a killed writer is completed first.

    Raises:
        OSError: the line could not be written.
    """
    size = stream.seek(0, os.SEEK_END)
    if size:
        stream.seek(size - 1)
        line = line if stream.read(1) == b"\n" else b"\n" + line
    try:
        while line:
            line = line[stream.write(line) :]  # less is written where the disk gets full
    except OSError:
        stream.truncate(size)
        raise


def read_events(path: Path, offset: int = 0, most_bytes: int = -1) -> tuple[list[dict[str, Any]], int]:
    """Return the complete events after byte ``offset``, and the offset to continue from.

    ``most_bytes``, if not negative, is about how much is read at once; the line in which it ends is read as a whole.

    A last line without newline is still being written and is left for the next call. A line that is not an event
    (truncated by a killed writer, or with numbers that no training has) is skipped, and a time that is none is left
    out. A missing file is treated as empty.
    """
    found: list[dict[str, Any]] = []
    begin = offset
    try:
        with open(path, "rb", opener=open_file) as stream:
            for line in whole_lines(stream, offset):
                offset += len(line)
                if event := _event(line):
                    found.append(event)
                if 0 <= most_bytes <= offset - begin:
                    break
    except FileNotFoundError:
        pass
    return found, offset


def whole_lines(stream: BinaryIO, offset: int) -> Iterator[bytes]:
    """Yield the complete lines from byte ``offset``; one of more than ``LONGEST_LINE`` bytes in pieces of this size."""
    stream.seek(offset)
    while line := stream.readline(LONGEST_LINE):
        if len(line) < LONGEST_LINE and not line.endswith(b"\n"):
            return
        yield line


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line, parse_int=_whole)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    time_s = event.get("time", 0.0)
    if not isinstance(time_s, int | float) or not 0 <= time_s < _LATEST_S:
        del event["time"]
    return event


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:  # no step, and no float
        raise ValueError("too large")
    return int(digits)


def seconds_at_work(events: Sequence[dict[str, Any]]) -> float:
    """Return the working time of a run, without the pauses between a stop and the next start."""
    seconds, begin, last = 0.0, None, 0.0
    for event in [*events, {"event": "start", "time": 0.0}]:
        if event["event"] == "start":
            seconds += last - begin if begin is not None else 0.0
            begin = event.get("time", 0.0)
        last = event.get("time", last)
    return seconds

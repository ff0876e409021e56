"""The worker as a reader of lines: in this process, with its own thread, queue and engine."""

from __future__ import annotations

import io
import json
import os
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from leuda_core.worker.channel import Events, Inbox
from leuda_core.worker.server import Server

if TYPE_CHECKING:
    from fuzz.targets import Tries


def answer_lines(folder: Path, tries: Tries) -> None:
    """Answer the lines of a file as the worker would: each line once, and none as a fault of ours."""
    os.chdir(folder)  # the paths in the lines are relative
    file, answers, ended = folder / "requests.jsonl", io.BytesIO(), threading.Event()
    lines = file.read_bytes() if file.is_file() else b""
    inbox = Inbox(io.BytesIO(lines), Events(answers), on_end=ended.set)
    ended.wait()
    while request := inbox.take(0):
        _server().answer(request)
    told = [json.loads(line) for line in answers.getvalue().splitlines()]
    final = [event for event in told if event["event"] in ("done", "error")]
    assert len(final) == _wanted(lines), f"{len(final)} answers to {_wanted(lines)} lines"
    faults = [event["message"] for event in final if event.get("kind") == "fault"]
    assert not faults, faults[0]
    tries.accepted += all(event["event"] == "done" for event in final)


@cache
def _server() -> Server:
    return Server()


def _wanted(lines: bytes) -> int:
    """Return how many lines must be answered: all but blank ones and cancellations."""
    return sum(bool(line.strip()) and not _is_cancel(line) for line in lines.split(b"\n"))


def _is_cancel(line: bytes) -> bool:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and fields.get("request") == "cancel" and type(fields.get("id")) is int

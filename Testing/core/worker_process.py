"""A worker process as its client sees it: lines in, events out."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from repository import ROOT

Event = dict[str, Any]


class WorkerProcess:
    """Starts a worker; every event is kept in ``events`` with the time of its arrival, ``at`` (monotonic seconds)."""

    def __init__(self, *words: str, code: str = "", env: dict[str, str] | None = None) -> None:
        """Start ``python -m leuda_core.worker``; ``code`` is run in the process first."""
        run = "import runpy; runpy.run_module('leuda_core.worker', run_name='__main__', alter_sys=True)"
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{code}\n{run}", *words],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.events: list[Event] = []
        self.log = bytearray()
        self._arrived: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_events, self._read_log)]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()

    def send(self, request: str, number: int, **fields: Any) -> None:
        self.send_line(json.dumps({"request": request, "id": number, **fields}, default=str))

    def send_line(self, line: str | bytes) -> None:
        self.process.stdin.write((line.encode() if isinstance(line, str) else line) + b"\n")
        self.process.stdin.flush()

    def wait_for(self, *kinds: str, number: int | None = None, timeout_s: float = 60.0, **values: Any) -> Event:
        """Return the next event of one of the kinds, about one request, with these values; others are passed over."""
        deadline = time.monotonic() + timeout_s
        while True:
            event = self._arrived.get(timeout=max(0.0, deadline - time.monotonic()))
            wanted = {**values, **({} if number is None else {"id": number})}
            if event["event"] in kinds and all(event.get(key) == value for key, value in wanted.items()):
                return event

    def answer(self, number: int, timeout_s: float = 60.0) -> Event:
        return self.wait_for("done", "error", number=number, timeout_s=timeout_s)

    def result(self, request: str, number: int, **fields: Any) -> Event:
        """Send a request and return the result, or fail with what went wrong."""
        self.send(request, number, **fields)
        answer = self.answer(number)
        assert answer["event"] == "done", answer
        return answer["result"]

    def _read_events(self) -> None:
        for line in self.process.stdout:
            event = {**json.loads(line), "at": time.monotonic()}
            self.events.append(event)
            self._arrived.put(event)

    def _read_log(self) -> None:
        for line in self.process.stderr:
            self.log += line


def anonymous_mib(pid: int) -> int:
    """Return the memory of a process that is not that of a file, in MiB; 0 where the system does not tell."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("RssAnon:")), 0)

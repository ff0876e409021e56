"""A process with all its descendants. PythonSlicer is a launcher: ending only the launcher would leave Python running.

In Python, Qt cannot start a child in its own session. The tree is therefore determined when it has to end, while the
launcher still connects it. A process is identified by id and start time, in case the system reuses the id. A detached
training has its own process group and is not part of the tree.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    group: int
    started: str


class ProcessTree:
    """The process ``pid`` and its present descendants; ``launcher``: the first process only waits for the next."""

    def __init__(self, pid: int, *, launcher: bool = False) -> None:
        self._pid = pid
        self._launcher = launcher
        self._members = [] if os.name == "nt" else _family(pid, _processes())

    @property
    def pids(self) -> list[int]:
        """The ids of all members, the root first."""
        return [member.pid for member in self._members]

    def interrupt(self) -> bool:
        """Ask all of them to end, so that they can clean up; return whether this system supports it.

        A launcher is not asked: it ends with its child, and passes on its output until then. The signal is not that of
        Ctrl+C, which the children of a Slicer in the background ignore.
        """
        if os.name == "nt":  # it has no signal for a process without a console
            return False
        several = self._launcher and len(self._members) > 1
        self._signal(signal.SIGTERM, self._members[1:] if several else self._members)
        return True

    def kill(self) -> None:
        """Kill all of them."""
        if os.name == "nt":
            _taskkill(self._pid)
        else:
            self._signal(signal.SIGKILL, self._members)

    @staticmethod
    def _signal(number: int, members: list[_Process]) -> None:
        now = {process.pid: process for process in _processes()}
        for member in members:
            current = now.get(member.pid)
            if current is not None and current.started == member.started:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(member.pid, number)


def _family(root: int, processes: list[_Process]) -> list[_Process]:
    known = {process.pid: process for process in processes}
    if root not in known:
        return []
    found = [known[root]]
    for process in found:  # the list grows during the loop
        found += [child for child in processes if child.parent == process.pid and child.group == known[root].group]
    return found


def _processes() -> list[_Process]:
    proc = Path("/proc/self/stat")
    return _from_proc() if proc.exists() else _from_ps()


def _from_proc() -> list[_Process]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):  # the process may have ended meanwhile
                text = Path(f"/proc/{entry}/stat").read_text(errors="replace")
                fields = text.rpartition(")")[2].split()  # the name before it may contain anything
                found.append(_Process(int(entry), int(fields[1]), int(fields[2]), fields[19]))
    return found


def _from_ps() -> list[_Process]:
    """Return the processes that ``ps`` lists, for systems without /proc (macOS)."""
    columns = ["-o", "pid=", "-o", "ppid=", "-o", "pgid=", "-o", "lstart="]
    listing = subprocess.run(["ps", "-A", *columns], capture_output=True, text=True, check=False).stdout
    rows = [line.split(None, 3) for line in listing.splitlines()]
    return [_Process(int(row[0]), int(row[1]), int(row[2]), row[3]) for row in rows if len(row) == 4]


def _taskkill(pid: int) -> None:
    """Kill a tree on Windows, without showing a console window."""
    command = [shutil.which("taskkill") or "taskkill", "/T", "/F", "/PID", str(pid)]
    subprocess.run(command, check=False, capture_output=True, creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0))

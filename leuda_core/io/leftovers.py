"""Temporary names that tell which process uses them, so that those of killed processes can be removed.

A name holds the machine, the process id and the start time of the process. What a living process of this machine made
is never removed; where the process is unknown (another machine, another system), its age decides. Standard library
only.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from leuda_core.io.private import folder_mode, make_private_folder

TEMPORARY_PREFIX = ".tmp-"
"""Prefix of unfinished files and folders, which makes them hidden."""

_OWNER = re.compile(r"([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{8}(?:-|$)")  # machine, process, start, random
_LONGEST_NAME = 40  # characters of the final name that are kept: a temporary name has at most 255 bytes, too
OLD_S = 3 * 24 * 3600.0
"""Age in seconds after which nobody still writes a file."""


@cache
def machine() -> str:
    """Return what tells this machine from others, and a container from its host: process ids mean nothing there."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def temporary_name(name: str = "", *, prefix: str = TEMPORARY_PREFIX) -> str:
    """Return a new name for an unfinished file or folder of this process; it ends like ``name``."""
    me = os.getpid()
    parts = [machine(), str(me), str(start_ticks(me)), secrets.token_hex(4), *([name[-_LONGEST_NAME:]] if name else [])]
    return prefix + "-".join(parts)


@contextmanager
def temporary_folder(parent: Path, *, prefix: str = TEMPORARY_PREFIX) -> Iterator[Path]:
    """Give a new private folder in ``parent`` that is removed at the end; leftovers there are removed first.

    Raises:
        OSError: it cannot be created.
    """
    folder = make_temporary_folder(parent, prefix=prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_temporary_folder(parent: Path, *, prefix: str) -> Path:
    """Create a private folder that the caller removes, after removing those with this prefix of killed processes.

    Raises:
        OSError: it cannot be created.
    """
    make_private_folder(parent)
    remove_leftovers(parent, prefix=prefix, unknown_s=math.inf if prefix == TEMPORARY_PREFIX else OLD_S)
    folder = parent / temporary_name(prefix=prefix)
    folder.mkdir(folder_mode())
    return folder


def remove_leftovers(folder: Path, *, prefix: str = TEMPORARY_PREFIX, unknown_s: float = math.inf) -> None:
    """Remove unfinished files and folders of processes that have ended; what cannot be removed stays.

    Args:
        unknown_s: also those of this age whose name tells no process, as in earlier versions; for folders of leuda.
    """
    try:
        with os.scandir(folder) as entries:
            found = [Path(entry.path) for entry in entries if entry.name.startswith(prefix)]
    except OSError:
        return
    for path in found:
        with suppress(OSError):  # another process may be faster
            if _is_leftover(path, prefix, unknown_s):
                remove(path)


def _is_leftover(path: Path, prefix: str, unknown_s: float) -> bool:
    match, facts = _OWNER.match(path.name, len(prefix)), path.lstat()
    if hasattr(os, "getuid") and facts.st_uid != os.getuid():  # in a folder that users share
        return False
    age_s = time.time() - facts.st_mtime
    if match is None:
        return age_s >= unknown_s
    place, pid, start = match[1], int(match[2]), int(match[3])
    alive = is_alive(pid, start) if place == machine() else None
    return age_s >= OLD_S if alive is None else not alive


def remove(path: Path) -> None:
    """Remove a folder with its contents, or what else is there, as far as possible."""
    if path.is_dir() and not path.is_symlink():  # of a pipe, rmtree would wait for a writer
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def is_alive(pid: int, start: int) -> bool | None:
    """Return whether a process of this machine lives; ``None`` if the system does not tell.

    Args:
        start: its start time in kernel ticks, 0 if unknown.
    """
    fields = _stat_fields(pid)
    if start and fields:
        return fields[0] not in ("Z", "X") and int(fields[19]) == start  # a zombie has ended
    if os.name != "posix":
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError) as error:  # another user's process lives; so large a number has none
        return isinstance(error, PermissionError)
    return True


def start_ticks(pid: int) -> int:
    """Return the start time of a process in kernel ticks, which identifies it together with its id. 0 if unknown."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else 0


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` from the third, the state; empty if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    fields = text.rpartition(")")[2].split()  # the name of the process, before it, may contain any characters
    return fields if len(fields) > 19 else []

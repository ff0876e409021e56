"""Locks of the operating system on files, and what a file system answers that has none. Standard library only."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NO_LOCKS = {
    number
    for name in ("ENOLCK", "ENOSYS", "EOPNOTSUPP", "ENOTSUP", "EINVAL", "EACCES", "EPERM", "EPROTONOSUPPORT")
    if (number := getattr(errno, name, None)) is not None
}
"""What file systems answer that cannot lock files: Linux's 37, 38 and 95, and less clear ones."""

_LOCKED_BYTE = 1 << 30  # Windows locks are mandatory: lock a byte beyond the text, which must stay readable
_MOUNTS = Path("/proc/mounts")


def try_lock(descriptor: int, *, shared: bool) -> bool:
    """Lock an open file, and return whether that succeeded; ``False`` if another process has locked it.

    Raises:
        OSError: the file cannot be locked; its number may be in ``NO_LOCKS``.
    """
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except PermissionError:
        if sys.platform == "win32":  # there, the answer for a byte that is locked
            return False
        raise
    return True


def unlock(descriptor: int) -> None:
    """Release a lock of this process."""
    if sys.platform == "win32":
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def file_system(path: Path) -> str:
    """Return the type and the place of the file system that contains a path, such as ``nfs4 at /home``; else empty."""
    place, best = os.path.realpath(path), ("", "")
    try:
        lines = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        _, mount, kind, *_ = [*line.split(" "), "", "", ""]
        mount = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), mount)
        if mount and len(mount) >= len(best[0]) and Path(place).is_relative_to(mount):
            best = (mount, kind)
    return f"{best[1]} at {best[0]}" if best[0] else ""

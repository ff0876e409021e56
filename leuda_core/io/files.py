"""Files that are whole or not there: every write goes to a temporary sibling, which replaces the old file at the end.

A full disk, a lost connection or a killed process therefore leaves the previous file as it was. Standard library only.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

from leuda_core.errors import InputError, LeudaError

TEMPORARY_PREFIX = ".tmp-"
"""Of unfinished files and folders: hidden, so that whoever lists a folder leaves them out."""

_NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FREE_SPACE = "free space on the disk or choose another folder"


def write_error(path: Path, error: OSError) -> LeudaError:
    """Return the error that tells a user why ``path`` could not be written."""
    if error.errno in _NO_SPACE:
        return LeudaError(f"cannot write '{path}': no space left", _FREE_SPACE)
    reason = (error.strerror or str(error)).lower()
    return InputError(f"cannot write '{path}': {reason}", "choose a folder that exists and that you may write to")


def incomplete_error(path: Path) -> LeudaError:
    """Return the error for a file that came out incomplete though nothing was reported, as on a disk that filled up."""
    return LeudaError(f"cannot write '{path}': the file came out incomplete, the disk may be full", _FREE_SPACE)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; on success it replaces ``path``, on any failure it is removed.

    The temporary name ends like ``path`` (``.nii.gz`` stays ``.nii.gz``), so writers that look at the extension work.
    Missing parent folders are made. A symbolic link is followed.

    Raises:
        LeudaError: the disk is full. InputError: the place cannot be written.
    """
    final = Path(os.path.realpath(path))
    temporary = final.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}-{final.name}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        os.replace(temporary, final)
        _flush_folder(final.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    with suppress(OSError):  # after a failure the folder itself may be missing or gone
        path.unlink()


def _flush(path: Path) -> None:
    """Put a file on the disk itself: file systems that write late report a full disk only here."""
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems cannot flush a folder; the file itself is safe
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def fill_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Make a folder with these files, all of them on the disk itself; for a temporary one, to be moved when whole.

    Raises:
        OSError: as it comes, for the caller to name the folder that the user knows.
    """
    folder.mkdir()
    for name, data in contents.items():
        with open(folder / name, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically as UTF-8, with the line ends it has."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, obj: Any) -> None:
    """Write ``obj`` atomically as indented JSON with a final newline; NaN and infinity are refused (not JSON)."""
    write_text(path, json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def check_output_folder(path: Path) -> None:
    """Check that files can be written into ``path``, existing or to be made, and leave nothing behind.

    Raises:
        InputError: it cannot be made or written, or it is a file.
    """
    made: list[Path] = []
    try:
        for folder in reversed([path, *path.parents]):
            if not folder.is_dir():
                folder.mkdir()
                made.append(folder)
        probe = path / f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        reason = "a file stands in the way" if error.errno == errno.EEXIST else (error.strerror or str(error)).lower()
        raise InputError(f"cannot write into '{path}': {reason}", "choose another output folder") from error
    finally:
        for folder in reversed(made):
            folder.rmdir()


def existing(path: Path) -> set[Path]:
    """Return what is there before work on a folder: the folders on the way to it, and what it holds."""
    found = {folder for folder in (path, *path.parents) if folder.exists()}
    return found | set(path.iterdir()) if path.is_dir() else found


def remove_new(path: Path, kept: set[Path]) -> None:
    """Take everything away again that came into a folder, and the folder, unless it is among the ``existing``."""
    for entry in set(path.iterdir()) - kept:
        if entry.is_dir():
            rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    with suppress(OSError):  # a folder that somebody has put something else into stays
        for folder in (path, *path.parents):
            if folder not in kept:
                folder.rmdir()

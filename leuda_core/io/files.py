"""Atomic writing of files: data goes to a temporary file in the same folder, which then replaces the old one.

After a full disk, a lost connection or a killed process, the previous file is unchanged. Standard library only.
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
"""Prefix of unfinished files and folders, which makes them hidden."""

_NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FREE_SPACE = "free disk space or choose another folder"


def write_error(path: Path, error: OSError) -> LeudaError:
    """Return the error that explains why ``path`` could not be written."""
    if error.errno in _NO_SPACE:
        return LeudaError(f"cannot write '{path}': no space left", _FREE_SPACE)
    reason = (error.strerror or str(error)).lower()
    return InputError(f"cannot write '{path}': {reason}", "choose an existing folder that you can write to")


def incomplete_error(path: Path) -> LeudaError:
    """Return the error for a file that is incomplete although no error was reported, for example on a full disk."""
    return LeudaError(f"cannot write '{path}': the file is incomplete, the disk may be full", _FREE_SPACE)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path next to ``path`` to write to; on success it replaces ``path``, on failure it is removed.

    The temporary name ends like ``path`` (``.nii.gz`` stays ``.nii.gz``), so writers that depend on the extension work.
    Missing parent folders are created. Symbolic links are followed.

    Raises:
        LeudaError: the disk is full. InputError: the path cannot be written.
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
    with suppress(OSError):  # after a failure, the folder itself may be missing
        path.unlink()


def _flush(path: Path) -> None:
    """Flush a file to the disk: some file systems report a full disk only then."""
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
        pass  # some network file systems cannot flush folders; the file itself is safe
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def fill_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Create a (temporary) folder with these files, all flushed to the disk.

    Raises:
        OSError: unchanged, so that the caller can name the final folder.
    """
    folder.mkdir()
    for name, data in contents.items():
        with open(folder / name, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically as UTF-8, without changing its line endings."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, obj: Any) -> None:
    """Write ``obj`` atomically as indented JSON with a final newline; NaN and infinity are rejected (not JSON)."""
    write_text(path, json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def check_output_folder(path: Path) -> None:
    """Check that files can be written into ``path``, which need not exist yet; leaves nothing behind.

    Raises:
        InputError: it cannot be created or written, or it is a file.
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
        reason = "a file is in the way" if error.errno == errno.EEXIST else (error.strerror or str(error)).lower()
        raise InputError(f"cannot write into '{path}': {reason}", "choose another output folder") from error
    finally:
        for folder in reversed(made):
            folder.rmdir()


def existing(path: Path) -> set[Path]:
    """Return what exists before work on a folder: the folder, its parents and its contents."""
    found = {folder for folder in (path, *path.parents) if folder.exists()}
    return found | set(path.iterdir()) if path.is_dir() else found


def remove_new(path: Path, kept: set[Path]) -> None:
    """Remove the new contents of a folder, and the folder and its parents if they are new, given the ``existing``."""
    for entry in set(path.iterdir()) - kept:
        if entry.is_dir():
            rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    with suppress(OSError):  # folders that others have put files into stay
        for folder in (path, *path.parents):
            if folder not in kept:
                folder.rmdir()

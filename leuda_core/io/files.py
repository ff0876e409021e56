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
from typing import Any

from leuda_core.errors import FREE_SPACE, InputError, LeudaError, lacks_space, reason_of
from leuda_core.io.leftovers import TEMPORARY_PREFIX, remove, remove_leftovers, temporary_name
from leuda_core.io.names import real_path
from leuda_core.io.private import file_mode, folder_mode, make_private_folder, open_private

_PROBE_BYTES = 1 << 16


def write_error(path: Path, error: Exception) -> LeudaError:
    """Return the error that explains why ``path`` could not be written."""
    if lacks_space(error):
        return LeudaError(f"cannot write '{path}': no space left", FREE_SPACE)
    return InputError(f"cannot write '{path}': {reason_of(error)}", "choose an existing folder that you can write to")


def incomplete_error(path: Path) -> LeudaError:
    """Return the error for a file that is incomplete although no error was reported, for example on a full disk."""
    return LeudaError(f"cannot write '{path}': the file is incomplete, the disk may be full", FREE_SPACE)


@contextmanager
def atomic_path(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Give a temporary file next to ``path`` to write to; on success it replaces ``path``, on failure it is removed.

    The temporary name ends like ``path`` (``.nii.gz`` stays ``.nii.gz``), so writers that depend on the extension work.
    Missing parent folders are created. Symbolic links are followed. Unfinished files that killed processes left in the
    folder are removed.

    Args:
        private: the file, and folders that are created for it, are for their owner alone; otherwise the umask decides.

    Raises:
        LeudaError: the disk is full. InputError: the path cannot be written.
    """
    final = replaceable(path)
    temporary = final.with_name(temporary_name(final.name))
    try:
        _make_parent(final, private)
        remove_leftovers(final.parent)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file_mode() if private else 0o666))
        yield temporary
        _flush(temporary)
        os.replace(temporary, final)
        _flush_folder(final.parent)
    except OSError as error:
        raise write_error(path, error) from error
    except Exception as error:
        if not isinstance(error, InputError) and (lacks_space(error) or is_full(temporary)):
            raise LeudaError(f"cannot write '{path}': no space left", FREE_SPACE) from error
        raise
    finally:
        remove(temporary)


def replaceable(path: Path) -> Path:
    """Return the real path of a file that a new one may replace, or that does not exist.

    Raises:
        InputError: it is a device or a pipe, or the system does not allow its name.
    """
    try:
        final = real_path(path)
        if final.exists() and not final.is_file() and not final.is_dir():
            raise InputError(f"cannot write '{path}': it is a device or a pipe", "choose the name of a file")
    except (OSError, ValueError) as error:  # ValueError: no name that the system allows
        raise write_error(path, error) from error
    return final


def _make_parent(path: Path, private: bool) -> None:
    if private:
        make_private_folder(path.parent)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)


def is_full(path: Path) -> bool:
    """Return whether nothing can be appended to a file, which this changes: some writers do not say why they failed."""
    try:
        with open(path, "ab", buffering=0) as stream:
            left = _PROBE_BYTES
            while left:
                left -= stream.write(bytes(left)) or 0
            os.fsync(stream.fileno())
    except OSError as error:
        return lacks_space(error)
    return False


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


def write_bytes(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write ``data`` atomically; ``private`` as for ``atomic_path``."""
    with atomic_path(path, private=private) as temporary:
        temporary.write_bytes(data)


def fill_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Create a (temporary) private folder with these files, all flushed to the disk.

    Raises:
        OSError: unchanged, so that the caller can name the final folder.
    """
    folder.mkdir(folder_mode())
    for name, data in contents.items():
        with open_private(folder / name, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically as UTF-8, without changing its line endings."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, obj: Any, *, private: bool = False) -> None:
    """Write ``obj`` atomically as indented JSON with a final newline; NaN and infinity are rejected (not JSON)."""
    text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    data = text.encode("utf-8", "backslashreplace")  # \udc80 for a byte of a file name that is not text
    write_bytes(path, data, private=private)


def check_output_folder(path: Path) -> None:
    """Check that files can be written into ``path``, which need not exist yet; leaves nothing behind.

    Raises:
        InputError: it cannot be created or written, or it is a file. LeudaError: the disk is full.
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
        if lacks_space(error):
            raise write_error(path, error) from error
        reason = "a file is in the way" if error.errno == errno.EEXIST else reason_of(error)
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
    for entry in (set(path.iterdir()) if path.is_dir() else set()) - kept:
        remove(entry)
    with suppress(OSError):  # folders that others have put files into stay
        for folder in (path, *path.parents):
            if folder not in kept:
                folder.rmdir()

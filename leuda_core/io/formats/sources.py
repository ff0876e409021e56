"""Opens the files that users give, and the data files that their headers name.

Only regular files are opened: a pipe or a device could block for ever or never end. A header may name files in its own
folder alone, so that a file from elsewhere cannot make the program read other files.
"""

from __future__ import annotations

import os
import re
import stat
from io import BufferedReader
from pathlib import Path

from leuda_core.errors import COPY_AGAIN, InputError, reason_of
from leuda_core.io.private import open_file

EXPORT_AGAIN = "open it in the program that made it and export it again"
_MAX_FILES = 100_000
_MAX_NAME = 400
_NUMBER = re.compile(r"%0?\d{0,2}d")


def damaged(path: Path, why: str) -> InputError:
    """Return the error for a file that holds less, or other bytes, than its header says."""
    return InputError(f"'{path}' is truncated or damaged ({why})", COPY_AGAIN)


def unreadable(path: Path, why: str) -> InputError:
    """Return the error for a header that cannot be understood."""
    return InputError(f"'{path}' is not a readable image ({why})", COPY_AGAIN)


def shown(text: object) -> str:
    """Return a value from a file, short enough and safe for a message."""
    short = str(text)[:40]
    return repr(short) if len(str(text)) <= 40 else f"{short!r}…"


def cannot_read(path: Path, error: OSError | ValueError) -> InputError:
    """Return the error for a file that the operating system does not give."""
    return InputError(f"'{path}' cannot be read: {reason_of(error)}", "check the path and its permissions")


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file, or a symbolic link to one, for reading bytes; never waits for another process.

    Raises:
        InputError: it does not exist, is no regular file, or may not be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"'{path}' is not a regular file", "give a volume file or a DICOM folder")
        return open(path, "rb", opener=open_file)  # the path can be replaced by a pipe after the check
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist", "check the path") from error
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from error


def size_of(stream: BufferedReader) -> int:
    return os.fstat(stream.fileno()).st_size


def beside(header: Path, name: str) -> Path:
    """Return the data file that a header names, which must lie in the header's folder or below it.

    Raises:
        InputError: it lies elsewhere (symbolic links are resolved).
    """
    folder = os.path.realpath(header.parent)
    if len(name) > _MAX_NAME:
        raise unreadable(header, f"its data file {shown(name)} has no valid name")
    try:
        real = os.path.realpath(os.path.join(folder, name))
    except (OSError, ValueError) as error:
        raise unreadable(header, f"its data file {shown(name)} has no valid name") from error
    if not name or os.path.commonpath([folder, real]) != folder:
        what = f"'{header}' names a data file outside its folder: {shown(name)}"
        raise InputError(what, "put header and data file into one folder, or save the volume as one file")
    return Path(real)


def numbered(header: Path, words: list[str]) -> list[Path]:
    """Return the data files of a pattern such as ``slice%03d.raw 1 20 1`` (first, last, step; a dimension may follow).

    Raises:
        InputError: not such a pattern, or too many files.
    """
    pattern, numbers = words[0], words[1:4]
    if len(numbers) < 3 or len(_NUMBER.findall(pattern)) != 1 or not all(map(_is_short, numbers)):
        raise unreadable(header, f"its data files {shown(' '.join(words))} are no pattern with first, last and step")
    first, last, step = map(int, numbers)
    found = range(first, last + (1 if step > 0 else -1), step) if step else range(0)
    if not 0 < len(found) <= _MAX_FILES:
        raise unreadable(header, f"its pattern of data files means {len(found)} files")
    before, after = _NUMBER.split(pattern)
    form = _NUMBER.findall(pattern)[0]
    return [beside(header, before + form % number + after) for number in found]


def _is_short(word: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,6}", word) is not None


def listed(header: Path, names: list[str]) -> list[Path]:
    """Return the data files of a list in the header.

    Raises:
        InputError: the list is empty or too long, or a file lies elsewhere.
    """
    if not 0 < len(names) <= _MAX_FILES:
        raise unreadable(header, f"it lists {len(names)} data files")
    return [beside(header, name) for name in names]

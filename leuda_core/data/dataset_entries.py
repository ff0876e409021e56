"""Reading a dataset file, and its entries with a meaning: the paths of volumes and the values of labels."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from leuda_core.errors import InputError, reason_of
from leuda_core.io.names import real_path

MOST_BYTES = 64 * 2**20
"""Size of the largest dataset file: some 200,000 cases."""

MAX_LABEL_VALUE = 65535

_NOT_ALLOWED = {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}


def read_dataset_bytes(path: Path) -> bytes:
    """Return the content of a dataset file.

    Raises:
        InputError: it does not exist, is no regular file, is huge, or cannot be read.
    """
    try:
        str(path.absolute()).encode("utf-8")  # a run records this path
        if os.path.exists(path) and not os.path.isdir(path) and not os.path.isfile(path):
            raise InputError(f"dataset file {path} is not a regular file", "give the dataset's JSON file")
        with open(path, "rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"dataset file {path} does not exist", "check the path") from error
    except OSError as error:
        remedy = "give the dataset's JSON file" if os.path.isdir(path) else "check the path and its permissions"
        raise InputError(f"dataset file {path} cannot be read: {reason_of(error)}", remedy) from error
    except ValueError as error:  # a null character, or bytes that are not text
        remedy = "rename the file or its folder, or set PYTHONUTF8=1 for a name that is UTF-8"
        raise InputError(f"dataset file {str(path)!a} cannot be read: {error}", remedy) from error
    if len(content) > MOST_BYTES:
        what = f"dataset file {path} has more than {MOST_BYTES} bytes"
        raise InputError(what, "give the dataset's JSON file, not a volume")
    return content


class CasePaths:
    """Turns the paths in a dataset file into paths of files.

    Relative paths start at the folder of the dataset file. If the file is a symbolic link, a path that leads to nothing
    from the folder of the link starts at the folder of its target.
    """

    def __init__(self, dataset: Path) -> None:
        folders = (real_path(dataset.parent), real_path(dataset).parent)
        self._name, self._folders = dataset.name, tuple(dict.fromkeys(folders))

    def find(self, text: str, place: str) -> Path:
        """Return the path for the ``text`` at ``place`` of the dataset file, whether or not there is such a file.

        Raises:
            InputError: no file can have this path.
        """
        candidates = [folder / text for folder in self._folders]
        return next((path for path in candidates if self._exists(path, place)), candidates[0])

    def _exists(self, path: Path, place: str) -> bool:
        try:
            os.stat(path)
        except ValueError as error:
            raise self._refusal(path, place, str(error)) from error
        except OSError as error:
            if error.errno in _NOT_ALLOWED:
                raise self._refusal(path, place, reason_of(error)) from error
            return False
        return True

    def _refusal(self, path: Path, place: str, reason: str) -> InputError:
        text = ascii(str(path))
        shown = text if len(text) <= 200 else f"{text[:100]}...{text[-50:]}"
        return InputError(f"{self._name}: {place}: no file can have the path {shown} ({reason})", "correct the path")


def label_value(dataset: str, key: str) -> int:
    """Return the label value that is written as ``key`` in the dataset file of that name.

    Raises:
        InputError: it is not a whole number, or too large.
    """
    shown = key if len(key) <= 40 else f"{key[:20]}... of {len(key)} characters"
    if not key.isdecimal():
        raise InputError(f"{dataset}: label value {shown!r} is not a whole number", "use '1', '2', …")
    digits = key.lstrip("0") or "0"
    if len(digits) > len(str(MAX_LABEL_VALUE)) or int(digits) > MAX_LABEL_VALUE:  # int() limits the number of digits
        raise InputError(f"{dataset}: label value {shown} is too large", f"use values up to {MAX_LABEL_VALUE}")
    return int(digits)

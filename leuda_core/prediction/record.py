"""What was segmented into a folder, so that a second call with the same inputs does only what is missing.

The folder's ``.leuda-segmented.jsonl`` has one line per finished volume: the hash of input, model and options, and the
hash of each output file. An output that somebody has changed since, for example a corrected segmentation, is
recognised by its hash and never replaced without being asked for; nor is a file that the record does not know.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from leuda_core.io.digests import digest
from leuda_core.io.private import open_file
from leuda_core.io.volumes import volume_digest
from leuda_core.runs.events import append_line, whole_lines
from leuda_core.types import SegmentOptions

logger = logging.getLogger(__name__)

NAME = ".leuda-segmented.jsonl"
_LONGEST_NAME = 255  # characters; no file system has longer ones
_LARGEST = 1e15  # seconds or ml; larger whole numbers could not be printed as floats
State = Literal["missing", "done", "changed", "foreign"]


def work_key(source: Path, model: str, options: SegmentOptions) -> str:
    """Return the hash of everything that determines the outputs: the input's content, the model and the options.

    Args:
        model: the checksum of the bundle.

    Raises:
        OSError: the input cannot be read.
    """
    fields = {"input": volume_digest(source), "model": model, "options": asdict(options)}
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


class FolderRecord:
    """The record of one output folder. Reading tolerates lines that a killed process left incomplete."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._path = self.folder / NAME
        self._lines: dict[str, dict[str, Any]] = {}
        self._offset = 0

    def state(self, target: Path, key: str) -> State:
        """Return whether an output must be computed, is done for this ``work_key``, or is the work of somebody else.

        A changed segmentation stays one if the file of its probabilities was deleted.
        """
        self._read_new()
        entry = self._lines.get(target.name)
        if not target.is_file():
            return "missing"
        if entry is None:
            return "foreign"
        present = {name: known for name, known in entry["files"].items() if (target.parent / name).is_file()}
        if any(digest(target.parent / name) != known for name, known in present.items()):
            return "changed"
        return "done" if entry["key"] == key and present.keys() == entry["files"].keys() else "missing"

    def result(self, target: Path) -> dict[str, Any]:
        """Return what was reported when an output was written; nothing is known of the file of somebody else."""
        entry = self._lines.get(target.name)
        return entry["result"] if entry else {"device": "", "seconds": {}, "volumes_ml": {}, "notes": []}

    def add(self, target: Path, key: str, files: Sequence[Path], result: Mapping[str, Any]) -> None:
        """Append an entry. If the folder cannot take it, a second call keeps the file as one that it does not know."""
        try:
            entry = {"output": target.name, "key": key, "files": {file.name: digest(file) for file in files}}
            line = json.dumps({**entry, "result": dict(result)}, separators=(",", ":")) + "\n"
            descriptor = _open_record(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            with open(descriptor, "rb+", buffering=0) as stream:
                append_line(stream, line.encode())
        except OSError as error:
            what = "'%s' cannot be written (%s): a second call does not know that '%s' is done, and keeps it"
            logger.warning(what, self._path, error, target)

    def _read_new(self) -> None:
        """Read the lines that this or another process has appended since the last call."""
        try:
            with open(self._path, "rb", opener=_open_record) as stream:
                for line in whole_lines(stream, self._offset):
                    self._offset += len(line)
                    if entry := _entry(line):
                        self._lines[entry["output"]] = entry
        except OSError:
            return


def _open_record(path: Path | str, flags: int) -> int:
    """Open the record as ``open_file`` does, but follow no link: it would lead to a file that is no record."""
    return open_file(path, flags | getattr(os, "O_NOFOLLOW", 0), private=False)


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return a line's entry, or None for an incomplete or foreign line."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    kinds = {"output": str, "key": str, "files": dict, "result": dict}
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), kind) for name, kind in kinds.items()):
        return None
    names = entry["files"]
    plain = all(isinstance(known, str) and _is_name(name) for name, known in names.items())
    return entry if plain and entry["output"] in names and _is_result(entry["result"]) else None


def _is_name(name: str) -> bool:
    """Return whether this is the name of a file in the folder."""
    return 0 < len(name) <= _LONGEST_NAME and Path(name).name == name


def _is_result(values: Mapping[str, Any]) -> bool:
    """Return whether this is what ``segment_file`` reports; it is reported again for a volume that is done."""
    tables, notes = [values.get("seconds"), values.get("volumes_ml")], values.get("notes")
    return (
        isinstance(values.get("device"), str)
        and all(isinstance(table, dict) and all(map(_is_amount, table.values())) for table in tables)
        and isinstance(notes, list)
        and all(isinstance(note, str) for note in notes)
    )


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= _LARGEST and not isinstance(value, bool)

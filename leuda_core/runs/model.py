"""Whether the model of a run is still there and undamaged. Standard library only, like all of this package."""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path

from leuda_core.io.private import read_file
from leuda_core.runs.folder import Run

_DOCUMENT = "bundle.json"
_SPACES = re.compile(rb'("(?:[^"\\]|\\.)*")|\s+')


def model_problem(run: Run) -> str:
    """Return what is wrong with the model of a run, or nothing.

    Files are read again only if their size or time has changed.
    """
    if not run.bundle.is_dir() or not any(run.bundle.iterdir()):
        return f"the model {run.bundle} does not exist"
    try:
        records = _records(run.bundle / _DOCUMENT)
        damaged = [name for name, record in records.items() if _sha256(run.bundle / name) != record]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        damaged = [_DOCUMENT]
    return f"{damaged[0]} of the model {run.bundle} is missing or damaged" if damaged else ""


def _records(path: Path) -> dict[str, str]:
    """Return the hash that each file of a model must have.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError: the document is missing or damaged.
    """
    data = read_file(path)
    document = json.loads(data)
    checksum = document["checksum"].encode()
    compact = _SPACES.sub(lambda found: found[1] or b"", data).replace(checksum, b"0" * len(checksum))
    if hashlib.sha256(compact).hexdigest().encode() != checksum:
        raise ValueError("checksum")
    return {name: record["sha256"] for name, record in document["files"].items()}


def _sha256(path: Path) -> str:
    try:
        facts = path.stat()
        return _hashed(path, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    except OSError:
        return ""


@lru_cache(maxsize=256)
def _hashed(path: Path, *_facts: int) -> str:
    return hashlib.sha256(read_file(path)).hexdigest()

"""The results of a bench: ``results.jsonl``, one finished run per line, appended by a single write.

Scores are rows of case, label, name, Dice, HD95 and ASD in mm, and state; ``null`` is NaN, a label that is absent from
prediction and reference. Earlier versions wrote one file per run, ``results/NAME.json``, which is still read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec

from leuda_core.bench.results import Result
from leuda_core.earlier import present_settings
from leuda_core.errors import InputError
from leuda_core.evaluation import Score
from leuda_core.io.files import write_error
from leuda_core.runs.events import append_line

RESULTS_FILE = "results.jsonl"


_Row: TypeAlias = list[str | int | float | None]
_Fields: TypeAlias = dict[str, str | int | float | None]


class _StoredResult(Result, frozen=True, kw_only=True):
    scores: tuple[_Row | _Fields, ...]  # type: ignore[assignment]  # as on disk, before `_score`


def find_result(out: Path, name: str) -> Result | None:
    """Return what the run ``name`` measured, or ``None`` when it has no result in ``out``.

    Raises:
        InputError: a file in ``out`` has another structure than that of a result.
    """
    path = out / "results" / f"{name}.json"
    found = read_results(out / RESULTS_FILE).get(name)
    return found or (_decode(path.read_bytes(), where=str(path)) if path.exists() else None)


def read_results(path: Path) -> dict[str, Result]:
    """Return the results of a file by name; the last line of a name counts, and a missing file is empty.

    A line that is not JSON was torn by the end of its writer, and is skipped.

    Raises:
        InputError: a line of JSON is not a result.
    """
    return {result.name: result for result in _read_lines(path)}


def _read_lines(path: Path) -> Iterator[Result]:
    data = path.read_bytes() if path.exists() else b""
    for number, line in enumerate(data.split(b"\n"), start=1):
        if _is_json(line):
            yield _decode(line, where=f"{path}:{number}")


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _decode(data: bytes, *, where: str) -> Result:
    try:
        stored = msgspec.json.decode(data, type=_StoredResult)
        scores = tuple(_score(score) for score in stored.scores)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InputError(f"{where} is no result of leuda bench: {error}", "delete it, or name another --out") from error
    settings = present_settings(stored.settings)
    return Result(**msgspec.structs.asdict(stored) | {"scores": scores, "settings": settings})


def _score(stored: _Row | _Fields) -> Score:
    fields = stored if isinstance(stored, dict) else dict(zip(Score.__struct_fields__, stored, strict=True))
    return msgspec.convert({key: math.nan if value is None else value for key, value in fields.items()}, Score)


def append_result(out: Path, result: Result) -> None:
    """Add the line of a finished run; several processes may do so at once.

    Raises:
        LeudaError: the disk is full. InputError: the file cannot be written.
    """
    path = out / RESULTS_FILE
    try:
        with open(path, "ab+", buffering=0) as stream:
            append_line(stream, encode_result(result))
            os.fsync(stream.fileno())
    except OSError as error:
        raise write_error(path, error) from error


def encode_result(result: Result) -> bytes:
    """Return the line of a result, with its end."""
    scores = [msgspec.structs.astuple(score) for score in result.scores]
    return msgspec.json.encode(msgspec.structs.asdict(result) | {"scores": scores}) + b"\n"

"""The output of subcommands: results on standard output, progress on standard error."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_LINE_EVERY_S = 15.0


@dataclass(frozen=True)
class Result:
    """The result of a subcommand: ``data`` for ``--json``, ``text`` for people, and the exit code.

    ``error`` is a line for standard error, for results that mean failure, such as a list of problems.
    """

    data: Any
    text: str
    code: int = 0
    error: str = ""


def to_json(value: object) -> str:
    """Return one JSON document; paths become strings, numbers that are not finite become ``null``."""
    import msgspec

    encoded = msgspec.json.encode(value, enc_hook=_plain)
    return msgspec.json.format(encoded, indent=2).decode()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class Progress:
    """Progress of a run or a batch: a bar on a terminal, otherwise an occasional line.

    Call it with ``(step, total, metrics)``.
    """

    def __init__(self, unit: str = "step") -> None:
        self._unit = unit
        self._bar: Any = None
        self._last_line = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, step: int, total: int, metrics: Mapping[str, float] | None = None) -> None:
        if sys.stderr.isatty():
            self._draw(step, total, metrics or {})
        elif step == total or time.monotonic() - self._last_line > _LINE_EVERY_S:
            self._last_line = time.monotonic()
            values = " ".join(f"{name}={value:.4g}" for name, value in (metrics or {}).items())
            print(f"{self._unit} {step}/{total} {values}".rstrip(), file=sys.stderr, flush=True)

    def _draw(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=self._unit, file=sys.stderr, dynamic_ncols=True)
        self._bar.total = total
        self._bar.n = step
        self._bar.set_postfix({name: f"{value:.3g}" for name, value in metrics.items()}, refresh=False)
        self._bar.refresh()


def say(text: str) -> None:
    """Print a message to the user on standard error."""
    print(text, file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return aligned columns; floats have two decimals, unknown values are a dash."""
    cells = [list(header), *[[_cell(value) for value in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)

"""The output of subcommands: results on standard output, progress on standard error."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leuda_core.durations import estimated_duration
from leuda_core.errors import LeudaError
from leuda_core.io.files import write_error
from leuda_core.io.streams import give_up_output, is_terminal, log, one_line, print_json, print_text
from leuda_core.runs.events import read_events
from leuda_core.runs.folder import Run
from leuda_core.runs.pace import RECENT, course_of, seconds_left

_LINE_EVERY_S = 15.0
_LINE_EVERY_PART = 0.01  # of the time since the start: months of lines would fill the log of a run


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
    """Return one JSON document; paths become strings, numbers that are not finite become ``null``.

    A byte of a file name that is not text becomes an escape, such as ``\\udcff``.
    """
    import msgspec

    try:
        encoded = msgspec.json.encode(value, enc_hook=_plain)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_text_only(msgspec.to_builtins(value, enc_hook=_plain)))
    return msgspec.json.format(encoded, indent=2).decode()


def _text_only(value: Any) -> Any:
    """Replace the bytes of a file name that are not text by escapes: no JSON document can contain them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_text_only(key): _text_only(item) for key, item in value.items()}
    return [_text_only(item) for item in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_result(result: Result, *, as_json: bool) -> None:
    """Print a result on standard output. A reader that has closed the pipe, such as ``head``, is no error.

    Raises:
        LeudaError: nothing can be written, for example on a full disk.
    """
    try:
        if as_json:
            print_json(sys.stdout, to_json(result.data))
        else:
            print_text(sys.stdout, f"{result.text}\n")
    except BrokenPipeError:
        give_up_output()
    except OSError as error:
        give_up_output()
        raise write_error(Path("standard output"), error) from error


def print_failure(error: LeudaError) -> None:
    """Print an error as JSON on standard output. That it cannot be printed is no further error."""
    document = {"kind": error.kind, "message": error.message, "remedy": error.remedy, "exit_code": error.exit_code}
    try:
        print_json(sys.stdout, to_json({"error": document}))
    except OSError:  # the line on standard error has said what matters
        give_up_output()


class Progress:
    """Progress of a run or a batch, with the time left: a bar on a terminal, otherwise an occasional line.

    Call it with ``(step, total, metrics)``. ``run`` is the run whose steps these are, if any: it knows which of them
    take longer.
    """

    def __init__(self, unit: str = "step", run: Run | None = None) -> None:
        self._unit, self._run = unit, run
        self._bar: Any = None
        self._begin = self._last_line = time.monotonic()
        self._recent = deque[dict[str, Any]](maxlen=RECENT)
        self._phases: object = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, step: int, total: int, metrics: Mapping[str, float] | None = None) -> None:
        now = time.monotonic()
        self._recent.append({"step": step, "total": total, "time": now})
        if is_terminal(sys.stderr):
            self._draw(step, total, metrics or {})
        elif step == total or now - self._last_line > max(_LINE_EVERY_S, _LINE_EVERY_PART * (now - self._begin)):
            self._last_line = now
            values = " ".join(f"{name}={value:.4g}" for name, value in (metrics or {}).items())
            left = self._left()
            say(f"{self._unit} {step}/{total} {values}{f', {left}' if left else ''}".replace(" ,", ",").rstrip())

    def _left(self) -> str:
        """Return the time left in words; empty if nothing is left or nothing is known yet."""
        if self._run and self._phases is None:  # with the first step, the run has recorded them if it knows them
            self._phases = course_of(read_events(self._run.events)[0]) or ()
        seconds = seconds_left(self._recent, self._phases)
        return f"about {estimated_duration(seconds)} left" if seconds else ""

    def _draw(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        if self._bar is None:
            from tqdm import tqdm

            shown = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}{postfix}]"  # its own time left is naive
            self._bar = tqdm(total=total, unit=f" {self._unit}", file=sys.stderr, dynamic_ncols=True, bar_format=shown)
        self._bar.total = total
        self._bar.n = step
        values = [f"{one_line(name)}={value:.3g}" for name, value in metrics.items()]
        self._bar.set_postfix_str(", ".join(filter(None, [self._left(), *values])), refresh=False)
        self._bar.refresh()


def say(text: str) -> None:
    """Print a message to the user on standard error, as one line; work goes on if that fails, as on a full disk."""
    log(one_line(text))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return aligned columns; floats have two decimals, unknown values are a dash."""
    cells = [[_cell(value) for value in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else one_line(value)

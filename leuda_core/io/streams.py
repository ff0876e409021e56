"""Text that leaves for a terminal or a log: shown as it is where that is safe, escaped where it is not.

Names of files, cases and labels come from outside. They may contain sequences that control a terminal, characters that
reverse the reading direction, or what the encoding of the output cannot show. A program without windows (pythonw, an
embedded interpreter) may have no output at all. Standard library only.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

# Control characters (category Cc) except tab and line end; bidirectional controls; line and paragraph separators;
# halves of surrogate pairs, by which Python represents the bytes of a file name that are not text.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)  # fmt: skip
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_UNSAFE_IN_LINE = re.compile(f"{_UNSAFE.pattern}|[\t\n]")


class NoStream(io.TextIOBase):
    """Takes the place of a standard stream that does not exist, for libraries that write to it."""

    def write(self, text: str, /) -> int:
        return len(text)


def printable(text: object) -> str:
    """Return text with unsafe characters as escapes such as ``\\x1b`` or ``\\u202e``; line ends and tabs stay."""
    return _UNSAFE.sub(_escaped, str(text))


def one_line(text: object) -> str:
    """Return text with unsafe characters, line ends and tabs as escapes: for a name within a message or a table."""
    return _UNSAFE_IN_LINE.sub(_escaped, str(text))


def has_control_characters(text: str) -> bool:
    """Return whether a text contains control characters (Unicode category Cc), such as line ends or escapes."""
    return _CONTROL.search(text) is not None


def join_lines(lines: Iterable[object]) -> str:
    """Return lines, each of which may contain names with line ends, as one text."""
    return "\n".join(map(one_line, lines))


def print_text(stream: Any, text: str) -> None:
    """Write text to a stream for people, and flush it; what its encoding cannot show becomes escapes.

    ``None`` is a stream that does not exist, as in a program without a console.
    """
    if stream is None:
        return
    text = printable(text)
    try:
        stream.write(text)
    except UnicodeEncodeError as error:
        stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
    _flush(stream)


def print_json(stream: Any, document: str) -> None:
    """Write a JSON document to a stream, and flush it: in UTF-8 as it is, in other encodings with ASCII escapes."""
    if stream is None:
        return
    stream.write(document if _is_utf8(stream) else json.dumps(json.loads(document), indent=2))
    stream.write("\n")
    _flush(stream)


def give_up_output() -> None:
    """Send what is left of standard output nowhere, so that Python does not fail on it at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # a replacement of the stream may have no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def log(text: str) -> None:
    """Write a line to standard error. It is lost if that fails: a message must not end the work it is about."""
    with contextlib.suppress(OSError, ValueError):  # a full disk, a closed pipe; a closed stream
        print_text(sys.stderr, f"{text}\n")


def is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal; some replacements of the standard streams cannot tell."""
    try:
        return bool(stream.isatty())
    except (AttributeError, OSError, ValueError):
        return False


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Replace standard streams that do not exist or are closed, so that libraries can write to them."""
    _occupy_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (NoStream() if getattr(stream, "closed", stream is None) else stream for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _occupy_descriptors() -> None:
    """Open the null device in place of standard descriptors that are closed.

    The next file would otherwise take the number of one, and get what libraries in C++ write to standard error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number, which is this one


class SafeFormatter(logging.Formatter):
    """Formats log records without unsafe characters."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class ErrorStreamHandler(logging.Handler):
    """Writes log records to what standard error is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        log(self.format(record))


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")


def _is_utf8(stream: Any) -> bool:
    try:
        return codecs.lookup(stream.encoding).name == "utf-8"
    except (AttributeError, LookupError, TypeError):
        return False


def _flush(stream: Any) -> None:
    flush = getattr(stream, "flush", None)
    if flush is not None:
        flush()

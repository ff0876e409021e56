"""The command line: ``leuda train``, ``leuda segment`` and the rest.

Exit codes: 0 success; 2 wrong input or call (one line: the problem, the value, what to do); 130 cancelled; 1 a bug in
leuda (with ``LEUDA_DEBUG=1`` also the traceback). Results go to standard output, everything else to standard error.
With ``--json``, standard output is one JSON document, even if the command fails.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from leuda_core.commands.output import Result, print_failure, print_result, say
from leuda_core.commands.parser import build_parser
from leuda_core.errors import as_leuda_error
from leuda_core.io.streams import ErrorStreamHandler, SafeFormatter, log, standard_streams
from leuda_core.runs.lock import LAUNCH_TOKEN


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # before torch is imported; see ``devices``
    _show_log()
    with standard_streams():
        return _run(words, as_json)


def _run(words: list[str], as_json: bool) -> int:
    try:
        args = build_parser().parse_args(words)
        # What libraries print is not part of the result.
        with _ended_as_by_ctrl_c(), contextlib.redirect_stdout(sys.stderr):
            result = _command(args.run_command)(args)
        print_result(result, as_json=as_json)
        if result.error:
            say(f"leuda: error: {result.error}")
        return result.code
    except SystemExit as end:  # --help and --version
        return int(end.code or 0)
    except BaseException as error:
        return _fail(error, as_json)


def _command(place: str) -> Callable[[argparse.Namespace], Result]:
    module, _, function = place.partition(":")
    return getattr(importlib.import_module(f"leuda_core.commands.{module}"), function)


@contextlib.contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end the work like Ctrl-C, so that no partial results are left behind.

    SIGINT alone is not enough: a process started in the background may ignore it.
    """

    def end(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _log_level() -> int:
    if os.environ.get("LEUDA_DEBUG") == "1":
        return logging.DEBUG
    return logging.INFO if LAUNCH_TOKEN in os.environ else logging.WARNING  # a launched run's stderr is its log


def _show_log() -> None:
    handler = ErrorStreamHandler()
    handler.setFormatter(SafeFormatter("leuda: %(message)s"))
    logging.basicConfig(level=_log_level(), handlers=[handler])


def _fail(error: BaseException, as_json: bool) -> int:
    """Report in one line what went wrong, and return the exit code."""
    known = as_leuda_error(error)
    fault = known.exit_code == 1
    if fault and (os.environ.get("LEUDA_DEBUG") == "1" or LAUNCH_TOKEN in os.environ):
        log("".join(traceback.format_exception(error)).rstrip())
    line = " ".join(str(known).split())
    say(f"leuda: {line}" if known.exit_code == 130 else f"leuda: error: {line}")
    if as_json:
        print_failure(known)
    return known.exit_code

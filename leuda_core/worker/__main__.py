"""Entry point of the worker process. It says hello before it imports large packages."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from typing import BinaryIO

import leuda_core
from leuda_core.worker.channel import PROTOCOL, Events, Inbox
from leuda_core.worker.server import serve


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m leuda_core.worker", description=leuda_core.__doc__)
    parser.add_argument(
        "--idle-seconds", type=float, default=300.0, help="idle time until memory is freed (default: 300)"
    )
    args = parser.parse_args()
    requests, answers = _own_pipes()
    # Before torch is imported: threads that wait actively occupy cores that a training or Slicer needs, and a slice
    # then takes ten times longer.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # what Apple's GPUs lack runs on the CPU, which is said
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is meant for the parent process
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    events = Events(answers)
    events("hello", pid=os.getpid(), version=leuda_core.__version__, protocol=PROTOCOL)
    # Not sys.exit: it would wait for the work of the main thread.
    serve(Inbox(requests, events, on_end=lambda: os._exit(0)), idle_seconds=args.idle_seconds)


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Reserve standard input and output for the protocol: output of libraries goes to standard error, if there is one.

    Raises:
        SystemExit: one of the two is closed, so nobody can be answered.
    """
    if sys.stderr is None:  # first: a copy of another descriptor would take its number
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  open until the process ends
        os.dup2(sys.stderr.fileno(), 2)
    if sys.stdin is None or sys.stdout is None:
        raise SystemExit("the worker needs standard input and standard output")
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, answers


if __name__ == "__main__":
    main()

"""Runs a target in child processes: starts the next one after a crash, ends one that hangs, and counts."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz.child import Board, Orders, keep, run_child
from fuzz.sample import Sample
from fuzz.targets import TARGETS, Target

HANG_S = 10.0
_POLL_S = 0.02
_FOREVER = 1 << 62
_DONE = 77  # the exit code of a child that did all that it was told; a reader must not end it with 0


@dataclass
class Outcome:
    """What came of the samples of one target. ``kinds`` counts the different answers, ``peak_mib`` is of a child."""

    name: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    faults: int = 0
    crashes: int = 0
    hangs: int = 0
    kinds: int = 0
    seconds: float = 0.0
    peak_mib: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.faults or self.crashes or self.hangs)


def fuzz(
    name: str, *, findings: Path, inputs: int = _FOREVER, seconds: float = 1e9, seed: int = 0, hang_s: float = HANG_S
) -> Outcome:
    """Read mutated samples of a target until there were enough ``inputs`` or ``seconds``.

    Args:
        findings: a folder for the samples that crash, hang, or raise what is not a refusal; made if there is one.
    """
    target, outcome, began = TARGETS[name], Outcome(name), time.monotonic()
    corpus, board = target.corpus(), Board()
    start, deadline = 0, time.monotonic() + seconds
    while start < inputs and time.monotonic() < deadline:
        with TemporaryDirectory(prefix="leuda-fuzz-", dir=_memory_folder()) as work:
            orders = Orders(seed, start, inputs, deadline, Path(work), findings / name)
            if _one_child(target, corpus, orders, board, outcome, hang_s):
                break
        start = max(start, board["index"]) + 1
    for count in ("inputs", "accepted", "refused", "faults", "kinds"):
        setattr(outcome, count, board[count])
    outcome.seconds = time.monotonic() - began
    return outcome


def _one_child(
    target: Target, corpus: list[Sample], orders: Orders, board: Board, outcome: Outcome, hang_s: float
) -> bool:
    """Run a child to its end; return whether it did all that was ordered."""
    board.since = 0.0
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            run_child(target, corpus, orders, board)
            code = _DONE
        except BaseException:  # a fault of the fuzzer itself, or memory that ran out between samples
            (orders.work / "stack.txt").write_text(traceback.format_exc())
        finally:
            os._exit(code)
    hung, status, usage = _watch(pid, board, hang_s)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)  # processes that a reader started
    outcome.peak_mib = max(outcome.peak_mib, usage.ru_maxrss >> 10)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _DONE:
        return True
    kind = "hang" if hung else f"crash of signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "exit"
    outcome.hangs += hung
    outcome.crashes += not hung
    _keep_present(orders, kind)
    return False


def _watch(pid: int, board: Board, hang_s: float) -> tuple[bool, int, resource.struct_rusage]:
    """Wait for a child; end it if it takes too long for one sample. Return whether it did, its status and its usage.

    Time is counted in looks at the child, so that a moment in which the whole machine stands still does not count.
    """
    looks, present, hung = 0, -1.0, False
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            return hung, status, usage
        looks = looks + 1 if board.since == present else 0
        present = board.since
        if present and looks * _POLL_S > hang_s:
            hung = True
            os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def _keep_present(orders: Orders, kind: str) -> None:
    stack = orders.work / "stack.txt"
    why = stack.read_text(errors="replace") if stack.exists() else ""
    frame = next((line for line in why.splitlines() if "File" in line), "")
    keep(orders.work / "input", orders.findings, f"{kind} {frame}", why)


def _memory_folder() -> str | None:
    """Return a folder in memory, where there is one: the samples of a second are thousands of files."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

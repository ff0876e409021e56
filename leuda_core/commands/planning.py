"""``leuda plan``: what a training would cost, before it begins."""

from __future__ import annotations

import contextlib
import signal
import threading
from argparse import Namespace
from collections.abc import Iterator
from typing import NoReturn

from leuda_core.commands.output import Progress, Result, duration, table
from leuda_core.commands.runs import parse_settings
from leuda_core.errors import Cancelled


def plan(args: Namespace) -> Result:
    """Take a few steps of each phase, tell time and memory of all of them, and warn of what will not go well."""
    from leuda_core.planning import make_plan

    with _terminated_as_cancelled(), Progress() as progress:
        found = make_plan(
            args.dataset,
            args.method,
            steps=args.steps,
            device=args.device,
            settings=parse_settings(args.set),
            on_step=progress,
        )
    rows = [(name, steps, f"{1000 * found.seconds_per_step[name]:.0f}") for name, steps in found.steps.items()]
    lines = [
        table(("phase", "steps", "ms a step"), rows),
        f"about {duration(found.seconds)} on {found.device}, {found.peak_memory_mib} MiB of memory",
        f"{found.labelled_slices} labelled slices to learn from",
        *(f"warning: {warning.message}; {warning.remedy}" for warning in found.warnings),
    ]
    return Result(found.as_dict(), "\n".join(lines))


@contextlib.contextmanager
def _terminated_as_cancelled() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does, so that nothing is left of it."""

    def end(number: int, frame: object) -> NoReturn:
        raise Cancelled

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

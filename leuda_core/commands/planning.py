"""``leuda plan``: the cost of a training, before it starts."""

from __future__ import annotations

from argparse import Namespace

from leuda_core.commands.output import Progress, Result, table
from leuda_core.config import parse_settings
from leuda_core.durations import estimated_duration
from leuda_core.io.streams import join_lines


def plan(args: Namespace) -> Result:
    """Run a few steps of each phase, estimate total time and memory, and warn of likely problems."""
    from leuda_core.training.planning import make_plan

    with Progress() as progress:
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
        f"about {estimated_duration(found.seconds)} on {found.device}, {found.peak_memory_mib} MiB of memory",
        f"{found.labelled_slices} labelled slices to learn from",
        *(f"warning: {warning.message}; {warning.remedy}" for warning in found.warnings),
    ]
    return Result(found.as_dict(), f"{table(('phase', 'steps', 'ms per step'), rows)}\n{join_lines(lines)}")

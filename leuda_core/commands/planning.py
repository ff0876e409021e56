"""``leuda plan``: what a training would choose, and its cost, before it starts."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from leuda_core.commands.output import Progress, Result, table
from leuda_core.config import parse_settings
from leuda_core.durations import estimated_duration
from leuda_core.io.streams import join_lines, one_line


def plan(args: Namespace) -> Result:
    """Choose what is left open, run a few steps of each phase, estimate the cost, and warn of likely problems."""
    from leuda_core.training.plans.planning import make_plan

    with Progress() as progress:
        found = make_plan(
            args.dataset,
            args.method,
            steps=args.steps,
            budget=args.budget,
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
    parts = [table(("phase", "steps", "ms per step"), rows), join_lines(lines)]
    if found.reasons:
        parts.insert(0, choice_table(found.settings, found.segmenter_steps, found.reasons) + "\n")
    return Result(found.as_dict(), "\n".join(parts))


def choice_table(settings: Mapping[str, Any], steps: int, reasons: Mapping[str, str]) -> str:
    """Return what a plan chose: setting, value, why."""
    values = {**settings, "steps": steps}
    rows = [(name, _shown(values[name]), one_line(why)) for name, why in reasons.items()]
    return table(("setting", "value", "why"), rows)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

"""Durations, written as text and read from it.

The unit symbols s, min and h are international, so the text needs no translation.
"""

from __future__ import annotations

import math
import re

from leuda_core.errors import InputError

DEFAULT_BUDGET = 25.0
"""Minutes for which a training is planned if neither a budget nor steps are given."""

_MOST_MINUTES = 30 * 24 * 60.0
_BUDGET = re.compile(r"(?:(\d+(?:\.\d+)?) ?h(?:ours?)?)? ?(?:(\d+(?:\.\d+)?) ?m(?:in(?:utes?)?)?)?", re.ASCII)


def budget_minutes(budget: str | float) -> float:
    """Return the minutes of a budget: a text such as ``20m``, ``2h`` or ``1h30m``, or a number of minutes.

    Raises:
        InputError: it is no time, or not within 0 to 30 days.
    """
    remedy = "write, for example, 20m or 2h"
    if isinstance(budget, str):
        found = _BUDGET.fullmatch(budget.strip().lower())
        if found is None or not any(found.groups()):
            raise InputError(f"budget {budget!r} is not a time", remedy)
        hours, minutes = (float(part or 0) for part in found.groups())
        minutes += 60 * hours
    elif isinstance(budget, int | float) and not isinstance(budget, bool):
        minutes = float(budget)
    else:
        raise InputError(f"budget {budget!r} is not a time", remedy)
    if not (math.isfinite(minutes) and 0 < minutes <= _MOST_MINUTES):
        raise InputError(f"budget {budget!r} is not between 0 minutes and 30 days", remedy)
    return minutes


def duration(seconds: float) -> str:
    """Return a measured time: ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def estimated_duration(seconds: float) -> str:
    """Return an estimated time, rounded to a useful precision: ``89 s``, ``3 min``, ``2 h 10 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"

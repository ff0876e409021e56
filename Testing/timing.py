"""Time as a test may measure it: a limit that holds on a free machine must not fail a test on a busy one."""

from __future__ import annotations

import time
from pathlib import Path

_SPIN_S = 0.05
_SCHEDULE = Path("/proc/thread-self/schedstat")


def slowdown() -> float:
    """Return how much longer than its CPU time a busy loop takes at this moment: 1 on a free machine."""
    wall, cpu = time.perf_counter(), time.thread_time()
    while time.thread_time() - cpu < _SPIN_S:
        pass
    return max(1.0, (time.perf_counter() - wall) / _SPIN_S)


def allowed(seconds: float) -> float:
    """Return the limit in seconds for work of other processes that takes less than ``seconds`` on a free machine.

    Several processes that wait for one another each lose the time that ``slowdown`` measures for one.
    """
    return seconds * (1 + 5 * (slowdown() - 1))


def waited_for_a_core_s() -> float:
    """Return the time that this thread has waited for a core since it began; 0 where the system does not say."""
    try:
        return int(_SCHEDULE.read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):  # not Linux
        return 0.0

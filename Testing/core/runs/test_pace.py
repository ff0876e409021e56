"""The time that a run still takes, when its later steps take longer than the first ones."""

from __future__ import annotations

import pytest

from leuda_core.runs.pace import course, seconds_left

FAST, SLOW = 0.1, 0.3
COURSE = course({"translate": 100, "train": 900}, {"translate": [(0.5, 0.5)], "train": [(0.75, SLOW), (0.25, FAST)]})


def truth(step: int) -> float:
    """Return the seconds to a step, at twice the measured pace."""
    return 2 * (0.5 * min(step, 100) + FAST * min(max(step - 100, 0), 450) + SLOW * max(step - 550, 0))


def progress(done: int) -> list[dict[str, float]]:
    return [{"step": step, "total": 1000, "time": 1e9 + truth(step)} for step in range(10, done + 1, 10)]


@pytest.mark.parametrize("done", [20, 90, 100, 110, 300, 540, 560, 800, 990, 1000])
def test_slow_and_fast_phases_are_foreseen(done: int) -> None:
    assert seconds_left(progress(done), COURSE) == pytest.approx(truth(1000) - truth(done))


def test_the_pace_follows_a_machine_that_becomes_busy() -> None:
    steps = progress(800)
    later = [{**one, "time": steps[-1]["time"] + 4 * (truth(one["step"]) - truth(800))} for one in progress(1000)[80:]]
    left = seconds_left([*steps, *later[:-10]], COURSE)
    assert truth(1000) - truth(900) < left < 4 * (truth(1000) - truth(900))
    assert seconds_left(progress(10), COURSE) is None and seconds_left([], COURSE) is None


@pytest.mark.parametrize(
    "phases",
    [
        None,
        3,
        [{}],
        [{"steps": 1000, "seconds": []}],
        [{"steps": 1000, "seconds": [[0.5, "fast"]]}],
        [{"steps": 1000, "seconds": [[0.5, 0]]}],
        [{"steps": 1000, "seconds": [[0.5, 1e999]]}],
        [{"steps": "1000", "seconds": [[0.5, 1]]}],
        [{"steps": 1000, "seconds": [[0.9, 1], [0.1, 1], [0.5, 1]]}, {"steps": 5, "seconds": [[0.5, 1]]}],
        COURSE[:1],
    ],
)
def test_without_a_course_later_steps_are_like_the_last_ones(phases: object) -> None:
    assert seconds_left(progress(100), phases) == pytest.approx(900.0)

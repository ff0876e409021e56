"""Measured times are exact, estimated ones are rounded."""

from __future__ import annotations

import pytest

from leuda_core.durations import duration, estimated_duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.7, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")]
)
def test_measured(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "1 s"), (89.0, "89 s"), (95.0, "2 min"), (3599.0, "60 min"), (7500.0, "2 h 5 min")],
)
def test_estimated(seconds: float, text: str) -> None:
    assert estimated_duration(seconds) == text

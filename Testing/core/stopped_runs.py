"""Runs that stop on their way, always at the same step."""

from __future__ import annotations

import pytest

from leuda_core.errors import Cancelled
from leuda_core.runs.events import read_events
from leuda_core.runs.folder import Run
from leuda_core.training.run import resume


def stop_at(run: Run, step: int) -> None:
    """Start or continue a run, and stop it at its first checkpoint from ``step`` on."""

    def stop(_: Run) -> bool:
        saved = [event for event in read_events(run.events)[0] if event["event"] == "checkpoint"]
        return bool(saved) and saved[-1]["step"] >= step

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Cancelled):
        patch.setattr("leuda_core.training.loop.stop_requested", stop)
        resume(run)

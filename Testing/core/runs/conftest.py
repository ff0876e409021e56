"""A run that was created and not started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leuda_core.runs.folder import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = tmp_path / "a run"
    folder.mkdir()
    run = Run(folder)
    run.config.write_text(json.dumps({"dataset": "d.json", "method": "source_only", "steps": 400}))
    return run

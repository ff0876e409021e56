"""SIGKILL at random moments: at any time and at any file operation of a run.

The suite kills 10 times; ``LEUDA_KILLS=100 pytest Testing/core/training/test_kills.py`` kills 100 times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from forked_runs import ForkedRuns
from leuda_core.errors import InputError
from leuda_core.runs.events import read_events
from leuda_core.runs.folder import Run
from leuda_core.runs.state import status
from leuda_core.training.checkpoints import read_checkpoint
from leuda_core.training.run import create_run

KILLS = int(os.environ.get("LEUDA_KILLS", "10"))
SETTINGS = {"base_channels": 4, "patch_size": 32, "batch_size": 1, "unlabelled_batch_size": 1}
TRANSLATING = {**SETTINGS, "translator_channels": 4, "translator_blocks": 1, "translator_steps": 4}
WEIGHTS = "model.safetensors"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_survives_kills_at_any_moment(tiny_dataset: Path, tmp_path: Path) -> None:
    options = {"steps": 6, "settings": TRANSLATING, "checkpoint_every": 2, "device": "cpu"}
    rng = random.Random(0)
    with ForkedRuns() as runs:
        whole = create_run(tiny_dataset, "cyclegan", tmp_path / "whole", **options)
        begin = time.monotonic()
        assert runs.start(whole.path) == 0
        duration = time.monotonic() - begin
        operations = int((tmp_path / "whole.operations").read_text())
        kills = finished = 0
        while kills < KILLS or not finished:
            run = Run(tmp_path / f"run {finished}")
            if not run.config.exists():
                create_run(tiny_dataset, "cyclegan", run.path, **options)
            by_time = {"seconds": rng.uniform(0, 0.8 * duration)}
            at_operation = {"operation": rng.randint(1, operations)}
            moment: dict = rng.choice([by_time, at_operation]) if kills < KILLS else {}
            code = runs.start(run.path, **moment)
            assert code in (0, -signal.SIGKILL), "the run failed by itself"
            kills += code != 0
            check(run)
            if code == 0:
                assert status(run).state == "finished" and not status(run).message
                assert (run.bundle / WEIGHTS).read_bytes() == (whole.bundle / WEIGHTS).read_bytes()
                finished += 1
    print(f"{kills} kills, {finished} runs finished, all with equal weights")


def check(run: Run) -> None:
    """Check what must hold after every kill: nothing that was said to be saved is lost, and nothing says it runs."""
    assert status(run).state in ("created", "crashed", "finished")
    if run.events.exists():
        for line in run.events.read_text(encoding="utf-8").splitlines():
            json.loads(line)
    saved = [event["step"] for event in read_events(run.events)[0] if event["event"] == "checkpoint"]
    assert _newest_step(run) >= max(saved, default=0)


def _newest_step(run: Run) -> int:
    for path in (run.checkpoint, run.checkpoint_before):
        try:
            return read_checkpoint(path, torch.device("cpu"))["step"]
        except InputError:
            continue
    return 0

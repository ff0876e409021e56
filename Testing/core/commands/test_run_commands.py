"""``leuda train``, ``status``, ``stop``, ``resume`` and ``report``, in this process and detached."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from command_calls import call, call_json
from leuda_core.runs.control import kill
from leuda_core.runs.folder import Run
from leuda_core.runs.state import status
from repository import ROOT
from waiting import wait_for

TINY = ["--set", "base_channels=4", "--set", "patch_size=32", "--set", "batch_size=2", "--device", "cpu"]


@pytest.mark.slow
def test_train_status_stop_and_resume(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = ["train", tiny_dataset, "--method", "source_only", "--out", run, "--steps", 3, *TINY]
    code, out, err = call(capsys, *words)
    assert code == 0, err
    assert f"model: {run / 'bundle'}" in out and "next: leuda segment" in out
    assert call_json(capsys, "status", run)[1]["state"] == "finished"
    assert call_json(capsys, "stop", run) == (0, {"running": False})
    assert call(capsys, "resume", run)[0] == 0  # of a finished run: says so again
    code, _, err = call(capsys, *words)
    assert code == 2 and "already contains a run" in err
    code, _, err = call(capsys, "report", run, "--out", tmp_path / "run.pdf")
    assert code == 2 and ".html" in err and not (run / "scores.json").exists()  # before the cases are scored
    page = tmp_path / "run.html"
    assert call_json(capsys, "report", run, "--out", page) == (0, {"report": str(page)})
    assert "test_t" in page.read_text(encoding="utf-8")  # the held-out case was scored


@pytest.mark.slow
def test_a_detached_run_is_watched_stopped_and_resumed(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "a run"
    words = ["train", tiny_dataset, "--method", "source_only", "--out", run, "--steps", 100000, *TINY, "--detach"]
    code, found = call_json(capsys, *words)
    assert code == 0 and found["pid"] != os.getpid()
    try:
        assert status(run).state == "running"
        code, _, err = call(capsys, "resume", run)
        assert code == 2 and f"process {found['pid']}" in err
        wait_for(lambda: status(run).step > 0)
        assert call(capsys, "stop", run)[0] == 0
        wait_for(lambda: status(run).state != "running")
    finally:
        kill(run)
    assert status(run).state == "stopped", Run(run).log.read_text()
    assert Run(run).checkpoint.exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_writes_a_checkpoint_and_is_130(tiny_dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", tiny_dataset, "--method", "source_only", "--out", run, "--steps", 100000, *TINY]
    command = [sys.executable, "-m", "leuda_core", *map(str, words)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (run / "run.json").exists() and status(run).step > 0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "again to stop at once" in err and Run(run).checkpoint.exists()
    assert status(run).state == "stopped"


def test_resume_tells_that_torch_is_missing(tmp_path: Path) -> None:
    """In an event, because a detached process has nobody to tell it to."""
    (tmp_path / "run.json").write_text('{"dataset": "d", "method": "source_only"}')
    code = "import sys; sys.modules['torch'] = None; from leuda_core.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "resume", str(tmp_path)], cwd=ROOT, capture_output=True, check=False
    )
    found = status(tmp_path)
    assert done.returncode == 2 and found.state == "failed" and "torch" in found.message and "doctor" in found.remedy

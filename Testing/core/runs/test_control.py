"""Runs are started, stopped and killed from other processes, with real processes and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leuda_core.errors import InputError
from leuda_core.runs import control
from leuda_core.runs.folder import Run
from leuda_core.runs.lock import RunLock
from leuda_core.runs.state import status
from repository import ROOT
from waiting import wait_for

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

# Stands in for `python -m leuda_core resume RUN`: takes the lock as training does, without importing torch.
TRAINER = """
    import os, subprocess, sys, time
    from pathlib import Path
    from leuda_core.runs.events import EventWriter
    from leuda_core.runs.control import stop_requested
    from leuda_core.runs.folder import Run
    from leuda_core.runs.lock import RunLock, is_running

    run = Run(Path(sys.argv[-1]))
    events = EventWriter(run.events)
    with RunLock(run):
        events("start")
"""
UNTIL_STOPPED = """
        while not stop_requested(run):
            time.sleep(0.01)
        events("end", state="stopped")
"""
DEAF_WITH_A_CHILD = """
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (run.path / "child").write_text(str(child.pid))
        time.sleep(60)
"""


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A command that gets the same words as the interpreter would and runs the file ``trainer.py``."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield [sys.executable, str(tmp_path / "trainer.py")]


def write_trainer(folder: Path, body: str) -> None:
    (folder / "trainer.py").write_text(textwrap.dedent(TRAINER) + textwrap.indent(textwrap.dedent(body), "    "))


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_launch_returns_the_trainer_and_it_outlives_its_launcher(run: Run, python: list[str], tmp_path: Path) -> None:
    write_trainer(tmp_path, UNTIL_STOPPED)
    # launches, and is gone
    code = "import sys;from leuda_core.runs.control import launch\nprint(launch(sys.argv[1], python=sys.argv[2:]))"
    launcher = [sys.executable, "-c", code, str(run.path), *python]
    pid = int(subprocess.run(launcher, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert (status(run).state, status(run).pid) == ("running", pid)
    control.request_stop(run)
    wait_for(lambda: status(run).state == "stopped")


def test_a_launched_process_is_in_utf_8_mode(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the locale is: paths in ``run.json`` are UTF-8."""
    record = tmp_path / "recorder.py"
    record.write_text("import json, sys; json.dump(sys.argv[1:], open(sys.argv[-1] + '/words', 'w'))")
    control.launch(run, python=[sys.executable, str(record)])
    assert json.loads((run.path / "words").read_text())[:4] == ["-X", "utf8", "-m", "leuda_core"]


def test_launch_clears_an_old_request_to_stop(run: Run, python: list[str], tmp_path: Path) -> None:
    write_trainer(tmp_path, UNTIL_STOPPED)
    control.request_stop(run)
    control.launch(run, python=python)
    try:
        assert not control.stop_requested(run) and status(run).state == "running"
    finally:
        assert control.kill(run) is False
    assert status(run).state == "stopped" and not control.stop_requested(run)


def test_of_two_launchers_at_once_one_is_refused(run: Run, python: list[str], tmp_path: Path) -> None:
    write_trainer(tmp_path, UNTIL_STOPPED)
    code = (
        "import sys;from leuda_core.runs.control import launch\nfrom leuda_core.errors import InputError\n"
        "try: launch(sys.argv[1], python=sys.argv[2:])\nexcept InputError as e: print(e); sys.exit(2)"
    )
    launcher = [sys.executable, "-c", code, str(run.path), *python]
    both = [subprocess.Popen(launcher, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=30)[0] for process in both]
    try:
        assert sorted(process.returncode for process in both) == [0, 2], answers
        assert "in use by process" in "".join(answers)
        assert status(run).state == "running"
    finally:
        control.kill(run)


def test_launch_says_why_the_process_ended_at_once(run: Run, python: list[str], tmp_path: Path) -> None:
    (tmp_path / "trainer.py").write_text("import sys; sys.exit('leuda: error: no such method')")
    with pytest.raises(InputError, match="no such method"):
        control.launch(run, python=python)
    assert "no such method" in run.log.read_text()


@pytest.mark.slow
@posix
def test_kill_ends_the_whole_tree(run: Run, python: list[str], tmp_path: Path) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc to see whether the child lives")
    write_trainer(tmp_path, DEAF_WITH_A_CHILD)
    pid = control.launch(run, python=python)
    wait_for(lambda: (run.path / "child").exists() and (run.path / "child").read_text())
    child = int((run.path / "child").read_text())
    assert alive(pid) and alive(child)
    assert control.kill(run, grace_s=0.2) is True
    wait_for(lambda: not alive(pid) and not alive(child))
    assert status(run).state == "crashed"


@posix
def test_kill_never_signals_a_number_that_was_given_away(run: Run) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    with RunLock(run):
        stale = {"pid": bystander.pid, "host": os.uname().nodename, "since": 0.0, "start": 1, "group": 0, "token": ""}
        run.lock.write_text(json.dumps(stale))
        control._end_tree(run, signal.SIGKILL)
        time.sleep(0.1)
        assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_kill_refuses_a_process_of_another_machine(run: Run) -> None:
    with RunLock(run):
        run.lock.write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": 0.0}))
        with pytest.raises(InputError, match="process 1 on elsewhere"):
            control.kill(run, grace_s=0)


def test_kill_of_a_run_that_does_not_run(run: Run) -> None:
    assert control.kill(run) is False
    assert not run.stop.exists()

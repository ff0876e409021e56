"""Runs as other processes see them, with real processes, real locks and real signals."""

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
from leuda_core.runs.events import EventWriter, read_events
from leuda_core.runs.folder import Run, RunLock, is_running
from leuda_core.runs.state import RunStatus, status, status_of
from repository import ROOT

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

# Stands in for `python -m leuda_core resume RUN`: takes the lock as training does, without importing torch.
TRAINER = """
    import os, subprocess, sys, time
    from pathlib import Path
    from leuda_core.runs.events import EventWriter
    from leuda_core.runs.control import stop_requested
    from leuda_core.runs.folder import Run, RunLock, is_running

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
def run(tmp_path: Path) -> Run:
    folder = tmp_path / "a run"
    folder.mkdir()
    run = Run(folder)
    run.config.write_text(json.dumps({"dataset": "d.json", "method": "source_only", "steps": 400}))
    return run


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A command that gets the same words as the interpreter would and runs the file ``trainer.py``."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield [sys.executable, str(tmp_path / "trainer.py")]


def write_trainer(folder: Path, body: str) -> None:
    (folder / "trainer.py").write_text(textwrap.dedent(TRAINER) + textwrap.indent(textwrap.dedent(body), "    "))


def wait_for(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def start_holder(run: Run) -> subprocess.Popen:
    code = "import sys,time;from leuda_core.runs.folder import RunLock\nwith RunLock(sys.argv[1]): time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(run.path)], cwd=ROOT)
    wait_for(lambda: is_running(run))
    return process


# status: a pure function of the files


def test_status_of_each_state(run: Run) -> None:
    events = EventWriter(run.events)
    assert status(run) == RunStatus(path=run.path, state="created", total=400)
    events("start")
    events("progress", stage="prepare", step=2, total=3)
    assert (status(run).state, status(run).step, status(run).total) == ("crashed", 0, 400)
    events("progress", stage="train", step=100, total=400, metrics={"segmentation": 0.5})
    found = status(run)
    assert (found.state, found.step, found.total, found.progress) == ("crashed", 100, 400, 0.25)
    assert found.metrics == {"segmentation": 0.5} and found.stage == "train" and "resume" in found.remedy
    events("error", kind="input", message="case 'x': no such file", remedy="restore it")
    assert (status(run).state, status(run).message) == ("failed", "case 'x': no such file")
    events("start")
    events("end", state="stopped")
    assert status(run).state == "stopped"
    events("start")
    events("end", state="finished")
    assert (status(run).state, status(run).progress) == ("finished", 1.0)


def test_a_held_lock_is_running_whatever_was_written(run: Run) -> None:
    EventWriter(run.events)("end", state="finished")
    with RunLock(run):
        found = status(run)
        assert (found.state, found.pid) == ("running", os.getpid())
    assert status(run).state == "finished" and status(run).pid is None


def test_seconds_left_since_the_last_start(run: Run) -> None:
    lines = [
        {"event": "progress", "time": 0.0, "step": 10, "total": 400},  # before a break of a day
        {"event": "start", "time": 90000.0},
        {"event": "progress", "time": 90010.0, "step": 20, "total": 400},
        {"event": "progress", "time": 90030.0, "step": 60, "total": 400},
    ]
    run.events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with RunLock(run):
        assert status(run).seconds_left == pytest.approx((400 - 60) * 20 / 40)
    assert status(run).seconds_left is None


def test_torn_and_foreign_lines_are_passed_over(run: Run) -> None:
    run.events.write_bytes(
        b'{"event": "start"}\n{"event": "progress", "step": 5, "tot\n\xff\xfe garbage\n'
        b'{"event": "progress", "step": "many", "total": 400}\n'
        b'{"event": "novelty", "metrics": [1]}\n{"event": "progress", "step": 7, "total": 400}\n{"event": "end", "sta'
    )
    assert (status(run).state, status(run).step) == ("crashed", 7)


def test_events_can_be_read_piece_by_piece(run: Run) -> None:
    write = EventWriter(run.events)
    for step in range(20):
        write("progress", stage="train", step=step, total=400)
    found, offset, pieces = [], 0, 0
    while offset < run.events.stat().st_size:
        new, offset = read_events(run.events, offset, 200)
        found, pieces = found + new, pieces + 1
    assert [event["step"] for event in found] == list(range(20)) and pieces > 5
    assert status_of(run, found, running=True).step == 19


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run\.json"):
        status(tmp_path)
    with pytest.raises(InputError, match=r"no run\.json"):
        control.request_stop(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_status_changes_nothing(run: Run) -> None:
    before = sorted(run.path.iterdir())
    status(run)
    assert sorted(run.path.iterdir()) == before


# the lock


def test_a_second_process_is_told_who_has_the_run(run: Run) -> None:
    process = start_holder(run)
    try:
        with pytest.raises(InputError, match=f"process {process.pid} on ") as caught, RunLock(run):
            pass
        assert "leuda stop" in caught.value.remedy
    finally:
        process.kill()
        process.wait()


@posix
def test_the_kernel_frees_the_lock_of_a_killed_process(run: Run) -> None:
    EventWriter(run.events)("start")
    process = start_holder(run)
    assert status(run).state == "running"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert status(run).state == "crashed"
    with RunLock(run):
        assert status(run).pid == os.getpid()


def test_the_lock_nests_in_one_process(run: Run) -> None:
    with RunLock(run):
        with RunLock(str(run.path)):
            pass
        assert is_running(run)
    assert not is_running(run)


def test_the_lock_is_freed_by_an_exception(run: Run) -> None:
    with pytest.raises(KeyError), RunLock(run):
        raise KeyError
    assert not is_running(run)


@pytest.mark.slow
def test_probing_does_not_keep_a_taker_out(run: Run) -> None:
    code = (
        "import sys,time;from leuda_core.runs.folder import is_running\nprint('go', flush=True)\n"
        "end=time.monotonic()+1.5\nwhile time.monotonic()<end: is_running(sys.argv[1])"
    )
    with RunLock(run):
        pass  # so that the file exists
    probe = subprocess.Popen([sys.executable, "-c", code, str(run.path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert probe.stdout is not None and probe.stdout.readline() == b"go\n"
    taken = 0
    while probe.poll() is None:
        with RunLock(run):
            taken += 1
        time.sleep(0.001)
    probe.stdout.close()
    assert taken > 20


# starting, stopping and killing


def test_launch_returns_the_trainer_and_it_outlives_its_launcher(run: Run, python: list[str], tmp_path: Path) -> None:
    write_trainer(tmp_path, UNTIL_STOPPED)
    # launches, and is gone
    code = "import sys;from leuda_core.runs.control import launch\nprint(launch(sys.argv[1], python=sys.argv[2:]))"
    launcher = [sys.executable, "-c", code, str(run.path), *python]
    pid = int(subprocess.run(launcher, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert (status(run).state, status(run).pid) == ("running", pid)
    control.request_stop(run)
    wait_for(lambda: status(run).state == "stopped")


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

"""Runs on file systems that cannot lock files: one process holds a run, others see who, and nothing stays behind."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leuda_core.errors import InputError, LeudaError
from leuda_core.io.leftovers import machine, start_ticks
from leuda_core.runs import control, heartbeat, kernel_lock
from leuda_core.runs.events import EventWriter
from leuda_core.runs.folder import Run
from leuda_core.runs.lock import RunLock, holder, is_running
from leuda_core.runs.state import status
from leuda_core.training.run import train
from repository import ROOT
from waiting import wait_for

pytestmark = pytest.mark.skipif(os.name != "posix", reason="replaces fcntl")

NO_LOCKS = """
import errno, fcntl, os, sys, time
def flock(descriptor, operation):
    raise OSError(int(os.environ["NO_LOCKS"]), os.strerror(int(os.environ["NO_LOCKS"])))
fcntl.flock = flock
from leuda_core.errors import LeudaError
from leuda_core.runs import heartbeat
from leuda_core.runs.lock import RunLock
"""
HOLD = NO_LOCKS + "with RunLock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
RACE = (
    NO_LOCKS
    + """
sys.stdin.readline()
try:
    with RunLock(sys.argv[1]):
        print("held", flush=True)
        sys.stdin.readline()
except LeudaError:
    print("refused", flush=True)
"""
)


@pytest.fixture(params=["ENOLCK", "ENOSYS", "EOPNOTSUPP", "EINVAL", "EACCES"])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    number = getattr(errno, request.param)

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(kernel_lock.fcntl, "flock", flock)
    monkeypatch.setenv("NO_LOCKS", str(number))
    return number


@pytest.fixture
def other(run: Run, no_locks: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the run."""
    process = start(HOLD, run)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def start(code: str, run: Run) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code, str(run.path)], cwd=ROOT, text=True, **pipes)


def lock_files(run: Run) -> list[str]:
    return sorted(path.name for path in run.path.glob("lock*"))


def foreign(run: Run, *, age_s: float) -> Path:
    """Write what a process of another machine holds the run by."""
    path = run.path / "lock.1"
    path.write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": 0.0, "start": 5, "place": "0" * 8}))
    when = time.time() - age_s
    os.utime(path, (when, when))
    return path


def test_the_run_is_held_and_nests_and_says_why(run: Run, no_locks: int, caplog: pytest.LogCaptureFixture) -> None:
    with RunLock(run):
        with RunLock(str(run.path)):
            pass
        assert is_running(run) and lock_files(run) == ["lock", "lock.1"]
        assert (status(run).state, status(run).pid) == ("running", os.getpid())
    assert not is_running(run) and lock_files(run) == ["lock"] and holder(run) is None
    (record,) = caplog.records
    assert str(run.path) in record.message and f"errno {no_locks}" in record.message
    assert " at /" in record.message or not Path("/proc/mounts").exists()


def test_a_second_process_is_told_who_has_the_run_and_can_end_it(run: Run, other: subprocess.Popen[str]) -> None:
    EventWriter(run.events)("start")
    with pytest.raises(InputError, match=f"in use by process {other.pid} on "), RunLock(run):
        pass
    assert status(run).state == "running" and status(run).pid == other.pid
    assert control.kill(run, grace_s=0) is True
    assert not is_running(run) and status(run).state == "crashed"
    with RunLock(run):
        assert lock_files(run) == ["lock", "lock.2"]
    assert lock_files(run) == ["lock"]


@pytest.mark.parametrize("no_locks", ["ENOLCK"], indirect=True)
def test_of_many_processes_at_once_one_holds_the_run(run: Run, no_locks: int) -> None:
    dead = json.dumps({"pid": 2**22 + 1, "host": "", "since": 0.0, "start": 5, "place": machine()})
    (run.path / "lock.7").write_text(dead)
    processes = [start(RACE, run) for _ in range(4)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.stdout.readline().strip() for process in processes]
    for process in processes:
        process.communicate("\n", timeout=60)
    assert sorted(answers) == ["held", "refused", "refused", "refused"]
    assert lock_files(run) == ["lock"]


@pytest.mark.parametrize("no_locks", ["ENOSYS"], indirect=True)
def test_a_holder_elsewhere_counts_while_its_heart_beats(run: Run, no_locks: int) -> None:
    path = foreign(run, age_s=heartbeat.STALE_S / 2)
    assert is_running(run)
    with pytest.raises(InputError, match="in use"), RunLock(run):
        pass
    assert path.exists() and lock_files(run) == ["lock", "lock.1"]
    foreign(run, age_s=heartbeat.STALE_S * 2)
    assert not is_running(run)
    with RunLock(run):
        assert is_running(run) and not path.exists()


def test_a_refused_process_creates_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign(run, age_s=0)
    opened = os.open

    def only_read(path: Path, flags: int, *mode: int) -> int:
        return pytest.fail("a second holder would see this file") if flags & os.O_CREAT else opened(path, flags, *mode)

    monkeypatch.setattr(heartbeat.os, "open", only_read)
    assert heartbeat.take(run.lock, b"", lambda content: None) is None


def test_a_process_that_was_overlooked_keeps_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real, seen = foreign(run, age_s=0), heartbeat._files, []
    path = path.rename(run.path / "lock.5")

    def overlooks_at_first(lock: Path) -> list[tuple[int, Path]]:
        seen.append(lock)
        return [] if len(seen) == 1 else list(real(lock))

    monkeypatch.setattr(heartbeat, "_files", overlooks_at_first)
    assert heartbeat.take(run.lock, b"", lambda content: None) is None
    assert lock_files(run) == [path.name]


def test_a_file_with_a_heartbeat_counts_also_where_files_can_be_locked(run: Run) -> None:
    foreign(run, age_s=0)
    assert not run.lock.exists()
    with pytest.raises(InputError, match="in use"), RunLock(run):
        pass
    assert is_running(run)


@pytest.mark.parametrize("no_locks", ["ENOLCK"], indirect=True)
def test_a_process_that_can_lock_counts_where_files_cannot_be_locked(run: Run, no_locks: int) -> None:
    parent = {"pid": os.getppid(), "host": "", "since": 0.0, "start": start_ticks(os.getppid()), "place": machine()}
    run.lock.write_text(json.dumps(parent))
    with pytest.raises(InputError, match=f"process {os.getppid()}"), RunLock(run):
        pass


@pytest.mark.parametrize("no_locks", ["ENOLCK"], indirect=True)
def test_the_heart_beats_and_a_lost_run_is_noticed(run: Run, no_locks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.01)
    with RunLock(run) as lock:
        path = run.path / "lock.1"
        os.utime(path, (0, 0))
        wait_for(lambda: path.stat().st_mtime > 0)
        lock.check()
        path.rename(run.path / "lock.2")  # as if this process had slept, and another had taken the run
        wait_for(lambda: RunLock._held[str(run.path.resolve())].file.lost)
        with pytest.raises(LeudaError, match="taken over"):
            lock.check()
    assert lock_files(run) == ["lock", "lock.2"] and holder(run) is not None


def test_a_lock_that_fails_for_another_reason_names_the_file_system(
    run: Run, monkeypatch: pytest.MonkeyPatch, tiny_dataset: Path
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(kernel_lock.fcntl, "flock", flock)
    with pytest.raises(InputError, match=f"errno {errno.EIO}") as caught, RunLock(run):
        pass
    assert "local disk" in caught.value.remedy
    run.lock.touch()
    with pytest.raises(InputError, match="cannot lock files"):
        is_running(run)
    with pytest.raises(InputError, match="cannot lock files"):
        train(tiny_dataset, "source_only", run.path.parent / "new" / "run", steps=1)
    assert not (run.path.parent / "new").exists()


def test_a_run_that_was_deleted_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), RunLock(tmp_path / "gone"):
        pass


def test_file_systems_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    place = str(tmp_path).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {place}/a\\040b nfs4 rw 0 0\nbroken\n")
    monkeypatch.setattr(kernel_lock, "_MOUNTS", mounts)
    assert kernel_lock.file_system(tmp_path / "a b" / "run") == f"nfs4 at {tmp_path}/a b"
    assert kernel_lock.file_system(tmp_path / "a bc") == "ext4 at /"
    monkeypatch.setattr(kernel_lock, "_MOUNTS", tmp_path / "none")
    assert kernel_lock.file_system(tmp_path) == ""


def test_a_killed_holder_is_gone_at_once(run: Run, other: subprocess.Popen[str]) -> None:
    os.kill(other.pid, signal.SIGKILL)
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    if start_ticks(os.getpid()):
        assert not is_running(run)  # though nobody has waited for it yet

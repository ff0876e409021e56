"""The lock of a run, with real processes and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from leuda_core.errors import InputError
from leuda_core.runs.events import EventWriter
from leuda_core.runs.folder import Run
from leuda_core.runs.lock import RunLock, is_running
from leuda_core.runs.state import status
from repository import ROOT
from waiting import wait_for

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


def start_holder(run: Run) -> subprocess.Popen:
    code = "import sys,time;from leuda_core.runs.lock import RunLock\nwith RunLock(sys.argv[1]): time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(run.path)], cwd=ROOT)
    wait_for(lambda: is_running(run))
    return process


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
        "import sys,time;from leuda_core.runs.lock import is_running\nprint('go', flush=True)\n"
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

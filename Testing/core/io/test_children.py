"""A child process that crashes, hangs, refuses or takes too much memory becomes one clear error."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from leuda_core.errors import InputError, LeudaError, MemoryShortage
from leuda_core.io import children

MODULE = """
import os, sys, time
from leuda_core.io.children import limit
limit(int(sys.argv[1]), int(sys.argv[2]))
"""


def run(folder: Path, code: str, *, seconds: float = 20.0, memory_bytes: int = 1 << 20) -> None:
    (folder / "child_module.py").write_text(MODULE + code, encoding="utf-8")
    children.run_isolated("child_module", ["one"], folder, seconds=seconds, memory_bytes=memory_bytes)


def test_child_gets_its_arguments_and_runs_in_the_folder(tmp_path):
    run(tmp_path, "open('done', 'w').write(sys.argv[3])")
    assert (tmp_path / "done").read_text() == "one"


FAILURES = {
    "crash": ("os.abort()", "its decoder crashed"),
    "refusal": (f"print('not a frame', file=sys.stderr); sys.exit({children.REFUSED})", r"is damaged \(not a frame\)"),
    "another exit": ("sys.exit(7)", "its decoder crashed with code 7"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_failures_become_input_errors(tmp_path, failure):
    code, message = FAILURES[failure]
    with pytest.raises(InputError, match=message) as caught:
        run(tmp_path, code)
    assert caught.value.remedy


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no signals")
def test_child_that_the_system_ends_lacks_memory(tmp_path):
    with pytest.raises(MemoryShortage, match="needs more memory"):
        run(tmp_path, f"os.kill(os.getpid(), {int(signal.SIGKILL)})")


def test_full_disk_is_told(tmp_path):
    with pytest.raises(LeudaError, match="no space left"):
        run(tmp_path, f"sys.exit({children.NO_SPACE})")


@pytest.mark.slow
def test_child_that_sleeps_for_ever_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "_WALL_FACTOR", 1)
    with pytest.raises(InputError, match="takes longer than 1 s"):
        run(tmp_path, "open('pid', 'w').write(str(os.getpid())); time.sleep(600)", seconds=1.0)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the time of computing is limited on POSIX")
def test_child_that_computes_for_ever_is_killed(tmp_path):
    with pytest.raises(InputError, match="takes longer than 1 s"):
        run(tmp_path, "while True: pass", seconds=1.0)


@pytest.mark.skipif(not os.path.exists("/proc"), reason="address space is limited on Linux")
def test_memory_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "_BASE_MEMORY", 1 << 28)
    code = f"try:\n  bytearray(1 << 29)\nexcept MemoryError:\n  sys.exit({children.REFUSED})"
    with pytest.raises(InputError, match="is damaged"):
        run(tmp_path, code)


def test_interrupted_call_ends_the_child(tmp_path, monkeypatch):
    started = []

    def interrupted(process, timeout=None):
        monkeypatch.undo()
        started.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "time.sleep(600)")
    assert started[0].returncode is not None

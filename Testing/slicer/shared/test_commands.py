"""Commands in child processes: their lines, documents and errors, and how they are ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from child_scripts import COMMAND, is_there, posix, wait_for, write_script
from host.driving import Latency
from leuda_core.errors import Cancelled, DeviceError, InputError, LeudaError
from repository import ROOT
from timing import allowed


@pytest.fixture
def commands(slicer_app):
    from LEUDASegmentationLib.processes import commands

    return commands


@pytest.fixture
def run(commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Make a ``LeudaCommand`` that runs a function of the script instead of leuda."""
    script = write_script(tmp_path, COMMAND)

    def make(name: str, python: str = sys.executable, **callbacks):
        monkeypatch.setattr(commands, "python_command", lambda: [python, script, name])
        return commands.LeudaCommand([name], **callbacks)

    return make


# lines


@pytest.mark.slow
@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs", "Z", "Cc"]), min_size=1)),
    st.data(),
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lines_are_whole_however_they_are_cut(slicer_app, lines: list[str], data: st.DataObject) -> None:
    from LEUDASegmentationLib.processes.child_process import LineBuffer

    stream = "".join(f"{line}\n" for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    buffer, found = LineBuffer(), []
    for first, end in pairwise([0, *cuts, len(stream)]):
        found += buffer.feed(stream[first:end])
    assert found == lines and buffer.flush() == []


def test_a_line_without_end_is_broken_or_flushed(slicer_app) -> None:
    from LEUDASegmentationLib.processes.child_process import LineBuffer

    buffer = LineBuffer(b"\n\r", longest=10)
    assert buffer.feed(b"1 of 2\r2 of 2") == ["1 of 2"] and buffer.flush() == ["2 of 2"]
    assert buffer.feed(b"x" * 25) == ["x" * 25] and buffer.flush() == []


def test_half_characters_and_half_lines_come_whole_and_before_the_end(run) -> None:
    order: list[object] = []
    command = run("words", onLine=order.append, onDone=lambda document: order.append((document,)))
    assert command.start().wait(20) == "Größe"
    assert order == ["Größe 1", "half line", ("Größe",)]


@pytest.mark.slow
def test_a_flood_neither_freezes_nor_hides_the_last_lines(run) -> None:

    lines: list[str] = []
    with Latency() as latency:
        assert run("flood", onLine=lines.append).start().wait(60) == {}
    assert lines[-1] == "line 199999" and any("lines left out" in line for line in lines)
    assert latency.longest_s < 0.25


# documents and errors


@pytest.mark.slow
def test_a_real_command_and_a_real_error(commands) -> None:
    lines: list[str] = []
    methods = commands.LeudaCommand(["methods"], onLine=lines.append).start()
    assert "le_uda" in {method["name"] for method in methods.wait(60)} and methods.exit_code == 0
    with pytest.raises(InputError, match="nowhere") as caught:
        commands.LeudaCommand(["status", Path("/nowhere")], onLine=lines.append).start().wait(60)
    assert caught.value.remedy and any("nowhere" in line for line in lines)


def test_a_document_is_a_result_whatever_the_exit_code(run) -> None:
    told: list[object] = []
    command = run("answer", onDone=told.append, onError=told.append)
    words = ["answer", "-X", "utf8", "-m", "leuda_core", "answer", "--json"]
    assert command.start().wait(20) == {"ok": False, "words": words}
    assert told == [command.document] and command.exit_code == 2 and not command.running


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "words", "remedy"),
    [
        ("error", DeviceError, "no GPU", "use the CPU"),
        ("garbage", LeudaError, "code 1: ValueError: what went wrong", "see the log"),
        ("missing", LeudaError, "the package msgspec is missing", "press Install"),
        pytest.param("killed", LeudaError, "stopped unexpectedly .*: about to die", "free memory", marks=posix),
    ],
)
def test_errors_say_cause_and_remedy(run, name: str, kind: type, words: str, remedy: str) -> None:
    told: list[LeudaError] = []
    command = run(name, onDone=lambda document: pytest.fail("a failure is no result"), onError=told.append)
    with pytest.raises(kind, match=words) as caught:
        command.start().wait(20)
    assert told == [caught.value] and remedy in caught.value.remedy


def test_python_that_cannot_be_started(run, tmp_path: Path) -> None:
    command = run("answer", python=str(tmp_path / "no such python"))
    with pytest.raises(LeudaError, match=r"could not be started: .*no such python"):
        command.start().wait(20)
    assert not command.running


def test_waiting_has_an_end_and_the_command_goes_on(run) -> None:
    command = run("tidy").start()
    with pytest.raises(LeudaError, match="'leuda tidy' was not finished after 0 s"):
        command.wait(0.05)
    assert command.running
    command.cancel()
    with pytest.raises(Cancelled):
        command.wait(10)


# ending


@posix
def test_cancel_lets_a_command_tidy_up(run) -> None:
    lines: list[str] = []
    told: list[LeudaError] = []
    command = run("tidy", onLine=lines.append, onError=told.append).start()
    assert wait_for(lambda: "ready" in lines)
    start = time.monotonic()
    command.cancel()
    with pytest.raises(Cancelled):
        command.wait(10)
    assert time.monotonic() - start < allowed(1.0) and lines[-1] == "tidied up" and command.exit_code == 130
    assert [type(error) for error in told] == [Cancelled]


@posix
@pytest.mark.parametrize("reader", ["_from_proc", "_from_ps"])
def test_a_tree_is_found_and_ended_with_proc_and_without(
    slicer_app, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from LEUDASegmentationLib.processes import process_tree

    if not (Path("/proc/self/stat").exists() if reader == "_from_proc" else shutil.which("ps")):
        pytest.skip("this system has other means")
    monkeypatch.setattr(process_tree, "_processes", getattr(process_tree, reader))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    far = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        pids = process_tree.ProcessTree(os.getpid()).pids
        assert pids[0] == os.getpid() and child.pid in pids and far.pid not in pids
        process_tree.ProcessTree(child.pid).kill()
        assert child.wait(5) == -9
    finally:
        for process in (child, far):
            process.kill()
            process.wait()


@pytest.mark.slow
@posix
def test_cancel_ends_the_tree_by_force_but_no_detached_training(run) -> None:
    lines: list[str] = []
    command = run("stubborn", onLine=lines.append).start()
    assert wait_for(lambda: bool(lines))
    own, child, detached = map(int, lines[0].split()[1:])
    try:
        command.cancel()
        with pytest.raises(Cancelled):
            command.wait(10)
        assert wait_for(lambda: not is_there(own) and not is_there(child), 5)
        assert is_there(detached)
    finally:
        os.kill(detached, 9)


@pytest.mark.slow
@posix
@pytest.mark.parametrize("name", ["tidy", "stubborn"])
def test_cancel_reaches_python_behind_its_launcher(run, name: str, tmp_path: Path) -> None:
    """PythonSlicer waits for the Python it starts; ending it alone would leave that one running."""
    launcher = tmp_path / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(0o755)
    lines: list[str] = []
    command = run(name, python=str(launcher), onLine=lines.append).start()
    assert wait_for(lambda: bool(lines))
    command.cancel()
    with pytest.raises(Cancelled):
        command.wait(10)
    if name == "tidy":
        assert lines[-1] == "tidied up" and command.exit_code == 130
        return
    own, child, detached = map(int, lines[0].split()[1:])
    os.kill(detached, 9)
    assert wait_for(lambda: not is_there(own) and not is_there(child), 5)


EXIT = """
import sys
from host import boot
app = boot(sys.argv[1], main_window=False)
sys.path.insert(0, sys.argv[2])
from LEUDASegmentationLib.processes.child_process import ChildProcess
child = ChildProcess([sys.executable, "-c", "input()"], onOutput=print, onLog=print, onEnd=print)
child.start()
app.wait_until(lambda: child.pid)
"""


@pytest.mark.slow
def test_python_may_exit_while_a_child_runs(tmp_path: Path) -> None:
    root = ROOT
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "Testing"), str(root)])}
    command = [sys.executable, "-c", EXIT, str(tmp_path), str(root / "LEUDASegmentation")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr and "already deleted" not in done.stderr
    assert done.stdout == ""

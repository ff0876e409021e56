"""The warm worker from Slicer's side: a scripted worker for every misfortune, then the real one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from child_scripts import WORKER, is_there, posix, wait_for, write_script
from leuda_core.errors import Cancelled, InputError, LeudaError
from timing import allowed


@pytest.fixture
def module(slicer_app):
    from LEUDASegmentationLib.processes import worker_client

    return worker_client


@pytest.fixture
def client(module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """A client of the scripted worker."""
    script = write_script(tmp_path, WORKER)
    monkeypatch.setattr(module, "python_command", lambda: [sys.executable, script])
    client = module.WorkerClient()
    yield client
    client.stop()


@pytest.fixture
def real(module) -> Iterator:
    client = module.WorkerClient()
    yield client
    client.stop()


def pid_of(client) -> int:
    return client.wait(client.request("echo", text=""), 20)["pid"]


# requests


def test_a_request_starts_the_worker_and_gets_progress_and_one_result(client) -> None:
    told: list[object] = []
    assert not client.is_running
    number = client.request("echo", told.append, told.append, told.append, text="Größe „1“\n")
    assert client.is_running and client.open_requests == [number]
    result = client.wait(number, 20)
    progress, done = told
    assert progress["stage"] == "segment" and progress["seconds_left"] == 0.5 and done == result
    assert result["text"] == "Größe „1“\n" and client.open_requests == []


def test_the_worker_stays(client) -> None:
    assert pid_of(client) == pid_of(client)


def test_an_error_becomes_ours(client) -> None:
    told: list[LeudaError] = []
    number = client.request("fail", onError=told.append)
    with pytest.raises(InputError, match="no volume") as caught:
        client.wait(number, 20)
    assert caught.value.remedy == "choose one" and told == [caught.value]


def test_what_is_no_event_or_nobodys_is_left_out(client, caplog: pytest.LogCaptureFixture) -> None:
    assert client.wait(client.request("noise"), 20) == {}
    assert "this is no event" in caplog.text and "a bad line" in caplog.text
    assert caplog.text.count("a line that is not an event") == 5


@pytest.mark.slow
def test_waiting_has_an_end_and_the_request_goes_on(client) -> None:
    number = client.request("hang")
    with pytest.raises(LeudaError, match="not finished after 0 s"):
        client.wait(number, 0.05)
    assert client.open_requests == [number]


# misfortunes


def test_a_worker_that_dies_fails_what_is_open_and_the_next_request_starts_another(client) -> None:
    first = pid_of(client)
    log: list[str] = []
    client.onLog = log.append
    dying, waiting = client.request("die"), client.request("echo", text="behind it")
    for number in (dying, waiting):
        with pytest.raises(LeudaError, match="code 9: MemoryError: the last words") as caught:
            client.wait(number, 20)
        assert caught.value.remedy
    assert log == ["MemoryError: the last words"] and not client.is_running
    assert pid_of(client) != first


@posix
def test_a_worker_that_is_killed_is_started_again(client) -> None:
    first = pid_of(client)
    number = client.request("hang")
    os.kill(first, 9)
    with pytest.raises(LeudaError, match="stopped unexpectedly with signal"):
        client.wait(number, 20)
    assert pid_of(client) != first


def test_a_request_on_a_dead_worker_that_nobody_has_noticed_yet_fails_with_a_remedy(client) -> None:
    os.kill(pid_of(client), 9)
    time.sleep(0.2)  # without the event loop, so that the client does not know
    with pytest.raises(LeudaError) as caught:
        client.wait(client.request("echo", text=""), 20)
    assert caught.value.remedy
    assert pid_of(client)


def test_another_protocol_is_refused(client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_PROTOCOL", "7")
    with pytest.raises(LeudaError, match="protocol 7, this module 1") as caught:
        client.wait(client.request("echo", text=""), 20)
    assert "reinstall the LE-UDA extension" in caught.value.remedy and not client.is_running


def test_no_python(client, module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "python_command", lambda: [str(tmp_path / "gone")])
    with pytest.raises(LeudaError, match="Python could not be started"):
        client.wait(client.request("echo", text=""), 20)
    assert not client.is_running


# cancelling


@pytest.mark.slow
def test_cancel_ends_within_a_second_even_when_the_worker_does_not_listen(client) -> None:
    pid_of(client)
    told: list[LeudaError] = []
    number = client.request("hang", onDone=told.append, onError=told.append)
    start = time.monotonic()
    client.cancel(number)
    client.cancel(number)
    with pytest.raises(Cancelled):
        client.wait(number, 20)
    assert time.monotonic() - start < allowed(1.2) and [type(error) for error in told] == [Cancelled]


@pytest.mark.slow
def test_a_stuck_worker_is_replaced_and_the_rest_is_done_by_the_next(client) -> None:
    first = pid_of(client)
    stuck, behind = client.request("hang"), client.request("echo", text="behind it")
    client.cancel(stuck)
    result = client.wait(behind, 20)
    assert result["text"] == "behind it" and result["pid"] != first
    assert wait_for(lambda: not is_there(first))


def test_cancelling_nothing_is_nothing(client) -> None:
    client.cancel(4711)
    assert not client.is_running


# ending


@pytest.mark.slow
def test_stop_cancels_and_leaves_neither_process_nor_files(client) -> None:
    pid = pid_of(client)
    path = Path(client.new_path("volume.npy"))
    path.touch()
    told: list[LeudaError] = []
    client.request("hang", onError=told.append)
    start = time.monotonic()
    client.stop()
    assert time.monotonic() - start < allowed(2.0)
    assert [type(error) for error in told] == [Cancelled] and not client.is_running
    assert not path.parent.exists() and wait_for(lambda: not is_there(pid))
    assert pid_of(client) != pid


def test_the_shared_worker_is_one_and_ends_with_slicer(module, slicer_app) -> None:
    shared = module.shared_worker()
    assert module.shared_worker() is shared
    folder = Path(shared.new_path("volume.npy")).parent
    assert folder.is_dir()
    module.stop_shared_worker()
    assert not folder.exists() and module.shared_worker() is not shared


# files


def test_files_lie_in_a_private_folder_under_names_of_their_own(client) -> None:
    first, second, never_written = (Path(client.new_path("volume.npy")) for _ in range(3))
    assert len({first, second, never_written}) == 3 and not first.exists()
    first.touch()
    second.touch()
    if os.name != "nt":
        assert first.parent.stat().st_mode & 0o777 == 0o700
    client.discard(str(first))
    client.discard(str(never_written))
    assert not first.exists() and second.exists()


def test_a_temporary_folder_that_cannot_be_written_is_told(client, tmp_path: Path, slicer_app) -> None:
    import slicer

    (tmp_path / "file").touch()
    slicer.app.temporaryPath = str(tmp_path / "file")
    with pytest.raises(LeudaError, match="cannot create a folder") as caught:
        client.new_path("volume.npy")
    assert "another temporary folder" in caught.value.remedy


def test_what_a_crashed_slicer_left_is_removed_and_nothing_else(client, slicer_app) -> None:
    import slicer

    from leuda_core.io.leftovers import machine, temporary_name

    parent = Path(slicer.app.temporaryPath)
    dead = f"LEUDA-worker-{machine()}-999999999-1-00000000"
    names = (dead, temporary_name(prefix="LEUDA-worker-"), "LEUDA-worker-2-0-of-0.2", "LEUDA-worker-1-1-new")
    gone, living, old, new = (parent / name for name in names)
    for folder in (gone, living, old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    client.new_path("x")
    assert not gone.exists() and living.exists() and not old.exists() and new.exists()


# the real one


@pytest.mark.slow
def test_the_real_worker_answers_says_what_is_wrong_and_stays_warm(real) -> None:
    log: list[str] = []
    real.onLog = log.append
    found = real.wait(real.request("devices"), 90)
    assert "cpu" in {device["device"] for device in found["devices"]}
    assert any("were imported" in line for line in log)
    with pytest.raises(InputError, match="/nowhere") as caught:
        real.wait(real.request("load", model="/nowhere"), 20)
    assert caught.value.remedy
    start = time.monotonic()
    real.wait(real.request("devices"), 20)
    assert time.monotonic() - start < allowed(2.0)


@pytest.mark.slow
def test_the_real_worker_is_cancelled_while_it_still_imports(real) -> None:
    number = real.request("devices")
    wait_for(lambda: False, 0.5)
    start = time.monotonic()
    real.cancel(number)
    with pytest.raises(Cancelled):
        real.wait(number, 20)
    assert time.monotonic() - start < allowed(1.2)
    pid = real._process.pid
    start = time.monotonic()
    real.stop()
    assert time.monotonic() - start < allowed(1.5)
    assert wait_for(lambda: not is_there(pid))

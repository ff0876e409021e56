"""What killed processes left behind is removed by the next writer; what a living process writes stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leuda_core.bundle.store import import_model
from leuda_core.io import leftovers
from leuda_core.io.files import write_text
from leuda_core.io.leftovers import OLD_S, is_alive, machine, make_temporary_folder, start_ticks, temporary_name
from leuda_core.runs.folder import Run
from leuda_core.training import run as training
from repository import ROOT

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's table of processes")
NO_PROCESS = 2**22 + 1  # above the largest id that Linux gives
DEAD = f"{machine()}-{NO_PROCESS}-1-00000000-a.nii.gz"
WRITER = """
import sys, time
from pathlib import Path
from leuda_core.io.files import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    time.sleep(60)
"""


def start_writer(path: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start a process that stops in the middle of writing; return it and its unfinished file."""
    command = [sys.executable, "-c", WRITER, str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as stream:
        return process, Path(stream.readline().strip())


@needs_proc
def test_the_file_of_a_killed_process_is_removed_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    process, unfinished = start_writer(tmp_path / "one.nii.gz")
    try:
        write_text(tmp_path / "two.txt", "x")
        assert unfinished.read_text() == "half"
    finally:
        process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    write_text(tmp_path / "two.txt", "x")  # it is a zombie now, which has ended
    process.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two.txt"]


def test_files_of_others_stay(tmp_path: Path) -> None:
    elsewhere = f".tmp-{'0' * 8}-{NO_PROCESS}-1-00000000-a.txt"  # a process of another machine
    names = [elsewhere, ".tmp-of another program", ".tmp-0123abcd-old.txt", temporary_name("mine.txt")]
    for name in [*names, f".tmp-{DEAD}"]:
        (tmp_path / name).touch()
    write_text(tmp_path / "a.txt", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "a.txt"])
    old = time.time() - OLD_S - 60
    for name in names:
        os.utime(tmp_path / name, (old, old))
    write_text(tmp_path / "a.txt", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names[1:], "a.txt"])


def test_a_process_is_known_by_its_start_too() -> None:
    me = os.getpid()
    assert is_alive(me, start_ticks(me)) is not False
    if start_ticks(me):
        assert is_alive(me, start_ticks(me) + 1) is False
    if os.name == "posix":
        assert is_alive(NO_PROCESS, 1) is False and is_alive(10**12, 0) is False and is_alive(1, 0)


def test_temporary_names_fit_where_the_name_fits(tmp_path: Path) -> None:
    name = "ü" * 120 + ".nii.gz"
    write_text(tmp_path / name, "x")
    assert temporary_name(name).endswith("ü.nii.gz")


def test_temporary_folders_of_killed_processes_are_removed(tmp_path: Path) -> None:
    gone, unknown = tmp_path / f"leuda-plan-{DEAD}", tmp_path / "leuda-plan-abc"
    for folder in (gone, unknown):
        folder.mkdir()
        (folder / "image.npy").touch()
    living = make_temporary_folder(tmp_path, prefix="leuda-plan-")
    second = make_temporary_folder(tmp_path, prefix="leuda-plan-")
    assert {path.name for path in tmp_path.iterdir()} == {living.name, second.name, unknown.name}
    os.utime(unknown, (0, 0))
    make_temporary_folder(tmp_path, prefix="leuda-plan-")
    assert not unknown.exists()


def test_what_another_program_left_stays_beside_temporary_folders(tmp_path: Path) -> None:
    foreign = tmp_path / ".tmp-of another program"
    foreign.mkdir()
    os.utime(foreign, (0, 0))
    make_temporary_folder(tmp_path, prefix=leftovers.TEMPORARY_PREFIX)
    assert foreign.is_dir()


def test_folders_of_other_users_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f".tmp-{DEAD}").touch()
    monkeypatch.setattr(leftovers.os, "getuid", lambda: 12345, raising=False)
    leftovers.remove_leftovers(tmp_path)
    assert (tmp_path / f".tmp-{DEAD}").exists()


def test_the_store_loses_its_leftovers_at_the_next_import(tmp_path: Path, untrained_bundle: Path) -> None:
    gone, old, new = (tmp_path / f".tmp-{name}" for name in (DEAD, "0123abcd", "4567abcd"))
    for folder in (gone, old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    entry = import_model(untrained_bundle, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {entry.path.name, new.name}


def test_a_run_loses_its_leftovers_at_the_next_start(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training.create_run(tiny_dataset, "source_only", tmp_path / "run", steps=1)
    living = temporary_name("scores.json")  # `leuda report` writes to a run without its lock
    names = [f".tmp-{DEAD}", ".tmp-0123abcd-checkpoint-last.pt", ".bundle-x8kq2", ".prepared"]
    for name in names:
        (run.path / name).mkdir()
        (run.path / name / "image.npy").touch()
    (run.path / living).touch()
    monkeypatch.setattr(training, "Training", lambda *_: _Nothing())
    training.resume(run)
    assert {path.name for path in run.path.iterdir()} == {"run.json", "lock", living}


class _Nothing:
    def loop(self) -> None:
        pass


def test_the_cache_of_a_run_is_in_its_folder(tmp_path: Path) -> None:
    assert Run(tmp_path).cache.parent == tmp_path

"""Atomic writes: the old file stays whole whatever goes wrong, and nothing is left lying about."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from leuda_core.errors import InputError, LeudaError
from leuda_core.io.files import atomic_path, check_output_folder, write_bytes, write_json, write_text
from repository import ROOT

# Runs in a process of its own: the limit on the size of files cannot be raised again.
_LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from leuda_core.errors import LeudaError
from leuda_core.io.files import write_json
from leuda_core.io.volumes import write_label_map
from leuda_core.types import LabelMap
kind, path = sys.argv[1], Path(sys.argv[2])
labels = np.random.default_rng(0).integers(0, 200, (40, 40, 40)).astype(np.uint8)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    write_json(path, list(range(5000))) if kind == "json" else write_label_map(LabelMap(labels, np.eye(4)), path)
except LeudaError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def folder_is_clean(folder: Path, *names: str) -> bool:
    return sorted(entry.name for entry in folder.iterdir()) == sorted(names)


def test_success_replaces_the_file_and_keeps_the_extension_meanwhile(tmp_path):
    path = tmp_path / "new folder" / "volume é.nii.gz"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.name.endswith(".nii.gz")
        temporary.write_bytes(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    assert folder_is_clean(path.parent, path.name)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_failure_keeps_the_old_file_and_removes_the_new(tmp_path, kind):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    with pytest.raises(kind), atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise kind
    assert path.read_bytes() == b"old"
    assert folder_is_clean(tmp_path, "a.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(InputError, match="it is a device or a pipe") as caught:
            write_text(path, "x")
        assert str(path) in str(caught.value) and caught.value.remedy
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_symbolic_link_is_followed(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_text_and_json_are_utf8_with_plain_line_ends(tmp_path):
    write_json(tmp_path / "a.json", {"name": "Zürich", "n": [1]})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "name": "Zürich",\n  "n": [\n    1\n  ]\n}\n'.encode()
    write_bytes(tmp_path / "b", b"\x00\n")
    assert (tmp_path / "b").read_bytes() == b"\x00\n"


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", [float("nan")])
    assert json.loads((tmp_path / "a.json").read_text()) == [1]


def test_place_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write") as caught:
        write_text(tmp_path / "file" / "a.txt", "x")
    assert "\n" not in str(caught.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder"):
        write_text(tmp_path / "folder", "x")
    assert folder_is_clean(tmp_path, "file", "folder")


def test_check_output_folder_leaves_nothing(tmp_path):
    check_output_folder(tmp_path / "a" / "b")
    check_output_folder(tmp_path)
    assert folder_is_clean(tmp_path)


def test_check_output_folder_names_the_folder_it_cannot_make(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"cannot write into .*file"):
        check_output_folder(tmp_path / "file")
    with pytest.raises(InputError, match="sub"):
        check_output_folder(tmp_path / "file" / "sub")
    assert folder_is_clean(tmp_path, "file")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder in which nobody can make files")
def test_check_output_folder_refuses_a_folder_without_write_access():
    with pytest.raises(InputError, match="/proc/leuda"):
        check_output_folder(Path("/proc/leuda"))


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
@pytest.mark.parametrize(
    "name", ["status.json", "labels.nii.gz", "labels.nii", "labels.nrrd", "labels.seg.nrrd", "labels.mha"]
)
def test_no_space_leaves_the_old_file_whole(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"the old file")
    result = _run_limited("json" if name.endswith("json") else "labels", path)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"LeudaError: cannot write '{path}'")
    assert "free disk space" in last
    assert path.read_bytes() == b"the old file"
    assert folder_is_clean(tmp_path, name)


def _run_limited(kind: str, path: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", _LIMITED, kind, str(path)]
    root = ROOT
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)


@pytest.fixture
def full_disk(tmp_path):
    """A real file system with no byte left on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("may not mount a small file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _fill(folder: Path) -> None:
    with open(folder / "fill", "wb") as stream:
        stream.write(b"0" * (os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize))


@pytest.mark.parametrize("name", ["a.json", "a.nii.gz", "a.nii", "a.nrrd", "a.seg.nrrd", "a.mha"])
def test_full_disk_leaves_the_old_file_whole(full_disk, name):
    from leuda_core.io.volumes import write_label_map
    from leuda_core.types import LabelMap

    path = full_disk / name
    path.write_bytes(b"the old file")
    _fill(full_disk)
    # So small that a writer with a buffer notices nothing until it closes the file.
    label_map = LabelMap(np.zeros((3, 4, 5), np.uint8), np.eye(4))
    with pytest.raises(LeudaError, match="free disk space") as caught:
        write_json(path, [1, 2]) if name == "a.json" else write_label_map(label_map, path)
    assert caught.value.exit_code == 1
    assert path.read_bytes() == b"the old file"
    assert folder_is_clean(full_disk, name, "fill")

from __future__ import annotations

import os
from pathlib import Path

import pytest

from leuda_core.io.digests import digest
from leuda_core.io.volumes import volume_digest


def test_a_copy_has_the_same_digest_and_a_changed_byte_another(tmp_path: Path) -> None:
    first, copy, other = (tmp_path / name for name in ("a", "b", "c"))
    first.write_bytes(b"x" * 3_000_000)
    copy.write_bytes(b"x" * 3_000_000)
    other.write_bytes(b"x" * 2_999_999 + b"y")
    assert digest(first) == digest(copy) != digest(other)


def test_of_a_folder_names_and_contents_count(tmp_path: Path) -> None:
    found = []
    for folder, name, content in (("a", "1", b"x"), ("b", "1", b"x"), ("c", "2", b"x"), ("d", "1", b"y")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(content)
        found.append(digest(tmp_path / folder))
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_hidden_files_of_a_folder_do_not_count_and_a_pipe_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    before = digest(tmp_path)
    (tmp_path / "._a").write_bytes(b"of macOS")
    assert digest(tmp_path) == before
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.nrrd")
        with pytest.raises(OSError, match="not a regular file"):
            volume_digest(tmp_path / "pipe.nrrd")


def test_voxels_in_another_file_count(tmp_path: Path) -> None:
    header = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 1 1 2\nencoding: raw\ndata file: voxels.raw\n\n"
    (tmp_path / "a.nrrd").write_text(header)
    found = []
    for content in (b"ab", b"ac"):
        (tmp_path / "voxels.raw").write_bytes(content)
        found.append(volume_digest(tmp_path / "a.nrrd"))
    assert found[0] != found[1]
    (tmp_path / "b.nrrd").write_text("NRRD0004\nbroken")
    assert volume_digest(tmp_path / "b.nrrd") == digest(tmp_path / "b.nrrd")

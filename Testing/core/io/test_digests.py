from __future__ import annotations

from pathlib import Path

from leuda_core.io.digests import digest


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

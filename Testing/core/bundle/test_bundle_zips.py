"""Zip files that are no model, or want more than to be one, are refused before anything is unpacked."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from leuda_core.bundle.model import load_bundle
from leuda_core.bundle.store import export_model
from leuda_core.errors import InputError


@pytest.mark.parametrize(
    "entry", ["../README.md", "/README.md", "..\\README.md", "a/b/README.md", "C:/README.md", "evil.py"]
)
def test_zip_entries_outside_are_refused(untrained_bundle: Path, tmp_path: Path, entry: str) -> None:
    with zipfile.ZipFile(export_model(untrained_bundle, tmp_path / "m.zip"), "a") as archive:
        archive.writestr(entry, b"x")
    with pytest.raises(InputError, match=r"README|evil"):
        load_bundle(tmp_path / "m.zip")


def test_zip_with_a_name_twice_is_refused(untrained_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(export_model(untrained_bundle, tmp_path / "m.zip"), "a") as archive, pytest.warns(UserWarning):
        archive.writestr("README.md", b"other")
    with pytest.raises(InputError, match=r"README\.md"):
        load_bundle(tmp_path / "m.zip")


def test_zip_with_a_link_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        entry = zipfile.ZipInfo("README.md")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(InputError, match="link"):
        load_bundle(tmp_path / "m.zip")


def test_zip_bomb_is_refused_before_it_unpacks(untrained_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("bundle.json", "model.safetensors"):
            archive.write(untrained_bundle / name, name)
        with archive.open("README.md", "w") as stream:
            for _ in range(5):
                stream.write(bytes(2**20))
    with pytest.raises(InputError, match=str(5 * 2**20)):
        load_bundle(tmp_path / "m.zip")


def test_zip_that_understates_a_size_is_refused(untrained_bundle: Path, tmp_path: Path) -> None:
    packed = export_model(untrained_bundle, tmp_path / "m.zip")
    size = (untrained_bundle / "README.md").stat().st_size
    packed.write_bytes(packed.read_bytes().replace(struct.pack("<L", size), struct.pack("<L", size - 1)))
    with pytest.raises(InputError, match=r"README\.md"):
        load_bundle(packed)

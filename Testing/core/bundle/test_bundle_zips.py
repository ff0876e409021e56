"""A zipped bundle reads like its folder; one that is no model, or wants more than to be one, is not unpacked."""

from __future__ import annotations

import os
import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from bundle_edits import content
from leuda_core.bundle.files import LIMITS
from leuda_core.bundle.model import load_bundle
from leuda_core.bundle.store import export_model, import_model, list_models
from leuda_core.errors import InputError


def test_zip_reads_like_its_folder_without_extracting(untrained_bundle: Path, tmp_path: Path) -> None:
    packed = export_model(untrained_bundle, tmp_path / "out" / "model.zip")
    assert content(load_bundle(packed)) == content(load_bundle(untrained_bundle))
    assert [path.name for path in packed.parent.iterdir()] == ["model.zip"]


def test_zip_of_a_folder_as_file_browsers_pack_it_is_read(untrained_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("heart/", b"")
        for name in LIMITS:
            archive.write(untrained_bundle / name, f"heart/{name}")
        archive.writestr("__MACOSX/heart/._README.md", b"x")
    assert content(load_bundle(tmp_path / "a.zip")) == content(load_bundle(untrained_bundle))


def test_zip_of_a_folder_with_backslashes_is_read(untrained_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("", *LIMITS):  # as PowerShell packs a folder
            entry = zipfile.ZipInfo("x")
            entry.filename = f"heart\\{name}"
            archive.writestr(entry, (untrained_bundle / name).read_bytes() if name else b"")
    assert content(load_bundle(tmp_path / "a.zip")) == content(load_bundle(untrained_bundle))


@pytest.mark.parametrize(
    "entry", ["../README.md", "/README.md", "..\\README.md", "a\\b\\x", "a/b/README.md", "C:/README.md", "evil.py"]
)
def test_zip_entries_outside_are_refused(untrained_bundle: Path, tmp_path: Path, entry: str) -> None:
    with zipfile.ZipFile(export_model(untrained_bundle, tmp_path / "m.zip"), "a") as archive:
        archive.writestr(entry, b"x")
    with pytest.raises(InputError, match=r"README|evil|not allowed"):
        load_bundle(tmp_path / "m.zip")


def test_zip_with_a_name_twice_is_refused(untrained_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(export_model(untrained_bundle, tmp_path / "m.zip"), "a") as archive, pytest.warns(UserWarning):
        archive.writestr("README.md", b"other")
    with pytest.raises(InputError, match=r"README\.md"):
        load_bundle(tmp_path / "m.zip")


def test_zip_entry_without_a_name_is_refused(untrained_bundle: Path, tmp_path: Path) -> None:
    path = export_model(untrained_bundle, tmp_path / "m.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("@", b"")
    path.write_bytes(path.read_bytes().replace(b"@PK", b"\0PK"))  # zipfile ends a name at a zero byte
    with pytest.raises(InputError, match="''"):
        load_bundle(path)


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


def fields_changed(packed: Path, name: bytes, **values: int) -> None:
    """Change the local and the central header of an entry: ``flags``, ``method``, ``crc``, ``compressed``, ``size``,
    ``offset``."""
    data = bytearray(packed.read_bytes())
    local, central = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    while data[local + 30 : local + 30 + len(name)] != name:
        local = data.index(b"PK\x03\x04", local + 4)
    while data[central + 46 : central + 46 + len(name)] != name:
        central = data.index(b"PK\x01\x02", central + 4)
    places = {"flags": (6, "<H"), "method": (8, "<H"), "crc": (14, "<L"), "compressed": (18, "<L"), "size": (22, "<L")}
    for key, value in values.items():
        if key == "offset":
            struct.pack_into("<L", data, central + 42, value)
        else:
            at, kind = places[key]
            struct.pack_into(kind, data, local + at, value)
            struct.pack_into(kind, data, central + at + 2, value)
    packed.write_bytes(bytes(data))


@pytest.mark.parametrize("name", [b"README.md", b"bundle.json", b"model.safetensors"])
@pytest.mark.parametrize(
    "values",
    [
        {"flags": 1},
        {"method": 9},
        {"method": zipfile.ZIP_BZIP2},
        {"method": zipfile.ZIP_LZMA},
        {"method": 99},
        {"crc": 7},
        {"compressed": 3},
        {"compressed": 2**31},
        {"size": 2**32 - 2},
        {"size": 2**32 - 1},
        {"offset": 2**32 - 2},
        {"offset": 0, "size": 5},
    ],
    ids=str,
)
def test_zip_with_other_headers_is_refused(untrained_bundle: Path, tmp_path: Path, name: bytes, values: dict) -> None:
    packed = export_model(untrained_bundle, tmp_path / "m.zip")
    fields_changed(packed, name, **values)
    for work in (load_bundle, lambda path: import_model(path, tmp_path / "store")):
        with pytest.raises(InputError) as caught:
            work(packed)
        assert caught.value.remedy and not (tmp_path / "store").exists()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_that_cannot_be_unpacked_in_little_memory_is_refused(
    untrained_bundle: Path, tmp_path: Path, method: int
) -> None:
    """Unpacking one block of these methods may take any amount of memory."""
    with zipfile.ZipFile(tmp_path / "m.zip", "w", method) as archive:
        for path in untrained_bundle.iterdir():
            archive.write(path, path.name)
    with pytest.raises(InputError, match="deflate") as caught:
        load_bundle(tmp_path / "m.zip")
    assert "pack its files again" in caught.value.remedy


def test_zip_that_lies_with_64_bits_is_refused(untrained_bundle: Path, tmp_path: Path) -> None:
    packed = export_model(untrained_bundle, tmp_path / "m.zip")
    data = bytearray(packed.read_bytes())
    end = data.index(b"PK\x05\x06")
    for count, length, start in ((3, 2**62, 2**62), (2**63, 2**40, 0), (3, 2**64 - 1, 2**64 - 1)):
        record = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, start)
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
        packed.write_bytes(bytes(data[:end]) + record + locator + bytes(data[end:]))
        with pytest.raises(InputError, match=r"m\.zip"):
            load_bundle(packed)


def test_zip_with_a_million_entries_is_not_listed(tmp_path: Path) -> None:
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *[0] * 9, 1, *[0] * 6) + b"a"
    directory = entry * 100_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, len(directory), 0, 0)
    (tmp_path / "m.zip").write_bytes(directory + end)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=f"part of {len(directory)} bytes"):
            load_bundle(tmp_path / "m.zip")
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()


def test_zip_whose_weights_would_grow_a_thousandfold_is_refused(untrained_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("bundle.json", "README.md"):
            archive.write(untrained_bundle / name, name)
        archive.writestr("model.safetensors", bytes(17 * 2**20))
    for work in (load_bundle, lambda path: import_model(path, tmp_path / "store")):
        with pytest.raises(InputError, match=f"to {17 * 2**20}"):
            work(tmp_path / "m.zip")


def test_zip_packed_on_a_mac_is_read(untrained_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("heart/", b"")
        for name in ("bundle.json", "README.md", "model.safetensors"):
            archive.writestr(f"__MACOSX/heart/._{name}", b"x")
            archive.write(untrained_bundle / name, f"heart/{name}")
            archive.writestr(f"heart/._{name}", b"x")
        archive.writestr("heart/.DS_Store", b"x")
        archive.writestr("__MACOSX/._heart", b"x")
    assert load_bundle(tmp_path / "m.zip").info.name == "m"
    store = tmp_path / "store"
    import_model(tmp_path / "m.zip", store)
    (store / "._m").write_bytes(b"x")
    (store / "__MACOSX").mkdir()
    (store / "m" / "._bundle.json").write_bytes(b"x")
    (store / "m" / "__MACOSX").mkdir()
    assert [(entry.name, entry.problem) for entry in list_models(store)] == [("m", "")]
    assert load_bundle(store / "m").info.name == "m"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.zip")
    for path in (tmp_path / "m.zip", Path("/dev/zero")):
        with pytest.raises(InputError, match="neither a folder nor a file"):
            load_bundle(path)


@pytest.mark.parametrize("path", ["a" * 300, "a/" * 3000, "a\0b", "a\ud800b"])
def test_names_that_the_system_does_not_allow(path: str) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_bundle(path)


def test_zip_whose_entry_begins_behind_all_files_is_refused(untrained_bundle: Path, tmp_path: Path) -> None:
    packed = export_model(untrained_bundle, tmp_path / "m.zip")
    data = bytearray(packed.read_bytes())
    central, extra = data.index(b"PK\x01\x02"), struct.pack("<HHQ", 1, 8, 2**64 - 1)
    name, end = 46 + struct.unpack_from("<H", data, central + 28)[0], data.index(b"PK\x05\x06")
    struct.pack_into("<L", data, end + 12, struct.unpack_from("<L", data, end + 12)[0] + len(extra))
    struct.pack_into("<H", data, central + 30, len(extra))
    struct.pack_into("<L", data, central + 42, 2**32 - 1)
    data[central + name : central + name] = extra
    packed.write_bytes(bytes(data))
    with pytest.raises(InputError, match="cannot be read"):
        load_bundle(packed)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_bytes(b"no zip"), Path.mkdir])
def test_what_is_no_bundle_is_refused(tmp_path: Path, make) -> None:
    make(tmp_path / "x")
    with pytest.raises(InputError, match="x"):
        load_bundle(tmp_path / "x")

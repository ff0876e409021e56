"""Packed files that hold far more or less than they say, and paths that lead elsewhere or to no regular file."""

from __future__ import annotations

import gzip
import os
import socket
import zlib

import numpy as np
import pytest

from hostile_volumes import META, NRRD, VOXELS, nifti_with, refused, write
from leuda_core.io.formats import headers, nifti_header, voxels
from leuda_core.io.volumes import read_grid, read_volume, write_volume
from leuda_core.types import Volume
from volume_files import random_data


@pytest.mark.parametrize("name", ["v.nii.gz", "v.nrrd", "v.mha"])
def test_what_a_packed_file_cannot_hold_is_not_allocated(tmp_path, name):
    packed = gzip.compress(bytes(2000), 1)
    if name == "v.nii.gz":
        path = nifti_with(tmp_path / name, dim=[3, 2000, 2000, 500, 1, 1, 1, 1])
    elif name == "v.nrrd":
        path = write(tmp_path / name, NRRD.replace("raw", "gzip").replace("2 3 4", "2000 2000 500"), packed)
    else:
        header = META.replace("2 3 4", "2000 2000 500").replace("BinaryData", "CompressedData")
        path = write(tmp_path / name, header, packed)
    with refused("truncated or damaged .at most"):
        read_volume(path)


def test_more_memory_than_there_is(tmp_path, monkeypatch):
    def no_memory(*args: object, **kwargs: object) -> None:
        raise MemoryError

    write(tmp_path / "v.nrrd", NRRD)
    monkeypatch.setattr(voxels.np, "empty", no_memory)
    with refused(r"v\.nrrd' takes 0\.0 GB of memory"):
        read_volume(tmp_path / "v.nrrd")


@pytest.mark.parametrize("name", ["v.nii.gz", "v.nrrd", "v.mha"])
@pytest.mark.parametrize("extra", [1000, 3 << 20])
def test_packed_tail(tmp_path, monkeypatch, name, extra):
    """A little more than declared is read for its checksum; a long tail is not unpacked to its end."""
    unpacked = []
    original = voxels.inflated
    monkeypatch.setattr(
        voxels, "inflated", lambda *args: (unpacked.append(len(piece)) or piece for piece in original(*args))
    )
    if name == "v.nii.gz":
        write_volume(Volume(random_data(), np.eye(4)), tmp_path / name)
        content = gzip.decompress((tmp_path / name).read_bytes())
        (tmp_path / name).write_bytes(gzip.compress(content + bytes(extra), 1))
    elif name == "v.nrrd":
        write(tmp_path / name, NRRD.replace("raw", "gzip"), gzip.compress(VOXELS + bytes(extra), 1))
    else:
        write(tmp_path / name, META.replace("BinaryData", "CompressedData"), zlib.compress(VOXELS + bytes(extra), 1))
    if extra == 1000:
        assert read_volume(tmp_path / name).data.size
        return
    with refused("bytes beyond the voxels"):
        read_volume(tmp_path / name)
    assert sum(unpacked) < 3 << 20


def test_many_tiny_packed_parts(tmp_path):
    path = write(tmp_path / "v.nrrd", NRRD.replace("raw", "gzip"), gzip.compress(VOXELS) + gzip.compress(b"") * 3000)
    with refused("compressed parts"):
        read_volume(path)


@pytest.mark.parametrize("name", ["v.nrrd", "v.mha", "v.nii", "v.nii.gz"])
def test_file_that_is_cut_while_it_is_read(tmp_path, monkeypatch, name):
    write_volume(Volume(random_data((9, 9, 9)), np.eye(4)), tmp_path / name)
    original = voxels._check_sizes

    def cut(storage: voxels.Storage) -> None:
        original(storage)
        os.truncate(tmp_path / name, 400)

    monkeypatch.setattr(voxels, "_check_sizes", cut)
    with refused("truncated or damaged"):
        read_volume(tmp_path / name)


# Files elsewhere


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.raw", "link.raw", "sub/../../secret.raw", "x\0y", "n" * 4000]
)
@pytest.mark.parametrize("form", ["one", "list", "pattern"])
@pytest.mark.parametrize("extension", [".nrrd", ".mha"])
def test_data_file_outside_the_folder(tmp_path, name, form, extension):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for number in ("", "1", "2", "3", "4"):
        (tmp_path / f"secret.raw{number}").write_bytes(VOXELS)
    (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
    (folder / "link.raw1").symlink_to(tmp_path / "secret.raw1")
    value = {"one": name, "list": "LIST\n" + f"{name}\n" * 4, "pattern": f"{name}%d 1 4 1"}[form]
    if extension == ".nrrd":
        path = folder / "v.nrrd"
        path.write_bytes(f"{NRRD}data file: {value}\n".encode())
    else:
        path = write(folder / "v.mha", META.replace("LOCAL", value), b"")
    with refused("outside its folder|no valid name|cannot be read|characters"):
        read_volume(path)


@pytest.mark.parametrize(
    "value", ["%s 1 4 1", "%d%d 1 4 1", "s%d 1 999999 1", "s%d 4 1 1", "s%d 1 4 0", "s%9999d 1 4 1"]
)
def test_pattern_of_data_files_that_is_none(tmp_path, value):
    (tmp_path / "v.nrrd").write_text(f"{NRRD}data file: {value}\n", encoding="utf-8")
    with refused(r"v\.nrrd"):
        read_volume(tmp_path / "v.nrrd")


def test_data_file_below_the_folder_is_read_also_through_a_link_to_the_folder(tmp_path):
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "real" / "sub" / "v.raw").write_bytes(VOXELS)
    (tmp_path / "real" / "v.nrrd").write_text(f"{NRRD}data file: sub/v.raw\n", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert read_volume(tmp_path / "link" / "v.nrrd").shape == (2, 3, 4)


# What is no regular file


@pytest.mark.timeout(20)  # without the guard, the call waits for a writer
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".mha", ".dcm"])
@pytest.mark.parametrize("linked", [False, True])
def test_pipe_is_refused_at_once(tmp_path, extension, linked):
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / f"v{extension}"
    if linked:
        path.symlink_to(tmp_path / "pipe")
    else:
        (tmp_path / "pipe").rename(path)
    for read in (read_volume, read_grid):
        with refused("not a regular file"):
            read(path)


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_as_data_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "v.raw")
    (tmp_path / "v.nrrd").write_text(f"{NRRD}data file: v.raw\n", encoding="utf-8")
    with refused("not a regular file"):
        read_volume(tmp_path / "v.nrrd")


@pytest.mark.timeout(20)
@pytest.mark.skipif(os.name != "posix", reason="devices and sockets are files on POSIX alone")
@pytest.mark.parametrize("kind", ["device", "socket"])
def test_device_and_socket_are_refused(tmp_path, monkeypatch, kind):
    path = tmp_path / "v.nrrd"
    if kind == "device":
        path.symlink_to("/dev/zero")
    else:
        monkeypatch.chdir(tmp_path)  # the path of a socket is short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("v.nrrd")
    with refused("not a regular file"):
        read_volume(path)


def test_link_to_a_regular_file_is_followed(tmp_path):
    write_volume(Volume(random_data(), np.eye(4)), tmp_path / "real.nrrd")
    (tmp_path / "v.nrrd").symlink_to(tmp_path / "real.nrrd")
    np.testing.assert_array_equal(read_volume(tmp_path / "v.nrrd").data, random_data())


@pytest.mark.parametrize("name", ["a\0b.nrrd", "n" * 400 + ".nrrd", "missing.nrrd"])
def test_path_that_is_none(tmp_path, name):
    with refused("does not exist|cannot be read"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["v.nrrd", "v.mha", "v.nii", "v.nii.gz"])
def test_disk_that_fails_while_a_header_is_read(tmp_path, monkeypatch, name):
    def fail(*args: object) -> bytes:
        raise OSError(5, "Input/output error")

    write_volume(Volume(random_data(), np.eye(4)), tmp_path / name)
    monkeypatch.setattr(headers, "read_lines", fail)
    monkeypatch.setattr(nifti_header, "_first_bytes", fail)
    with refused("cannot be read: input/output error"):
        read_grid(tmp_path / name)

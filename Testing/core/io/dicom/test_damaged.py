"""No DICOM file crashes, hangs or takes more memory than it has bytes: it is read, or refused by name."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_files import DEFLATED, image_file, series, stored_values
from leuda_core.errors import InputError
from leuda_core.io.dicom import header
from leuda_core.io.finding import find_volumes
from leuda_core.io.volumes import read_grid, read_volume

DATA = stored_values()
MEMORY = 1 << 24  # bytes: more than pydicom itself takes


@contextmanager
def little_memory() -> Iterator[None]:
    """Check that the block allocates little, however much a file asks for."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def lying(path: Path, keyword: str, value: object) -> Path:
    """Write a file whose header says something else than its pixels are."""
    return image_file(path, DATA, SpacingBetweenSlices=3, **{keyword: value})


LIES = {
    "rows": (lambda path: image_file(path, DATA[0], Rows=30000, Columns=8000), "60 of 480000000 bytes"),
    "frames": (lambda path: lying(path, "NumberOfFrames", 50000), "240 of 3000000 bytes"),
    "many frames": (lambda path: lying(path, "NumberOfFrames", 2**31 - 1), "NumberOfFrames is not a number from 0 to"),
    "no frames": (lambda path: lying(path, "NumberOfFrames", 0), "NumberOfFrames is 0"),
    "huge slices": (lambda path: image_file(path, DATA[0], Rows=65535, Columns=65535), "65535 x 65535 pixels"),
    "no rows": (lambda path: image_file(path, DATA[0], Rows=0), "0 x 5 pixels"),
    "no bits": (lambda path: image_file(path, DATA[0], BitsAllocated=0, BitsStored=0, HighBit=0), "0 of 0 bits"),
    "one bit": (lambda path: image_file(path, DATA[0], BitsAllocated=1, BitsStored=1), "1 of 1 bits"),
    "lost frames": (lambda path: image_file(path, DATA, NumberOfFrames=None), "describes 60 of 240 bytes"),
    "lost bits": (lambda path: image_file(path, DATA[0], BitsAllocated=8, BitsStored=8), "describes 30 of 60 bytes"),
    "deflated": (
        lambda path: image_file(path, DATA[0], Rows=30000, Columns=8000, syntax=DEFLATED),
        "of 480000000 bytes of pixels",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_sizes_are_compared_before_memory_is_taken(tmp_path, lie):
    write, message = LIES[lie]
    path = write(tmp_path / "lie.dcm")
    for read in (read_volume, read_grid):
        with little_memory(), pytest.raises(InputError, match=message):
            read(path)


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    return path


def test_lengths_of_elements_are_not_believed(tmp_path):
    path = image_file(tmp_path / "x.dcm", DATA[0], SeriesDescription="SERIES")
    replaced(path, b"\x08\x00\x3e\x10LO\x06\x00", b"\x08\x00\x3e\x10UT\0\0\xf0\xff\xff\x7f")
    with little_memory(), pytest.raises(InputError, match=r"x\.dcm"):
        read_volume(path)


@pytest.mark.parametrize("digits", ["9" * 5000, "-1", "1e400", "nan", "4\\4", "٣x"])
def test_number_of_frames_that_is_no_number(tmp_path, digits):
    path = image_file(tmp_path / "x.dcm", DATA[0])
    value = digits.encode() + b" " * (len(digits.encode()) % 2)
    element = b"\x28\x00\x08\x00UT\0\0" + struct.pack("<I", len(value)) + value
    replaced(path, b"\x28\x00\x10\x00US", element + b"\x28\x00\x10\x00US")
    with pytest.raises(InputError, match=r"x\.dcm") as caught:
        read_volume(path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(("keyword", "digits"), [("RescaleSlope", b"1_0."), ("NumberOfFrames", b"0_1 ")])
def test_numbers_that_only_python_reads_are_refused(tmp_path, keyword, digits):
    path = image_file(tmp_path / "a.dcm", DATA[0], **{keyword: digits.decode().replace("_", "0").strip()})
    path.write_bytes(path.read_bytes().replace(digits.replace(b"_", b"0"), digits))
    with pytest.raises(InputError, match=keyword):
        read_volume(path)


@pytest.mark.parametrize("tag", [b"\x20\x00\x0d\x00UI", b"\xe0\x7f\x10\x00OW"])
def test_pixels_in_front_of_other_elements_are_refused(tmp_path, tag):
    path = image_file(tmp_path / "a.dcm", DATA[0])
    content = path.read_bytes()
    others = b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", DATA[0].nbytes) + bytes(DATA[0].nbytes)
    path.write_bytes(content.replace(tag, others + tag, 1))
    with pytest.raises(InputError, match="its pixels are not its last element"):
        read_volume(path)
    path.write_bytes(content + b"\xfc\xff\xfc\xffOB\0\0\x02\0\0\0\0\0")  # padding
    np.testing.assert_array_equal(read_volume(path).data[..., 0].T, DATA[0])


def test_sequences_within_sequences(tmp_path):
    path = image_file(tmp_path / "x.dcm", DATA[0])
    nested = b""
    for _ in range(3000):
        content = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(nested)) + nested
        nested = b"\x00\x52\x29\x92SQ\0\0" + struct.pack("<I", len(content)) + content
    endless = b"\x00\x52\x29\x92SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 3000
    pixels = b"\xe0\x7f\x10\x00OW"
    for deep in (endless, nested):
        image_file(path, DATA[0])
        replaced(path, pixels, deep + pixels)
        try:
            read_volume(path)  # what is never looked at may be wrong
        except InputError as error:
            assert str(path) in str(error)


def test_deflated_file_that_never_ends(tmp_path, monkeypatch):
    path = image_file(tmp_path / "x.dcm", DATA[0], syntax=DEFLATED)
    start = path.read_bytes().index(b"DICM") + 16 + pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength
    packed = zlib.compressobj(wbits=-15)
    bomb = packed.compress(b"\x09\x00\x01\x00UT\0\0\xff\xff\xff\x7f" + b"\0" * (1 << 25)) + packed.flush()
    path.write_bytes(path.read_bytes()[:start] + bomb)
    monkeypatch.setattr(header, "_HEADER_LIMIT", 1 << 20)
    with little_memory(), pytest.raises(InputError):
        read_volume(path)


def test_endless_tiny_elements(tmp_path, monkeypatch):
    path = image_file(tmp_path / "x.dcm", DATA[0])
    replaced(path, b"\xe0\x7f\x10\x00OW", b"\0" * 80000 + b"\xe0\x7f\x10\x00OW")
    monkeypatch.setattr(header, "_MAX_READS", 5000)
    with pytest.raises(InputError, match="too many elements"):
        read_volume(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_pipe_in_a_folder_is_not_opened(tmp_path):
    os.mkfifo(series(tmp_path / "s", DATA) / "pipe.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path / "s").data.T, DATA)
    assert find_volumes(tmp_path) == [tmp_path / "s"]
    os.mkfifo(tmp_path / "pipe")
    assert find_volumes(tmp_path) == [tmp_path / "s"]


DAMAGE = {
    "cut in the header": lambda content: content[:300],
    "cut in the preamble": lambda content: content[:100],
    "empty": lambda content: b"",
    "without pixels": lambda content: content[:-72],
    "another file": lambda content: b"not found " * 30,
}


@pytest.mark.parametrize("fault", DAMAGE)
def test_damaged_last_slice_is_not_left_out(tmp_path, fault):
    folder = series(tmp_path / "s", DATA)
    last = sorted(folder.iterdir())[-1]
    last.write_bytes(DAMAGE[fault](last.read_bytes()))
    with pytest.raises(InputError) as caught:
        read_volume(folder)
    assert str(last) in str(caught.value) and caught.value.remedy

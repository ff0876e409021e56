"""Headers that lie: refused in one line, before anything of their size is allocated."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from hostile_volumes import META, NRRD, nifti_with, refused, write
from leuda_core.io.volumes import read_grid, read_volume
from volume_files import random_data

HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("endian: little", "endian: " + "x" * 2000),
        ("encoding: raw", "encoding: " + "x" * 2000),
        ("type: short", "type: " + "x" * 2_000_000),
        ("dimension: 3", "dimension: 2147483648"),
        ("dimension: 3", f"dimension: {HUGE}"),
        ("dimension: 3", "dimension: -3"),
        ("dimension: 3", "dimension: nan"),
        ("sizes: 2 3 4", f"sizes: 2 3 {HUGE}"),
        ("sizes: 2 3 4", "sizes: 2 3 -4"),
        ("sizes: 2 3 4", "sizes: 2 3 0"),
        ("sizes: 2 3 4", "sizes: 2 3 1e308"),
        ("sizes: 2 3 4", "sizes: 2 3 2.5"),
        ("sizes: 2 3 4", "sizes: 999999999999999999 999999999999999999 999999999999999999"),
        ("sizes: 2 3 4", "sizes: 4294967296 4294967296 4294967296"),
        ("(0,2,0)", "(0,1e308,0)"),
        ("(0,2,0)", "(0,inf,0)"),
        ("(0,2,0)", "(0,nan,0)"),
        ("(0,2,0)", "(0,1e-320,0)"),
        ("(0,2,0)", "(0,1e-9,0)"),
        ("(0,2,0)", "(0,0,0)"),
        ("(0,2,0)", "(1,0,0)"),
        ("(0,2,0)", "(0,2)"),
        ("(0,2,0)", "(0,1,5,0)"),
        ("(0,2,0)", "(" * 1000),
        ("(1,2,3)", "(1,2,1e308)"),
        ("(1,2,3)", "(1,nan,3)"),
        ("(1,2,3)", "none"),
        ("(1,2,3)", "(1,2,\N{ARABIC-INDIC DIGIT THREE})"),
        ("(1,2,3)", "(1_0,2,3)"),
        ("(1,2,3)", "(1,2 0,3)"),
        ("(0,2,0)", "(0,2. 5,0)"),
        ("sizes: 2 3 4", "sizes: 2\N{NO-BREAK SPACE}3 4"),
        ("dimension: 3", "dimension: \N{FULLWIDTH DIGIT THREE}"),
        ("kinds: domain domain domain", 'units: "mm'),
        ("kinds: domain domain domain", "kinds: domain domain"),
        ("kinds: domain domain domain", "byte skip: 9999999999999"),
        ("kinds: domain domain domain", "byte skip: -7"),
        ("kinds: domain domain domain", f"line skip: {10**17}"),
        ("kinds: domain domain domain", "sizes: 2 3 4"),
        ("kinds: domain domain domain", "\n".join("# x" for _ in range(30_000))),
        ("space: LPS", "space: " + "L" * 3000),
        ("NRRD0004", "NRRD9999"),
    ],
)
def test_nrrd_header_that_lies(tmp_path, field, value):
    check_lie(tmp_path / "v.nrrd", NRRD, field, value)


def check_lie(path: Path, header: str, field: str, value: str) -> None:
    """Check that a file is read, and refused by its name once a field of its header has another value."""
    assert read_volume(write(path, header)).shape == (2, 3, 4)
    write(path, header.replace(field, value))
    with refused(re.escape(path.name)):
        read_volume(path)


@pytest.mark.parametrize("field", ["type: ", "space directions: ", "sizes: "])
def test_field_without_an_end_is_not_parsed(tmp_path, field):
    path = write(tmp_path / "v.nrrd", NRRD.replace(field, field + "(1,0,0) " * 600))
    with refused("has 48.. characters"):
        read_grid(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("NDims = 3", "NDims = 2147483648"),
        ("NDims = 3", f"NDims = {HUGE}"),
        ("NDims = 3", "NDims = -1"),
        ("1 0 0 0 1 0 0 0 1", "1 0 0 0 1 0 0 1e308 1"),
        ("1 0 0 0 1 0 0 0 1", "nan 0 0 0 1 0 0 0 1"),
        ("1 0 0 0 1 0 0 0 1", "0 0 0 0 0 0 0 0 0"),
        ("1 0 0 0 1 0 0 0 1", "1 0 0 1 0 0 0 0 1"),
        ("1 0 0 0 1 0 0 0 1", "1 " * 3000),
        ("Offset = 0 0 0", "Offset = 0 0 inf"),
        ("Offset = 0 0 0", f"Offset = 0 0 {HUGE}"),
        ("1 2 3", "1,5 2 3"),
        ("1 2 3", "1_0 2 3"),
        ("1 2 3", "1.\N{ARABIC-INDIC DIGIT FIVE} 2 3"),
        ("1 2 3", "1 2\N{NO-BREAK SPACE}3"),
        ("2 3 4", "2 3\N{NO-BREAK SPACE}4"),
        ("1 2 3", "0 2 3"),
        ("1 2 3", "1e-9 2 3"),
        ("2 3 4", "2 3 32767"),
        ("2 3 4", "2 3"),
        ("2 3 4", "99999999999 99999999999 99999999999"),
        ("MET_SHORT", "MET_" + "X" * 3000),
        ("BinaryData = True", "HeaderSize = 99999999999"),
        ("BinaryData = True", "HeaderSize = -9"),
        ("BinaryData = True", "ElementNumberOfChannels = 0"),
        ("BinaryData = True", f"ElementNumberOfChannels = {HUGE}"),
        ("BinaryData = True", "CompressedData = True"),
        ("BinaryData = True", "BinaryData = False"),
        ("BinaryData = True", "Comment = " + "x" * 2_000_000),
        ("LOCAL", ""),
        ("LOCAL", "LIST"),
        ("ElementDataFile", "ElementDataFil"),
    ],
)
def test_metaimage_header_that_lies(tmp_path, field, value):
    check_lie(tmp_path / "v.mha", META, field, value)


@pytest.mark.parametrize("kind", ["uchar", "float"])
def test_numbers_that_only_python_reads_are_no_voxels(tmp_path, kind):
    header = NRRD.replace("raw", "ascii").replace("short", kind)
    path = write(tmp_path / "v.nrrd", header, b" ".join([b"1_0"] * 24))
    with refused("its text holds words that are not numbers"):
        read_volume(path)


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v2.nii"])
@pytest.mark.parametrize(
    "fields",
    [
        {"dim": [3, -5, 6, 4, 1, 1, 1, 1]},
        {"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]},
        {"dim": [3, 5, 6, 0, 1, 1, 1, 1]},
        {"dim": [0, 5, 6, 4, 1, 1, 1, 1]},
        {"dim": [-3, 5, 6, 4, 1, 1, 1, 1]},
        {"dim": [9, 5, 6, 4, 1, 1, 1, 1]},
        {"datatype": 77},
        {"datatype": 0},
        {"datatype": 1536},
        {"xyzt_units": 5},
        {"xyzt_units": 255},
        {"vox_offset": 16},
        {"vox_offset": 0},
        {"vox_offset": 1 << 40},
        {"vox_offset": -400},
        {"scl_slope": 2, "scl_inter": np.nan},
        {"scl_slope": 1e38, "scl_inter": 3e38},  # voxels overflow
        {"quatern_b": 5, "qform_code": 1, "sform_code": 0},
        {"quatern_b": np.nan, "qform_code": 1, "sform_code": 0},
        {"srow_x": [np.nan, 0, 0, 0], "srow_y": [0, 1, 0, 0]},
        {"srow_x": [3e38, 0, 0, 3e38]},
        {"srow_x": [0, 0, 0, 0]},
        {"pixdim": [1, np.nan, 1, 1, 1, 1, 1, 1], "qform_code": 0, "sform_code": 0},
        {"pixdim": [1, np.inf, 1, 1, 1, 1, 1, 1], "qform_code": 0, "sform_code": 0},
        {"magic": b"ni1"},
        {"magic": b"xx"},
    ],
    ids=str,
)
def test_nifti_header_that_lies(tmp_path, name, fields):
    assert read_volume(nifti_with(tmp_path / name)).shape == (5, 6, 4)
    path = nifti_with(tmp_path / name, **fields)
    words = {
        "dim": "impossible sizes|bytes of voxels",
        "datatype": "voxels of an unknown type|voxels of type",
        "xyzt_units": "unknown unit of length",
        "vox_offset": "begin at byte",
        "scl_slope": "broken scaling|NaN or infinite",
        "magic": "not NIfTI|not a readable NIfTI",
    }
    with refused(words.get(next(iter(fields)), "orientation|cannot be inverted")):
        read_volume(path)


@pytest.mark.parametrize("offset", [np.nan, np.inf, 1e30])
def test_nifti_offset_that_is_no_place(tmp_path, offset):
    with refused("voxels begin at byte"):
        read_grid(nifti_with(tmp_path / "v.nii", vox_offset=offset))


def test_units_byte_with_a_broken_time_alone_is_read(tmp_path):
    assert read_volume(nifti_with(tmp_path / "v.nii", xyzt_units=2 + 56)).shape == (5, 6, 4)


def test_nifti_extension_is_not_read(tmp_path):
    path = nifti_with(tmp_path / "v.nii", vox_offset=352 + 64)
    content = bytearray(path.read_bytes())
    content[352:352] = (2**31 - 16).to_bytes(4, "little") + (4).to_bytes(4, "little") + bytes(56)
    content[348] = 1
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_volume(path).data, random_data())

"""Grey values of DICOM: slope and intercept of every slice, exact types, every kind of stored pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import RLELossless

from dicom_files import BIG_ENDIAN, DEFLATED, enhanced, image_file, rescaled, series, stored_values
from leuda_core.errors import InputError
from leuda_core.io.dicom import compressed, fragments
from leuda_core.io.volumes import read_volume

DATA = stored_values()
MONOCHROME1 = {"PhotometricInterpretation": "MONOCHROME1"}


def itk_values(path: Path) -> np.ndarray:
    if path.is_file():
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return sitk.GetArrayFromImage(sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path))))


UNIFORM = {
    "as stored": ("int16", {}, "int16"),
    "bytes": ("uint8", {}, "uint8"),
    "bytes below zero": ("uint8", {"RescaleSlope": 1, "RescaleIntercept": -10}, "int16"),
    "12 bits to HU": ("uint16", {"BitsStored": 12, "RescaleSlope": 1, "RescaleIntercept": -1024}, "int16"),
    "16 bits to HU": ("uint16", {"RescaleSlope": 1, "RescaleIntercept": -1024}, "int32"),
    "intercept alone": ("int16", {"BitsStored": 12, "RescaleIntercept": 7}, "int16"),
    "whole slope": ("int16", {"RescaleSlope": 1000, "RescaleIntercept": 0}, "int32"),
    "halves": ("int16", {"RescaleSlope": 0.5, "RescaleIntercept": 0}, "float32"),
    "any slope": ("int16", {"RescaleSlope": 0.1, "RescaleIntercept": 0}, "float64"),
    "32 bits": ("uint32", {}, "uint32"),
    "bright zero": ("uint16", {**MONOCHROME1, "BitsStored": 12}, "uint16"),
    "bright zero to HU": (
        "uint16",
        {**MONOCHROME1, "BitsStored": 12, "RescaleIntercept": -5, "RescaleSlope": 2},
        "int16",
    ),
    "overlay above the bits": ("uint16", {"BitsStored": 8}, "uint16"),
    "signed, without the sign's bits": ("int16", {"BitsStored": 10}, "int16"),
}


@pytest.mark.parametrize("kind", UNIFORM)
def test_uniform_series_has_the_values_of_itk(tmp_path, kind):
    stored, elements, expected = UNIFORM[kind]
    folder = series(tmp_path / "s", DATA.astype(stored), **elements)
    found = read_volume(folder).data
    assert found.dtype == expected
    np.testing.assert_array_equal(found.T, itk_values(folder))


@pytest.mark.parametrize(
    ("slopes", "expected"), [((1, 2, 1, 1), "int32"), ((1, 0.5, 1, 1), "float32"), ((1, 1, 1, 1000), "int32")]
)
def test_every_slice_has_its_own_slope(tmp_path, slopes, expected):
    found = read_volume(series(tmp_path / "s", DATA, RescaleSlope=list(slopes), RescaleIntercept=[0, 0, 3, 0])).data
    assert found.dtype == expected
    np.testing.assert_array_equal(found.T, DATA * np.reshape(slopes, (4, 1, 1)) + np.reshape([0, 0, 3, 0], (4, 1, 1)))


def test_every_frame_has_its_own_slope(tmp_path):
    data = np.full((4, 6, 5), 100, np.uint16)
    data[:, 0, 0] = 101
    path = enhanced(tmp_path / "e", data, [0, 3, 6, 9], [rescaled(slope) for slope in (1, 1, 6, 16)])
    np.testing.assert_array_equal(read_volume(path).data[1, 1], [100, 100, 600, 1600])


def test_signed_and_unsigned_slices_keep_their_values(tmp_path):
    series(tmp_path / "s", DATA - 500)
    image_file(tmp_path / "s" / "u", np.full((6, 5), 60000, np.uint16), ImagePositionPatient=[-10, 20, 12])
    found = read_volume(tmp_path / "s").data
    np.testing.assert_array_equal(found[0, 0], [*(DATA[:, 0, 0] - 500), 60000])


@pytest.mark.parametrize("syntax", [DEFLATED, BIG_ENDIAN])
def test_other_encodings(tmp_path, syntax):
    data = DATA.astype(">i2") if syntax == BIG_ENDIAN else DATA
    path = image_file(tmp_path / "d", data, syntax=syntax, SpacingBetweenSlices=3)
    np.testing.assert_array_equal(read_volume(path).data.T, DATA)


def test_file_without_preamble(tmp_path):
    path = image_file(tmp_path / "old", DATA[0])
    header = pydicom.dcmread(path)
    path.write_bytes(path.read_bytes()[144 + header.file_meta.FileMetaInformationGroupLength :])
    np.testing.assert_array_equal(read_volume(path).data[:, :, 0].T, DATA[0])


def compress(folder: Path, compressor: str) -> Path:
    """Write a multi-frame file compressed by GDCM."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 4000, (3, 16, 24)).astype(np.uint16))
    image.SetSpacing((0.5, 0.75, 3.0))
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(folder / "c.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(image)
    return folder / "c.dcm"


@pytest.mark.slow
@pytest.mark.parametrize("compressor", ["JPEG2000", "JPEG"])
def test_compressed_frames(tmp_path, compressor):
    path = compress(tmp_path, compressor)
    np.testing.assert_array_equal(read_volume(path).data.T, itk_values(path))


def test_run_length_encoded_series_with_other_slopes(tmp_path):
    series(tmp_path / "s", DATA - 500, RescaleSlope=[1, 1, 2, 1])
    for path in (tmp_path / "s").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
    found = read_volume(tmp_path / "s").data
    np.testing.assert_array_equal(found.T, (DATA - 500) * np.reshape([1, 1, 2, 1], (4, 1, 1)))


@pytest.mark.parametrize("compressor", ["JPEG2000", "JPEG"])
def test_size_of_the_code_is_compared_with_the_header(tmp_path, compressor):
    path = compress(tmp_path, compressor)
    dataset = pydicom.dcmread(path)
    dataset.Rows, dataset.Columns = 30000, 8000
    dataset.save_as(path)
    with pytest.raises(InputError, match="its header says 30000 x 8000 pixels, its code 16 x 24"):
        read_volume(path)


@pytest.mark.slow
def test_damaged_code_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    path = compress(tmp_path, "JPEG2000")
    content = bytearray(path.read_bytes())
    place = content.rindex(b"\xff\x52")  # the marker of the coding style
    content[place : place + 40] = bytes(range(40))
    path.write_bytes(content)
    monkeypatch.setattr(compressed.tempfile, "tempdir", str(tmp_path / "private"))
    (tmp_path / "private").mkdir()
    with pytest.raises(InputError, match="damaged") as caught:
        read_volume(path)
    assert str(path) in str(caught.value) and not list((tmp_path / "private").iterdir())


def test_fragments_are_joined_by_the_table_of_offsets(tmp_path):
    code = [b"ab", b"cd", b"ef"]
    items = b"".join(b"\xfe\xff\x00\xe0" + len(part).to_bytes(4, "little") + part for part in code)
    for table, expected in (([0, 20], [b"abcd", b"ef"]), ([0, 10], [b"ab", b"cdef"])):
        offsets = b"".join(number.to_bytes(4, "little") for number in table)
        numbers, found = fragments.fragments(b"\xfe\xff\x00\xe0\x08\0\0\0" + offsets + items)
        assert numbers == table and [part for _, part in found] == code
        assert fragments.joined(numbers, found, 2) == expected
    assert fragments.joined([0, 10, 20], found, 4) is None

"""Slices that lie well but do not belong together are refused: other patients, volumes, factors, lost files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from dicom_files import SPACING, enhanced, image_file, item, rescaled, series, stored_values
from leuda_core.errors import InputError
from leuda_core.io.finding import find_volumes
from leuda_core.io.volumes import read_grid, read_volume, write_volume
from leuda_core.types import Volume

DATA = stored_values()
MIXED = {
    "patients": ({"PatientID": ["Smith", "Jones"] * 2}, "files of 2 patients, .*PatientID differs"),
    "examinations": ({"StudyInstanceUID": ["1.1", "1.1", "1.2", "1.2"]}, "files of 2 examinations"),
    "frames of reference": ({"FrameOfReferenceUID": ["1.1", "1.2", "1.3", "1.4"]}, "files of 4 frames of reference"),
    "times side by side": ({"TemporalPositionIdentifier": [1, 1, 2, 2]}, "TemporalPositionIdentifier 1, 2"),
    "echoes side by side": ({"EchoTime": [10, 10, 80, 80]}, "slices of 2 volumes, which differ in EchoTime 10, 80"),
    "b-values side by side": ({"DiffusionBValue": [0, 0, 800, 800]}, "which differ in DiffusionBValue 0, 800"),
    "a factor is missing": (
        {"RescaleSlope": [2, 2, None, 2], "RescaleIntercept": [-5, -5, None, -5]},
        "1 of 4 slices without RescaleSlope or RescaleIntercept",
    ),
    "a factor is empty": ({"RescaleSlope": [1, 1, "", 1], "RescaleIntercept": -1024}, "1 of 4 slices without"),
    "no pixel spacing": ({"PixelSpacing": None}, "a position but no PixelSpacing"),
    "mosaic": ({"ImageType": [["ORIGINAL", "PRIMARY", "M", "MOSAIC"]] * 4}, "is a mosaic"),
}


@pytest.mark.parametrize("fault", MIXED)
def test_slices_that_do_not_belong_together(tmp_path, fault):
    elements, message = MIXED[fault]
    folder = series(tmp_path / "s", DATA, **elements)
    for read in (read_volume, read_grid):
        with pytest.raises(InputError, match=message) as caught:
            read(folder)
        assert caught.value.remedy and "Smith" not in str(caught.value)


ALIKE = {
    "one file without a patient": {"PatientID": ["A", "A", "", "A"]},
    "rounded echo times": {"EchoTime": [4.60001, 4.6, 4.6, 4.6]},
    "factors of one": {"RescaleSlope": [1, 1, None, 1], "RescaleIntercept": [0, 0, None, 0]},
    "trigger times and acquisitions": {"TriggerTime": [1, 2, 3, 4], "AcquisitionNumber": [1, 1, 2, 2]},
}


@pytest.mark.parametrize("kind", ALIKE)
def test_differences_that_do_not_matter(tmp_path, kind):
    np.testing.assert_array_equal(read_volume(series(tmp_path / "s", DATA, **ALIKE[kind])).data.T, DATA)


def test_frame_without_the_factor_of_the_others(tmp_path):
    groups = [rescaled(2, 5), rescaled(2, 5), {}, rescaled(2, 5)]
    with pytest.raises(InputError, match="1 of 4 slices without RescaleSlope"):
        read_volume(enhanced(tmp_path / "e", DATA, [0, 3, 6, 9], groups))


def nuclear(path: Path, slices: list[int], pointer: int | list[int] = 0x00540080) -> Path:
    own = {"SpacingBetweenSlices": 3, "FrameIncrementPointer": pointer, "SliceVector": slices}
    return image_file(path, DATA, Modality="NM", **own)


def test_frames_are_the_slices_that_their_vector_says(tmp_path):
    volume = read_volume(nuclear(tmp_path / "x", [4, 1, 3, 2]))
    np.testing.assert_array_equal(volume.data.T, DATA[[1, 3, 2, 0]])


@pytest.mark.parametrize(("slices", "pointer"), [([1, 2, 1, 2], 0x00540080), ([1, 2, 3, 4], [0x00540010, 0x00540080])])
def test_frames_that_repeat_slices_are_refused(tmp_path, slices, pointer):
    with pytest.raises(InputError, match=r"its frames are not the slices.* of one volume"):
        read_volume(nuclear(tmp_path / "x", slices, pointer))


def test_copies_of_a_slice_are_named(tmp_path):
    folder = series(tmp_path / "s", DATA)
    (folder / "00 (1).dcm").write_bytes((folder / "00.dcm").read_bytes())
    with pytest.raises(InputError, match=r"for example in '00 \(1\)\.dcm' and '00\.dcm'\); remove copies"):
        read_volume(folder)


def test_number_that_is_none_names_its_element(tmp_path):
    path = image_file(tmp_path / "x", DATA[0], PixelSpacing=[0.75, 0.5])
    path.write_bytes(path.read_bytes().replace(b"0.75\\0.5", b"0,75\\0,5"))
    with pytest.raises(InputError, match=r"PixelSpacing is .*0,75.*, not 2 usable numbers"):
        read_volume(path)


def last(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: int(path.stem[1]))


def linked_away(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("gone"))


LOST = {
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(4000)),
    "link": linked_away,
    "without preamble": lambda path: path.write_bytes(path.read_bytes()[132:300]),
    "pixels of an unknown class": lambda path: path.write_bytes(path.read_bytes()[:-100]),
}


@pytest.mark.parametrize("ending", ["", ".1", ".dcm"])
@pytest.mark.parametrize("fault", LOST)
def test_lost_last_slice_is_noticed_whatever_its_name(tmp_path, fault, ending):
    folder = series(tmp_path / "s", DATA, ending=ending, SOPClassUID="1.2.840.113619.4.26")
    path = last(folder)
    LOST[fault](path)
    with pytest.raises(InputError) as caught:
        read_volume(folder)
    assert str(path) in str(caught.value) and caught.value.remedy


def test_empty_files_beside_other_volumes_are_no_dicom(tmp_path, caplog):
    write_volume(Volume(DATA, np.eye(4)), tmp_path / "a.nii")
    (tmp_path / "LOCKFILE").touch()
    assert find_volumes(tmp_path) == [tmp_path / "a.nii"]
    assert "'LOCKFILE' (not a volume)" in caplog.text


def test_directory_of_a_disc_does_not_disturb(tmp_path):
    folder = series(tmp_path / "s", DATA, ending="")
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2"
    directory.DirectoryRecordSequence = [item(DirectoryRecordType="PATIENT")]
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    np.testing.assert_array_equal(read_volume(folder).data.T, DATA)


def test_floating_point_pixels_are_told(tmp_path):
    own = {"PixelData": None, "FloatPixelData": DATA[0].astype(np.float32).tobytes(), "BitsAllocated": 32}
    path = image_file(tmp_path / "map", DATA[0], PixelSpacing=SPACING, **own)
    with pytest.raises(InputError, match="floating-point pixels"):
        read_volume(path)

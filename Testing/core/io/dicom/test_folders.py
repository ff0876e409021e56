"""DICOM in folders: found by content, other objects do not disturb, and what is left out is named."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest

from dicom_files import image_file, series, stored_values, structures
from leuda_core.errors import InputError
from leuda_core.io.finding import find_volumes
from leuda_core.io.volumes import read_volume, write_volume
from leuda_core.types import Volume

DATA = stored_values()


def nifti(path):
    write_volume(Volume(DATA, np.eye(4)), path)
    return path


def test_series_folders_are_found_whatever_the_names_of_their_files(tmp_path, caplog):
    folders = [series(tmp_path / f"s{ending}", DATA, ending=ending) for ending in ("", ".IMA", ".dcm", ".DCM", ".1")]
    assert find_volumes(tmp_path) == sorted(folders)
    assert not caplog.records


def test_single_file_is_read_whatever_its_name(tmp_path):
    for name in ("a", "a.IMA", "a.dcm", "a.1"):
        np.testing.assert_array_equal(read_volume(image_file(tmp_path / name, DATA[0])).data[:, :, 0].T, DATA[0])


def test_other_objects_beside_a_series_do_not_disturb(tmp_path, caplog):
    folder = series(tmp_path / "s", DATA)
    structures(folder / "rs.dcm")
    for modality, uid in (("SEG", "1.7"), ("RTDOSE", "1.8")):
        image_file(folder / modality, DATA, Modality=modality, SeriesInstanceUID=uid)
    (folder / "notes.txt").write_text("seen")
    (folder / "._00.dcm").write_bytes(b"\0\5\x16\7" * 40)
    np.testing.assert_array_equal(read_volume(folder).data.T, DATA)
    assert find_volumes(folder) == [folder]
    assert all(name in caplog.text for name in ("'rs.dcm' (DICOM RTSTRUCT)", "'SEG' (DICOM SEG)", "'notes.txt'"))
    assert "._00" not in caplog.text


@pytest.mark.parametrize("stray", ["structures", "slice"])
def test_stray_dicom_among_volume_files(tmp_path, caplog, stray):
    files = [nifti(tmp_path / f"{name}.nii") for name in "ab"]
    folder = series(tmp_path / "c", DATA)
    structures(tmp_path / "x.dcm") if stray == "structures" else image_file(tmp_path / "x.dcm", DATA[0])
    assert find_volumes(tmp_path) == [*files, folder]
    assert f"left out: 'x.dcm' ({'DICOM RTSTRUCT' if stray == 'structures' else 'a single DICOM slice'})" in caplog.text


def test_what_is_left_out_is_named(tmp_path, caplog):
    folder = series(tmp_path / "s", DATA)
    nifti(folder / "result.nii")
    assert find_volumes(folder) == [folder]
    assert "'result.nii' (a volume beside a DICOM series)" in caplog.text
    structures(tmp_path / "plans" / "rs")
    (tmp_path / "damaged").mkdir()
    shutil.copy(folder / "00.dcm", tmp_path / "damaged" / "x")
    content = (tmp_path / "damaged" / "x").read_bytes()
    (tmp_path / "damaged" / "x").write_bytes(content[:400])
    nifti(tmp_path / "deeper" / "a.nii")
    (tmp_path / "a\x1bb").touch()
    caplog.clear()
    assert find_volumes(tmp_path) == [folder]
    assert "'plans' (a folder without DICOM images, only DICOM RTSTRUCT)" in caplog.text
    assert "'damaged' (a folder with damaged DICOM)" in caplog.text
    assert "'deeper' (a folder without DICOM images)" in caplog.text
    assert "'a?b' (not a volume)" in caplog.text


def test_many_entries_are_counted(tmp_path, caplog):
    nifti(tmp_path / "a.nii")
    for number in range(20):
        (tmp_path / f"{number}.txt").touch()
    find_volumes(tmp_path)
    [record] = caplog.records
    assert record.levelno == logging.WARNING and record.getMessage().endswith(", 12 more")


def test_folder_of_other_objects_names_them(tmp_path):
    structures(tmp_path / "p" / "rs")
    with pytest.raises(InputError, match="contains no DICOM series, only DICOM RTSTRUCT"):
        read_volume(tmp_path / "p")


@pytest.mark.parametrize("name", ["rs", "seg"])
def test_single_object_without_an_image_is_refused(tmp_path, name):
    path = structures(tmp_path / "rs") if name == "rs" else image_file(tmp_path / "seg", DATA, Modality="SEG")
    with pytest.raises(InputError, match="is no image but DICOM"):
        read_volume(path)


def test_text_that_begins_like_dicom_is_not_dicom(tmp_path, caplog):
    nifti(tmp_path / "a.nii")
    (tmp_path / "odd").write_bytes(b"\x08\x00\x05\x00" + b"text " * 60)
    assert find_volumes(tmp_path) == [tmp_path / "a.nii"]
    assert "'odd' (not a volume)" in caplog.text

"""DICOM series come in on the grid of their slices; incomplete and mixed ones are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from leuda_core.errors import InputError
from leuda_core.io.finding import find_volumes
from leuda_core.io.volumes import read_grid, read_volume, same_grid
from volume_files import LPS


def write_series(folder: Path, *, positions=(0, 3, 6, 9), series="1.2.3", description="T1", shift=0.0) -> np.ndarray:
    """Write one slice a file, at heights ``positions`` mm, each shifted by ``shift`` mm along y; return the voxels."""
    folder.mkdir(exist_ok=True)
    data = np.random.default_rng(3).integers(-1000, 1000, (len(positions), 6, 5)).astype(np.int16)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index, height in enumerate(positions):
        image = sitk.GetImageFromArray(data[index : index + 1])
        image.SetSpacing((0.5, 0.75, 3.0))
        tags = {
            "0008|0060": "CT",
            "0008|103e": description,
            "0020|000d": "1.2",
            "0020|000e": series,
            "0008|0018": f"{series}.{index + 1}",
            "0020|0013": str(index + 1),
            "0020|0032": f"-10\\{20 + index * shift}\\{height}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0028|1052": "0",
            "0028|1053": "1",
        }
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{series}-{99 - index}.dcm"))
        writer.Execute(image)
    return data.T


def test_dicom_series(tmp_path):
    data = write_series(tmp_path / "série 1")
    volume = read_volume(tmp_path / "série 1")
    np.testing.assert_array_equal(volume.data, data)
    expected = LPS @ np.array([[0.5, 0, 0, -10], [0, 0.75, 0, 20], [0, 0, 3, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(volume.affine, expected, atol=1e-9)
    grid = read_grid(tmp_path / "série 1")
    assert grid.shape == (5, 6, 4)
    assert same_grid(grid, volume)
    assert find_volumes(tmp_path) == [tmp_path / "série 1"]


def test_dicom_series_of_a_tilted_gantry_keeps_its_shear(tmp_path):
    write_series(tmp_path / "ct", shift=1.0)
    np.testing.assert_allclose((LPS @ read_volume(tmp_path / "ct").affine)[:3, 2], [0, 1, 3], atol=1e-9)


def test_single_dicom_file(tmp_path):
    data = write_series(tmp_path / "one", positions=(4,))
    assert read_volume(tmp_path / "one").shape == (5, 6, 1)
    np.testing.assert_array_equal(read_volume(next((tmp_path / "one").iterdir())).data, data)


def test_several_dicom_series_are_named(tmp_path):
    write_series(tmp_path / "two", description="localizer")
    write_series(tmp_path / "two", series="1.2.4", description="CT chest", positions=(0, 5))
    with pytest.raises(InputError, match="2 DICOM series") as caught:
        read_volume(tmp_path / "two")
    assert "localizer (4 files)" in str(caught.value)
    assert "CT chest (2 files)" in str(caught.value)


@pytest.mark.parametrize(("positions", "message"), [((0, 3, 9, 12), "3 to 6 mm"), ((0, 0, 3, 3), "same position")])
def test_uneven_dicom_series_is_refused(tmp_path, positions, message):
    write_series(tmp_path / "s", positions=positions)
    with pytest.raises(InputError, match=message):
        read_volume(tmp_path / "s")


def test_folder_without_dicom_is_refused(tmp_path, capfd):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match="no DICOM series"):
        read_volume(tmp_path)
    assert capfd.readouterr().err == ""

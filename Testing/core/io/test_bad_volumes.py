"""Wrong files are refused by name, in one line, with a remedy."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from leuda_core.errors import InputError
from leuda_core.io.volumes import read_grid, read_label_map, read_volume, write_label_map, write_volume
from leuda_core.types import LabelMap, Volume
from volume_files import LABELS, random_data, random_labels, save_nifti


def write_bad(folder: Path, kind: str) -> Path:
    """Write one broken file and return its path."""
    data = random_data()
    path = folder / f"{kind.split(':')[0]}{kind.split(':')[1] if ':' in kind else '.nii.gz'}"
    name = kind.split(":")[0]
    if name == "missing":
        return path
    if name == "empty":
        path.touch()
    elif name == "text":
        path.write_text("not an image at all\n" * 40)
    elif name in ("truncated", "damaged"):
        write_volume(Volume(random_data((20, 20, 20)), np.eye(4)), path)
        content = bytearray(path.read_bytes())
        if name == "damaged":
            content[-30] ^= 0xFF
        path.write_bytes(content[:-100] if name == "truncated" else content)
    elif name == "uncompressed":
        write_volume(Volume(data, np.eye(4)), folder / "x.nii")
        (folder / "x.nii").rename(path)
    elif name == "4d":
        nib.save(nib.Nifti1Image(random_data((5, 6, 4, 3)), np.eye(4)), path)
    elif name == "rgb":
        sitk.WriteImage(sitk.GetImageFromArray(random_data((4, 6, 5, 3), np.uint8), isVector=True), str(path))
    elif name == "complex":
        sitk.WriteImage(sitk.GetImageFromArray(data.astype(np.complex64)), str(path))
    elif name == "nan":
        data = data.astype(np.float32)
        data[0, 1, 2], data[1, 1, 1], data[2, 2, 2] = np.nan, np.inf, -np.inf
        write_volume(Volume(data, np.eye(4)), path)
    elif name == "constant":
        write_volume(Volume(np.full((5, 6, 4), 7, np.int16), np.eye(4)), path)
    elif name == "singular":
        save_nifti(path, data, sform=np.diag([1.0, 1, 0, 1]))
    elif name == "flat":
        header = "NRRD0004\ntype: uchar\ndimension: 3\nspace: LPS\nsizes: 2 2 2\nencoding: raw\nspace origin: (0,0,0)\n"
        path.write_text(header + "space directions: (1,0,0) (0,1,0) (0,1,0)\nkinds: domain domain domain\n\n01234567")
    elif name == "unknown":
        path.write_bytes(b"\xff\xd8 a picture")
    return path


BAD = {
    "missing": "does not exist",
    "missing:.nrrd": "does not exist",
    "empty": "empty",
    "empty:.mha": "empty",
    "text": "not a readable NIfTI",
    "text:.nii": "not a readable NIfTI",
    "text:.nrrd": "not a readable image",
    "text:.mha": "not a readable image",
    "uncompressed": "rename it to .nii",
    "truncated": "truncated",
    "truncated:.nii": "truncated .*16000 bytes",
    "truncated:.nrrd": "truncated",
    "truncated:.mha": "truncated",
    "damaged": "damaged",
    "damaged:.nrrd": "damaged",
    "damaged:.mha": "damaged",
    "4d": r"\(5, 6, 4, 3\)",
    "rgb": "not one 3-D volume|voxels of type",
    "rgb:.nrrd": "3 numbers per voxel",
    "rgb:.mha": "3 numbers per voxel",
    "complex": "complex64",
    "nan": "3 NaN or infinite",
    "nan:.nrrd": "3 NaN or infinite",
    "constant": "constant .*7",
    "singular": "cannot be inverted",
    "flat:.nrrd": "determinant",
    "unknown:.jpg": "unknown extension",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_volume_is_refused_in_one_line(tmp_path, capfd, kind):
    path = write_bad(tmp_path, kind)
    capfd.readouterr()
    with pytest.raises(InputError, match=BAD[kind]) as caught:
        read_volume(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    assert capfd.readouterr().err == ""  # neither ITK nor nibabel adds lines of its own


def test_four_dimensional_grid_is_refused_too(tmp_path):
    with pytest.raises(InputError, match="not one 3-D volume"):
        read_grid(write_bad(tmp_path, "4d"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 1, 1.5], "2 voxels that are not whole numbers"),
        ([np.nan, 1, 0], "1 voxels that are not whole numbers"),
        ([-1, -3, 1], "2 negative voxels .*-3"),
        ([7, 7, 9], r"without a label: 7 \(2 voxels\), 9 \(1 voxels\); the labels are 0, 1, 2"),
        ([70000, 0, 0], r"70000 \(1 voxels\)"),
    ],
)
def test_bad_label_map_is_refused(tmp_path, values, message):
    data = np.zeros((3, 3, 3), np.float32)
    data[0, :, 1] = values
    write_volume(Volume(data, np.eye(4)), tmp_path / "l.nii.gz")
    with pytest.raises(InputError, match=message) as caught:
        read_label_map(tmp_path / "l.nii.gz", LABELS)
    assert "l.nii.gz" in str(caught.value)


def test_label_map_in_floats_is_accepted(tmp_path):
    write_volume(Volume(random_labels().astype(np.float64), np.eye(4)), tmp_path / "l.nii.gz")
    back = read_label_map(tmp_path / "l.nii.gz", LABELS)
    assert back.data.dtype == np.uint8
    assert back.labels == LABELS
    np.testing.assert_array_equal(back.data, random_labels())


def test_label_map_may_be_constant_and_labels_may_be_unknown(tmp_path):
    write_label_map(LabelMap(np.full((3, 3, 3), 4, np.uint8), np.eye(4)), tmp_path / "l.nii.gz")
    assert [label.value for label in read_label_map(tmp_path / "l.nii.gz", None).labels] == [4]


@pytest.mark.parametrize("bad", [random_labels().astype(np.float32), -random_data()])
def test_only_label_values_are_written(tmp_path, bad):
    with pytest.raises(InputError, match=r"l\.nrrd"):
        write_label_map(LabelMap(bad, np.eye(4)), tmp_path / "l.nrrd")
    assert not list(tmp_path.iterdir())


def test_unknown_extension_is_not_written(tmp_path):
    with pytest.raises(InputError, match="unknown extension"):
        write_label_map(LabelMap(random_labels(), np.eye(4)), tmp_path / "l.png")

"""Volumes and label maps survive the way through files on exactly their grid."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from leuda_core.errors import InputError
from leuda_core.io.finding import find_volumes
from leuda_core.io.names import EXTENSIONS, volume_stem
from leuda_core.io.volumes import (
    Grid,
    read_grid,
    read_label_map,
    read_volume,
    same_grid,
    write_label_map,
    write_volume,
)
from leuda_core.types import Label, LabelMap, Volume
from repository import ROOT, SHARED_DATA
from volume_files import (
    LABELS,
    SHEARED,
    affines,
    itk_affine,
    make_affine,
    quick,
    random_data,
    random_labels,
    rotation,
    shapes,
)

REAL = SHARED_DATA / "volumes"


# Round trips


@quick
@given(
    affine=affines,
    shape=shapes,
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "i8", "f4", "f8"]),
    extension=st.sampled_from([".nii", ".nii.gz", ".nrrd", ".mha"]),
)
def test_volume_round_trip(tmp_path, affine, shape, dtype, extension):
    data = random_data(shape, dtype)
    data[0, 0, 0], data[1, 1, 0] = 0, 100
    path = tmp_path / f"volume{extension}"
    write_volume(Volume(data, affine), path)
    back = read_volume(path)
    assert back.data.dtype == data.dtype
    np.testing.assert_array_equal(back.data, data)
    np.testing.assert_allclose(back.affine, affine, rtol=1e-6, atol=2e-5 if "nii" in extension else 1e-9)
    assert same_grid(back, Volume(data, affine))
    grid = read_grid(path)
    assert grid.shape == shape
    np.testing.assert_array_equal(grid.affine, back.affine)


@pytest.mark.slow
@quick
@given(affine=affines, shape=shapes, source=st.sampled_from([".nii.gz", ".nrrd"]), seed=st.integers(0, 9))
def test_label_map_comes_back_on_the_grid_of_the_image(tmp_path, affine, shape, source, seed):
    data = np.random.default_rng(seed).integers(0, 3, shape).astype(np.uint8)
    write_volume(Volume(np.arange(data.size, dtype=np.float32).reshape(shape), affine), tmp_path / f"image{source}")
    image = read_volume(tmp_path / f"image{source}")
    scale = max(1.0, np.abs(image.affine).max())
    for extension in EXTENSIONS:
        path = tmp_path / extension[1:] / f"labels{extension}"  # ITK mixes up a.nii and a.nii.gz in one folder
        write_label_map(LabelMap(data, image.affine, LABELS), path)
        back = read_label_map(path, LABELS)
        assert back.data.dtype == np.uint8
        np.testing.assert_array_equal(back.data, data)
        np.testing.assert_allclose(back.affine, image.affine, rtol=0, atol=1e-6 * scale)
        np.testing.assert_allclose(itk_affine(path), image.affine, rtol=0, atol=1e-6 * scale)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T, data)


@quick
@given(data=hnp.arrays(np.int16, (3, 4, 2), elements=st.integers(0, 1000)))
def test_label_map_takes_the_smallest_dtype(tmp_path, data):
    labels = [Label(int(value), f"l{value}") for value in np.unique(data) if value]
    write_label_map(LabelMap(data, np.eye(4), tuple(labels)), tmp_path / "l.nrrd")
    back = read_label_map(tmp_path / "l.nrrd", labels)
    assert back.data.dtype == (np.uint8 if data.max() < 256 else np.uint16)
    np.testing.assert_array_equal(back.data, data)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_sheared_grid_is_kept_exactly(tmp_path, extension):
    path = tmp_path / f"labels{extension}"
    write_label_map(LabelMap(random_labels(), SHEARED, LABELS), path)
    np.testing.assert_allclose(read_label_map(path, LABELS).affine, SHEARED, atol=1e-6)
    if "nii" in extension:  # a reader without shear must refuse the file rather than misplace it
        with pytest.raises(RuntimeError, match="orthonormal"):
            sitk.ReadImage(str(path))
    else:
        np.testing.assert_allclose(itk_affine(path), SHEARED, atol=1e-6)


def test_same_label_map_gives_the_same_bytes(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_label_map(LabelMap(random_labels(), make_affine(), LABELS), tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha"])
def test_path_with_spaces_and_other_scripts(tmp_path, extension):
    path = tmp_path / "Größe 心臓" / f"Bild № 1{extension}"
    write_volume(Volume(random_data(), make_affine()), path)
    np.testing.assert_array_equal(read_volume(path).data, random_data())
    assert find_volumes(path.parent) == [path]


@pytest.mark.slow
@pytest.mark.parametrize("extension", [".nrrd", ".mha", ".nii.gz"])
def test_data_outlives_the_reader(tmp_path, extension):
    expected = random_data((60, 50, 40))
    write_volume(Volume(expected, np.eye(4)), tmp_path / f"v{extension}")
    data = read_volume(tmp_path / f"v{extension}").data
    gc.collect()
    [np.full(expected.shape, 9, np.int16) for _ in range(20)]
    np.testing.assert_array_equal(data, expected)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from Linux's process accounting")
@pytest.mark.parametrize("extension", [".nrrd", ".mha", ".nii.gz"])
def test_reading_takes_little_more_than_the_volume(tmp_path, extension):
    size_mb = 64
    data = np.zeros((256, 256, size_mb * 8), np.int16)
    data[0, 0, 0] = 1
    write_volume(Volume(data, np.eye(4)), tmp_path / f"v{extension}")
    # VmHWM, not ru_maxrss: the latter is inherited from the process that started this one.
    program = (
        "import sys, nibabel, SimpleITK, numpy as np\n"
        "from pathlib import Path\n"
        "from leuda_core.io.volumes import read_volume\n"
        "peak = lambda: next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmHWM')) // 1024\n"
        "before = peak()\nv = read_volume(Path(sys.argv[1]))\nprint(peak() - before)"
    )
    root = ROOT
    command = [sys.executable, "-c", program, str(tmp_path / f"v{extension}")]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert int(result.stdout) < size_mb * 1.35


def test_neighbour_of_the_same_stem_is_not_read_instead(tmp_path):
    write_volume(Volume(random_data() + 1, np.eye(4)), tmp_path / "a.nii")
    write_volume(Volume(random_data(), np.eye(4)), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").data, random_data())


# Voxel types and shapes


def test_scale_slope_and_intercept(tmp_path):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    image = nib.Nifti1Image(random_data(), np.eye(4), header)
    image.header.set_slope_inter(2, -1024)
    nib.save(image, tmp_path / "s.nii.gz")
    data = read_volume(tmp_path / "s.nii.gz").data
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data, random_data() * 2.0 - 1024)


def test_big_endian_becomes_native(tmp_path):
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nib.save(nib.Nifti1Image(random_data(), np.eye(4), header), tmp_path / "b.nii")
    data = read_volume(tmp_path / "b.nii").data
    assert data.dtype.isnative
    np.testing.assert_array_equal(data, random_data())


def test_two_dimensional_image_becomes_one_slice(tmp_path):
    image = sitk.GetImageFromArray(random_data((6, 5)))
    image.SetSpacing((2.0, 3.0))
    for name in ("a.nrrd", "a.mha", "a.nii"):
        sitk.WriteImage(image, str(tmp_path / name))
        volume = read_volume(tmp_path / name)
        assert volume.shape == read_grid(tmp_path / name).shape == (5, 6, 1)
        assert volume.spacing_mm[:2] == (2.0, 3.0)
        np.testing.assert_array_equal(volume.data[:, :, 0].T, random_data((6, 5)))


def test_trailing_axes_of_one_voxel_are_dropped(tmp_path):
    nib.save(nib.Nifti1Image(random_data((5, 6, 4, 1)), np.eye(4)), tmp_path / "t.nii")
    assert read_volume(tmp_path / "t.nii").shape == read_grid(tmp_path / "t.nii").shape == (5, 6, 4)


# Names and grids


def test_find_volumes(tmp_path):
    for name in ("b.nii.gz", "a.NRRD", "c.seg.nrrd", "d.mha", "e.txt", ".tmp-1-b.nii.gz", "._f.nii"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    assert [path.name for path in find_volumes(tmp_path)] == ["a.NRRD", "b.nii.gz", "c.seg.nrrd", "d.mha"]
    with pytest.raises(InputError, match="not a folder"):
        find_volumes(tmp_path / "b.nii.gz")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("x/p.01.nii.gz", "p.01"),
        ("P.NII", "P"),
        ("s.seg.nrrd", "s"),
        ("v.nrrd", "v"),
        ("v.mha", "v"),
        ("series", "series"),
    ],
)
def test_volume_stem(name, stem):
    assert volume_stem(Path(name)) == stem


@quick
@given(affine=affines, shape=shapes)
def test_same_grid(affine, shape):
    grid = Grid(shape, affine)
    assert same_grid(grid, Grid(shape, affine.astype(np.float32).astype(float)))
    moved = affine.copy()
    moved[:3, 3] += affine[:3, 0] * 0.01
    assert not same_grid(grid, Grid(shape, moved))
    assert not same_grid(grid, Grid((shape[0] + 1, *shape[1:]), affine))
    turned = affine.copy()
    turned[:3, :3] = rotation(0.01, 0, 0) @ affine[:3, :3]
    assert not same_grid(grid, Grid(shape, turned))


# Real volumes


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the real volumes (../shared/data/volumes) are not here")
def test_label_maps_on_real_grids(tmp_path):
    files = find_volumes(REAL)
    assert len(files) == 9
    for path in files:
        is_label = "_seg" in path.name or "_label" in path.name
        image = read_label_map(path, None) if is_label else read_volume(path)
        np.testing.assert_allclose(image.affine, itk_affine(path), atol=1e-4)
        label_map = LabelMap((image.data > image.data.mean()).astype(np.uint8), image.affine, LABELS)
        for extension in (".nii.gz", ".seg.nrrd", ".mha"):
            out = tmp_path / f"out{extension}"
            write_label_map(label_map, out)
            back = read_label_map(out, LABELS)
            assert back.shape == image.shape
            np.testing.assert_allclose(back.affine, image.affine, rtol=0, atol=1e-6)
            np.testing.assert_allclose(itk_affine(out), itk_affine(path), rtol=1e-6, atol=1e-6)
            np.testing.assert_array_equal(back.data, label_map.data)

"""Volumes and label maps survive the way through files on exactly their grid; wrong files are refused by name."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from leuda_core.errors import InputError
from leuda_core.io.volumes import (
    EXTENSIONS,
    Grid,
    find_volumes,
    read_grid,
    read_label_map,
    read_volume,
    same_grid,
    volume_stem,
    write_label_map,
    write_volume,
)
from leuda_core.types import Label, LabelMap, Volume

REAL = Path(__file__).parents[3] / "shared" / "data" / "volumes"
TISSUE = "Segmentation category and type~SCT^123037004^Anatomical Structure~~~^^~^^"
LABELS = (
    Label(1, "myocardium", (1.0, 0.0, 0.0)),
    Label(
        2, "Ventrículo", (0.2, 0.4, 0.6), "Segmentation category and type~SCT^123037004^Anatomical Structure~~~^^~^^"
    ),
)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SHEARED = np.array([[1.0, 0.3, 0.2, -5.0], [0.0, 2.0, 0.1, 7.0], [0.0, 0.0, 3.0, 9.0], [0.0, 0.0, 0.0, 1.0]])


def rotation(a: float, b: float, c: float) -> np.ndarray:
    turns = []
    for angle, (i, j) in zip((a, b, c), ((0, 1), (1, 2), (0, 2)), strict=True):
        turn = np.eye(3)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        turns.append(turn)
    return turns[0] @ turns[1] @ turns[2]


def make_affine(angles=(0.3, -0.4, 0.5), spacing=(0.7, 0.8, 5.0), origin=(-12.5, 30.25, 7.0), flip=False) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotation(*angles) @ np.diag(spacing) @ np.diag([-1 if flip else 1, 1, 1])
    affine[:3, 3] = origin
    return affine


def itk_affine(path: Path) -> np.ndarray:
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return LPS @ affine


def random_data(shape=(5, 6, 4), dtype=np.int16) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 100, shape).astype(dtype)


def random_labels(shape=(5, 6, 4)) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 3, shape).astype(np.uint8)


def save_nifti(path: Path, data: np.ndarray, sform=None, qform=None, sform_code=1, qform_code=1) -> Path:
    image = nib.Nifti1Image(data, None)
    image.set_sform(sform, sform_code if sform is not None else 0)
    image.set_qform(qform, qform_code if qform is not None else 0)
    nib.save(image, path)
    return path


affines = st.builds(
    make_affine,
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    spacing=st.tuples(*[st.floats(0.2, 12.0)] * 3),
    origin=st.tuples(*[st.floats(-300, 300)] * 3),
    flip=st.booleans(),
)
shapes = st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(1, 5))
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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


@pytest.mark.parametrize("extension", [".nrrd", ".mha", ".nii.gz"])
def test_data_outlives_the_reader(tmp_path, extension):
    expected = random_data((60, 50, 40))
    write_volume(Volume(expected, np.eye(4)), tmp_path / f"v{extension}")
    data = read_volume(tmp_path / f"v{extension}").data
    gc.collect()
    [np.full(expected.shape, 9, np.int16) for _ in range(20)]
    np.testing.assert_array_equal(data, expected)


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
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", program, str(tmp_path / f"v{extension}")]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert int(result.stdout) < size_mb * 1.35


def test_neighbour_of_the_same_stem_is_not_read_instead(tmp_path):
    write_volume(Volume(random_data() + 1, np.eye(4)), tmp_path / "a.nii")
    write_volume(Volume(random_data(), np.eye(4)), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").data, random_data())


# Geometry of NIfTI headers


def test_sheared_sform_is_read_exactly_with_a_warning(tmp_path, caplog):
    path = save_nifti(tmp_path / "s.nii.gz", random_data(), sform=SHEARED)
    with caplog.at_level(logging.WARNING):
        affine = read_volume(path).affine
    np.testing.assert_allclose(affine, SHEARED, atol=1e-6)
    assert "sheared" in caplog.text
    assert str(path) in caplog.text


def test_sheared_sform_wins_over_a_qform_without_shear(tmp_path):
    path = save_nifti(tmp_path / "s.nii", random_data(), sform=SHEARED, qform=SHEARED, sform_code=2)
    assert not np.allclose(itk_affine(path), SHEARED, atol=1e-2)  # what ITK would make of it
    np.testing.assert_allclose(read_grid(path).affine, SHEARED, atol=1e-6)


@pytest.mark.parametrize("sform_code", [1, 2, 4])
@pytest.mark.parametrize("qform_code", [1, 2])
def test_disagreeing_forms_are_settled_as_itk_does(tmp_path, caplog, sform_code, qform_code):
    sform, qform = make_affine(), make_affine(angles=(0, 0, 0))
    path = save_nifti(tmp_path / "d.nii", random_data(), sform, qform, sform_code, qform_code)
    with caplog.at_level(logging.WARNING):
        affine = read_grid(path).affine
    np.testing.assert_allclose(affine, itk_affine(path), atol=1e-5)
    assert "disagree" in caplog.text


@pytest.mark.parametrize("forms", ["sform", "qform", "both", "neither"])
def test_ordinary_forms_are_read_as_itk_does(tmp_path, caplog, forms):
    affine = make_affine(flip=True)
    given = {form: affine for form in ("sform", "qform") if forms in (form, "both")}
    path = save_nifti(tmp_path / "o.nii", random_data(), **given)
    if forms == "sform":
        image = nib.load(path)
        image.header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
        nib.save(nib.Nifti1Image(random_data(), None, image.header), path)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_allclose(read_grid(path).affine, itk_affine(path), atol=1e-5)
    assert ("no orientation" in caplog.text) == (forms == "neither")


def test_sform_counts_where_pixdim_contradicts_it(tmp_path, caplog):
    affine = make_affine(spacing=(2, 2, 3))
    path = save_nifti(tmp_path / "p.nii", random_data(), sform=affine)
    np.testing.assert_allclose(read_grid(path).affine, affine, atol=1e-6)
    assert "contradict" in caplog.text


def test_singular_sform_gives_way_to_a_sound_qform(tmp_path):
    path = save_nifti(tmp_path / "s.nii", random_data(), sform=np.diag([0.0, 0, 0, 1]), qform=make_affine())
    np.testing.assert_allclose(read_grid(path).affine, make_affine(), atol=1e-5)


def test_units_other_than_millimetres(tmp_path):
    image = nib.Nifti1Image(random_data(), np.diag([0.001, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "m.nii")
    assert read_volume(tmp_path / "m.nii").spacing_mm == pytest.approx((1, 2, 3))


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


# Wrong input


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
    "truncated": "cut short",
    "truncated:.nii": "cut short .*16000 bytes",
    "truncated:.nrrd": "cut short",
    "truncated:.mha": "cut short",
    "damaged": "damaged",
    "damaged:.nrrd": "damaged",
    "damaged:.mha": "damaged",
    "4d": r"\(5, 6, 4, 3\)",
    "rgb": "not one 3-D volume|voxels of type",
    "rgb:.nrrd": "3 numbers a voxel",
    "rgb:.mha": "3 numbers a voxel",
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
        ([0.5, 1, 1.5], "2 voxels that are no whole numbers"),
        ([np.nan, 1, 0], "1 voxels that are no whole numbers"),
        ([-1, -3, 1], "2 negative voxels .*-3"),
        ([7, 7, 9], r"no label has: 7 \(2 voxels\), 9 \(1 voxels\); the labels are 0, 1, 2"),
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


# Segmentations


def test_segmentation_file_keeps_names_colours_and_terminology(tmp_path):
    write_label_map(LabelMap(random_labels(), make_affine(), LABELS), tmp_path / "s.seg.nrrd")
    assert read_label_map(tmp_path / "s.seg.nrrd", None).labels == LABELS


def test_segments_are_matched_by_name(tmp_path):
    write_label_map(LabelMap(random_labels(), np.eye(4), LABELS), tmp_path / "s.seg.nrrd")
    swapped = (Label(2, "Myocardium"), Label(1, "ventrículo"))
    back = read_label_map(tmp_path / "s.seg.nrrd", swapped)
    np.testing.assert_array_equal(back.data, np.array([0, 2, 1])[random_labels()])
    assert back.labels == swapped


def test_overlapping_segments_are_refused(tmp_path):
    image = sitk.GetImageFromArray(random_data((4, 6, 5, 2), np.uint8), isVector=True)
    sitk.WriteImage(image, str(tmp_path / "s.seg.nrrd"))
    with pytest.raises(InputError, match="overlapping"):
        read_label_map(tmp_path / "s.seg.nrrd", LABELS)


@pytest.mark.parametrize("affine", [make_affine(), SHEARED])
def test_slicer_opens_the_segmentation(tmp_path, affine):
    core, vtk = pytest.importorskip("slicer_core"), pytest.importorskip("vtk")
    data = random_labels((8, 7, 6))
    path = tmp_path / "segments é.seg.nrrd"
    write_label_map(LabelMap(data, affine, LABELS), path)
    scene = core.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 2
    for index, label in enumerate(LABELS):
        segment = segmentation.GetNthSegment(index)
        assert segmentation.GetNthSegmentID(index) == f"Segment_{label.value}"
        assert segment.GetName() == label.name
        assert segment.GetColor() == pytest.approx(label.color)
        assert segment.GetLabelValue() == label.value
        if label.terminology:  # Slicer gives its own default to a segment without
            assert _terminology(segment) == label.terminology
        image = segment.GetRepresentation("Binary labelmap")
        assert image.GetDimensions() == data.shape
        i, j, k = np.argwhere(data == label.value)[0]
        assert image.GetScalarComponentAsDouble(int(i), int(j), int(k), 0) == label.value
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        stored = [[matrix.GetElement(row, column) for column in range(4)] for row in range(4)]
        np.testing.assert_allclose(stored, affine, atol=1e-6)


def _terminology(segment) -> str:
    vtk = pytest.importorskip("vtk")
    value = vtk.reference("")
    segment.GetTag("TerminologyEntry", value)
    return str(value)


# DICOM


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


@pytest.mark.parametrize(("positions", "message"), [((0, 3, 9, 12), "3 to 6 mm"), ((0, 0, 3, 3), "same place")])
def test_uneven_dicom_series_is_refused(tmp_path, positions, message):
    write_series(tmp_path / "s", positions=positions)
    with pytest.raises(InputError, match=message):
        read_volume(tmp_path / "s")


def test_folder_without_dicom_is_refused(tmp_path, capfd):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match="no DICOM series"):
        read_volume(tmp_path)
    assert capfd.readouterr().err == ""


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

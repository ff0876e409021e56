"""Segmentation files carry names, colours and terminology, and Slicer opens them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from leuda_core.errors import InputError
from leuda_core.io.segmentations import segmentation_labels
from leuda_core.io.volumes import read_label_map, write_label_map
from leuda_core.types import Label, LabelMap
from volume_files import LABELS, SHEARED, make_affine, random_data, random_labels


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


def write_segments(path: Path, data: np.ndarray, segments: list[dict[str, str]]) -> Path:
    """Write a .seg.nrrd file with these fields for each segment, whatever they are."""
    image = sitk.GetImageFromArray(data)
    for index, fields in enumerate(segments):
        for key, value in fields.items():
            image.SetMetaData(f"Segment{index}_{key}", value)
    sitk.WriteImage(image, str(path))
    return path


def segments(values: dict[int, str]) -> list[dict[str, str]]:
    return [{"ID": f"Segment_{value}", "Name": name, "LabelValue": str(value)} for value, name in values.items()]


def pieces(*values: int, dtype: type = np.uint8) -> np.ndarray:
    """Return a map (2, 2, n) with one column for each value."""
    return np.broadcast_to(np.array(values, dtype), (2, 2, len(values))).copy()


LIVER, SPLEEN = Label(1, "liver"), Label(2, "spleen")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_a_known_name_decides_whatever_the_empty_segments_are_called(tmp_path, dtype) -> None:
    stored = segments({1: "spleen", 2: "liver", 3: "tumour", 4: "liver"})
    path = write_segments(tmp_path / "s.seg.nrrd", pieces(0, 1, 2, dtype=dtype), stored)
    found = read_label_map(path, (LIVER, SPLEEN))
    assert found.data[:, 0, 0].tolist() == [0, 2, 1] and found.data.dtype == np.uint8
    assert [(label.value, label.name) for label in read_label_map(path, None).labels] == [
        (1, "spleen"),
        (2, "liver"),
        (3, "tumour"),
    ]


def test_large_values_are_matched_too_in_little_memory(tmp_path) -> None:
    stored = segments({4_000_000_000: "liver", 3: "spleen"})
    path = write_segments(tmp_path / "s.seg.nrrd", pieces(0, 4_000_000_000, 3, dtype=np.uint32), stored)
    tracemalloc.start()
    try:
        found = read_label_map(path, (LIVER, SPLEEN))
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert found.data[:, 0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({1: "liver", 2: "Milz"}, ["'Milz' (value 2)", "'liver', 'spleen'", "rename"]),
        ({1: "Leber", 2: "Milz"}, ["'Leber' (value 1), 'Milz' (value 2)"]),
        ({1: "liver", 2: " liver"}, ["2 segments have the name 'liver'"]),
        ({1: "spleen"}, ["values without a label: 2"]),
        ({1: "Segment_2", 2: "Segment_1"}, ["'Segment_2' (value 1)"]),
    ],
)
def test_what_is_not_known_by_name_is_refused(tmp_path, stored, words) -> None:
    path = write_segments(tmp_path / "s.seg.nrrd", pieces(0, 1, 2), segments(stored))
    with pytest.raises(InputError) as error:
        read_label_map(path, (LIVER, SPLEEN))
    assert all(word in str(error.value) for word in ["s.seg.nrrd", *words]), error.value


def test_placeholders_go_by_value(tmp_path) -> None:
    path = write_segments(tmp_path / "s.seg.nrrd", pieces(0, 1, 2), segments({1: "Segment_1", 2: "label 2"}))
    assert read_label_map(path, (LIVER, SPLEEN)).data[:, 0, 0].tolist() == [0, 1, 2]


def test_files_without_names_go_by_value(tmp_path) -> None:
    for name in ("s.nii.gz", "s.nrrd", "s.mha", "s.seg.nrrd"):
        path = write_segments(tmp_path / name, pieces(0, 1, 2), [])
        assert read_label_map(path, (LIVER, SPLEEN)).data[:, 0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("color", ["", "0,5 0,5 0,5", "red", "nan nan nan", "1 0", "255 0 0", "0.1 0.2 0.3 0.4"])
def test_an_unusable_colour_is_grey(color: str) -> None:
    header = {"Segment0_Name": "liver", "Segment0_LabelValue": "1", "Segment0_Color": color}
    assert segmentation_labels(header) == (LIVER,)


@pytest.mark.parametrize("value", ["", "x", "-1", "0", "1.5", "1e3", "9" * 5000, "4294967296", "²"])
def test_an_unusable_label_value_is_refused(value: str) -> None:
    header = {"Segment0_Name": "liver", "Segment0_LabelValue": value, "Segment1_Name": "a", "Segment1_LabelValue": "2"}
    with pytest.raises(InputError, match="'liver' has the label value") as error:
        segmentation_labels(header)
    assert len(str(error.value)) < 200 and error.value.remedy


def test_missing_names_and_values(tmp_path) -> None:
    assert segmentation_labels({"Segment0_LabelValue": " 3 "}) == (Label(3, "label 3"),)
    assert segmentation_labels({"Segment0_LabelValue": "3", "Segment0_ID": "liver"}) == (Label(3, "liver"),)
    assert segmentation_labels({"Segment0_Name": "liver"}) == (LIVER,), "as before Slicer 4.11"
    assert segmentation_labels({"Segment0_Name": "Background", "Segment0_LabelValue": "0"}) == ()
    path = write_segments(tmp_path / "old.seg.nrrd", pieces(0, 1), [{"ID": "S", "Name": "spleen"}])
    assert read_label_map(path, (LIVER, SPLEEN)).data[:, 0, 0].tolist() == [0, 2]


def test_values_that_are_not_whole_numbers_are_refused(tmp_path) -> None:
    path = write_segments(tmp_path / "s.seg.nrrd", pieces(0, 0.5, 1, dtype=np.float32), segments({1: "liver"}))
    with pytest.raises(InputError, match="not whole numbers"):
        read_label_map(path, (LIVER,))

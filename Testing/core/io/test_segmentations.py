"""Segmentation files carry names, colours and terminology, and Slicer opens them."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from leuda_core.errors import InputError
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

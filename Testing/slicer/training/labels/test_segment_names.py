"""Segments and structures: matched by name, and nothing that is drawn is lost without a word."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leuda_core.errors import InputError
from training_scene import SHAPE, add_volume, fill, labels_of, marks_of, source_store, structures, written_dataset

pytestmark = pytest.mark.slow


def add_segment(segmentation: Any, volume: Any, name: str, mask: np.ndarray | None = None) -> str:
    """Add a segment, empty or in a layer of its own."""
    import slicer

    segment = slicer.vtkSegment()
    segment.SetName(name)
    content = segmentation.GetSegmentation()
    segment_id = content.GenerateUniqueSegmentID(name)
    content.AddSegment(segment, segment_id)
    if mask is not None:
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segmentation, segment_id, volume)
    return segment_id


def box(*, k: slice) -> np.ndarray:
    mask = np.zeros(SHAPE[::-1], bool)
    mask[k, 10:14, 5:9] = True
    return mask


def read(segmentation: Any, volume: Any, wanted: list[Any] | None = None) -> np.ndarray:
    from LEUDASegmentationLib.scene.steps import finish
    from LEUDATrainingLib.labels.label_layers import LabelReader

    return finish(LabelReader(segmentation, volume, wanted or structures()).read())


def examined(node: Any) -> tuple[str, str]:
    """Return the problems and the warnings, each as one text."""
    from LEUDATrainingLib.dataset.readiness import examine
    from LEUDATrainingLib.labels.case_marks import CaseMarks

    marks = CaseMarks()
    marks.use(structures())
    found = examine(node, marks)
    problems, warnings = (" ".join(f"{a}: {b}." for a, b in lines) for lines in (found.problems, found.warnings))
    return problems, warnings


def structure(value: int, name: str) -> Any:
    from LEUDATrainingLib.cases.structures import Structure

    return Structure(value, name, (0.2, 0.5, 0.9))


def test_two_segments_of_one_name_are_refused_before_a_training(node, tmp_path: Path) -> None:
    volume, segmentation, _target = fill(node)
    add_segment(segmentation, volume, "liver ", box(k=slice(4, 5)))
    problems, _warnings = examined(node)
    assert "in Zoë MR, several segments have the name liver: unite them" in problems
    assert np.array_equal(read(segmentation, volume) == 3, (labels_of() == 3) | box(k=slice(4, 5))), "none wins"
    with pytest.raises(InputError, match="in Zoë MR, several segments have the name liver"):
        written_dataset(node, tmp_path / "d")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("name", ["liver", " Liver", "Zoë"])
def test_an_empty_segment_changes_nothing(node, tmp_path: Path, name: str) -> None:
    volume, segmentation, _target = fill(node)
    add_segment(segmentation, volume, name)
    assert examined(node)[0] == ""
    assert np.array_equal(read(segmentation, volume), labels_of())
    written_dataset(node, tmp_path / "d")


def test_overlapping_structures_are_counted_and_named(node, tmp_path: Path, caplog) -> None:
    volume, segmentation, _target = fill(node)
    heart = segmentation.GetSegmentation().GetNthSegmentID(0)
    import slicer

    mask = (labels_of() == 1) | box(k=slice(2, 4))  # 16 of its voxels are the liver's
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segmentation, heart, volume)
    add_segment(segmentation, volume, "body", np.ones(SHAPE[::-1]))  # not wanted: no overlap
    problems, warnings = examined(node)
    assert problems == ""
    assert "in Zoë MR, segments overlap: 16 voxels of Herz ♥ count as liver: erase" in warnings
    assert dict(marks_of(source_store(node), next(iter(source_store(node)))).overlaps) == {(1, 3): 16}
    with caplog.at_level(logging.WARNING):
        written_dataset(node, tmp_path / "d")
    assert "16 voxels of Herz ♥ count as liver" in caplog.text


def test_overlaps_of_large_labels_are_counted_in_the_event_loop(node, source, slicer_app, monkeypatch) -> None:
    from LEUDASegmentationLib.scene import volume_files
    from LEUDATrainingLib.labels import case_marks

    volume, segmentation, _target = fill(node)
    add_segment(segmentation, volume, "body", np.ones(SHAPE[::-1]))
    body = structure(9, "body")
    monkeypatch.setattr(case_marks, "AT_ONCE_BYTES", 0)
    monkeypatch.setattr(volume_files, "BYTES_AT_ONCE", SHAPE[0] * SHAPE[1])
    case, marks = next(iter(source)), case_marks.CaseMarks()
    marks.use([body, *structures()])
    assert marks.of(source, case) is None
    slicer_app.wait_until(lambda: not marks.is_counting(case))
    counts = {value: int((labels_of() == value).sum()) for value in (1, 3)}
    assert marks.of(source, case).overlaps == {(9, value): count for value, count in counts.items()}


@pytest.mark.parametrize(
    ("names", "wanted", "values"),
    [
        ((" RV", "rv"), ("rv", "RV"), (3, 1)),
        (("LIVER", "spleen "), ("liver", "spleen"), (1, 3)),
        (("RV", "rv"), ("Rv", "liver"), (0, 0)),
        (("RV", "rv"), ("RV", "liver"), (1, 0)),
        (("Rv", "liver"), ("RV", "rv"), (0, 0)),
    ],
)
def test_names_match_as_in_the_core(node, names, wanted, values) -> None:
    from LEUDATrainingLib.labels.segment_names import unknown_segments

    volume, segmentation, _target = fill(node)
    for index, name in enumerate(names):
        segmentation.GetSegmentation().GetNthSegment(index).SetName(name)
    ours = [structure(1, wanted[0]), structure(3, wanted[1])]
    found = read(segmentation, volume, ours)
    assert np.array_equal(found, np.array([0, values[0], 0, values[1]])[labels_of()])
    assert unknown_segments(segmentation, ours) == [
        name for name, value in zip(names, values, strict=True) if not value
    ]


def write_label(path: Path, names: dict[int, str]) -> Path:
    """Write the labels with the values 1 and 3 on the grid of ``add_volume``, with these names of segments."""
    import SimpleITK

    label = SimpleITK.GetImageFromArray(labels_of())
    label.SetSpacing((1, 1, 5))
    label.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    for index, (value, name) in enumerate(names.items()):
        fields = {
            "ID": f"Segment_{value}",
            "Name": name,
            "LabelValue": str(value),
            "Layer": "0",
            "Extent": "0 19 0 15 0 5",
        }
        for key, text in fields.items():
            label.SetMetaData(f"Segment{index}_{key}", text)
    SimpleITK.WriteImage(label, str(path))
    return path


def loaded(source: Any, label: Path, wanted: list[Any]) -> np.ndarray:
    """Load a case with a label file; return the labels that training would use."""
    import slicer

    from LEUDATrainingLib.dataset.case_loading import load_case

    image = add_volume()
    slicer.util.saveNode(image, str(label.parent / "image.nrrd"))
    case = source.add_file(label.parent / "image.nrrd", label)
    load_case(source, case, wanted)
    case = source.find(case.key)
    return read(source.segmentation(case), source.volume(case), wanted)


@pytest.mark.parametrize(
    ("names", "values"),
    [
        ({1: "spleen", 3: "liver"}, (3, 1)),
        ({1: "spleen", 3: "liver", 4: "empty"}, (3, 1)),
        ({1: "Leber", 3: "Milz"}, (0, 0)),
        ({1: "liver", 3: "Milz"}, (1, 0)),
        ({1: "Segment_1", 3: "label 3"}, (1, 3)),
        ({1: "Segment_3", 3: "Segment_1"}, (0, 0)),
    ],
)
def test_a_file_with_names_is_loaded_as_the_core_reads_it(source, tmp_path: Path, names, values) -> None:
    from leuda_core.io.volumes import read_label_map
    from leuda_core.types import Label

    path = write_label(tmp_path / "s.seg.nrrd", names)
    found = loaded(source, path, [structure(1, "liver"), structure(3, "spleen")])
    assert np.array_equal(found, np.array([0, values[0], 0, values[1]])[labels_of()])
    try:
        core = read_label_map(path, [Label(1, "liver"), Label(3, "spleen")]).data
    except InputError as error:
        assert 0 in values and "unknown segment" in error.message
    else:
        assert np.array_equal(found, core.T[:, ::1])


def test_a_value_without_a_structure_is_refused(source, tmp_path: Path) -> None:
    path = write_label(tmp_path / "s.nrrd", {})
    assert np.array_equal(loaded(source, path, structures()), labels_of())
    with pytest.raises(InputError, match=r"s\.nrrd have values without a structure: 3"):
        loaded(source, path, [structure(1, "liver")])

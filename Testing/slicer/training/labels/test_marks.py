"""Marking labels: moving between slices, and counting which slices are labelled."""

from __future__ import annotations

import numpy as np
import pytest

from training_scene import OBLIQUE, SHAPE, add_transform, add_volume, add_warp, fill, labels_of, marks_of, structures

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("under_transform", [False, True])
def test_a_view_shows_the_slice_it_jumped_to(slicer_app, under_transform: bool) -> None:
    import slicer

    from LEUDATrainingLib.labels.geometry import jump_to_slice, shown_slice

    volume = add_volume("v", OBLIQUE)
    if under_transform:
        turn = np.array([[0, -1, 0, 5.0], [1, 0, 0, -3.0], [0, 0, 1, 11.0], [0, 0, 0, 1.0]])
        volume.SetAndObserveTransformNodeID(add_transform(turn).GetID())
    view = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceNode")
    view.RotateToVolumePlane(volume)
    for index in (0, 3, 5):
        jump_to_slice(view, volume, index)
        assert shown_slice(view, volume) == index


def test_alignment_tells_a_view_across_the_slices(slicer_app) -> None:
    import slicer

    from LEUDATrainingLib.labels.geometry import ALIGNED, alignment

    volume = add_volume("v")  # sliced across superior
    view = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceNode")
    view.SetOrientationToAxial()
    assert alignment(view, volume) > ALIGNED
    view.SetOrientationToCoronal()
    assert alignment(view, volume) < 0.01


def test_every_drawn_slice_counts_until_somebody_says_which(node, source) -> None:
    fill(node)
    case = next(iter(source))
    found = marks_of(source, case)
    assert (found.complete, found.drawn, found.explicit) == ((1, 2), (1, 2), False)
    source.set_labelled(case.key, [5, 1])
    found = marks_of(source, source.find(case.key))
    assert (found.complete, found.unmarked, found.explicit) == ((1, 5), (2,), True)
    assert (found.used(1), found.used(3)) == ((1,), (1,))


def test_drawing_is_counted_at_once(node, source) -> None:
    import slicer

    from LEUDATrainingLib.labels.case_marks import CaseMarks
    from LEUDATrainingLib.labels.label_maps import set_labels

    volume, segmentation, _target = fill(node)
    case, marks = next(iter(source)), CaseMarks()
    marks.use(structures())
    assert marks.of(source, case).drawn == (1, 2)
    set_labels(segmentation, volume, labels_of(slices=(1, 2, 4)), structures())
    assert marks.of(source, case).drawn == (1, 2, 4)
    segment = segmentation.GetSegmentation().GetNthSegmentID(0)
    slicer.util.arrayFromSegmentInternalBinaryLabelmap(segmentation, segment)[:] = 0  # in place, as a brush does
    segmentation.GetSegmentation().GetSegment(segment).GetRepresentation("Binary labelmap").Modified()
    assert set(marks.of(source, case).by_structure) != {1, 3}


@pytest.fixture
def large(slicer_app, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every volume be one that is counted a slice at a time."""
    from LEUDASegmentationLib.scene import volume_files
    from LEUDATrainingLib.labels import case_marks

    monkeypatch.setattr(case_marks, "AT_ONCE_BYTES", 0)
    monkeypatch.setattr(volume_files, "BYTES_AT_ONCE", SHAPE[0] * SHAPE[1])


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch, widget) -> list[int]:
    """Notes the axis of every count that begins; the window, which counts as well, does not look."""
    from LEUDATrainingLib.labels.label_layers import LabelReader

    widget.setParameterNode(None)

    begun: list[int] = []
    count_slices = LabelReader.count_slices

    def noted(reader, axis):
        begun.append(axis)
        return count_slices(reader, axis)

    monkeypatch.setattr(LabelReader, "count_slices", noted)
    return begun


def test_large_labels_are_counted_in_the_event_loop_and_never_twice(node, source, large, counts, slicer_app) -> None:
    from LEUDATrainingLib.labels.case_marks import CaseMarks

    fill(node)
    told: list[int] = []
    case, marks = next(iter(source)), CaseMarks(lambda: told.append(len(counts)))
    marks.use(structures())
    for _look in range(3):
        assert marks.of(source, case) is None and marks.is_counting(case)
    slicer_app.wait_until(lambda: told)
    assert marks.of(source, case).by_structure == {1: (1, 2), 3: (1, 2)} and not marks.is_counting(case)
    assert (told, counts) == ([1], [2])


def test_the_count_before_a_change_stands_until_the_new_one(node, source, large, counts, slicer_app) -> None:
    from LEUDATrainingLib.labels.case_marks import CaseMarks
    from LEUDATrainingLib.labels.label_maps import set_labels

    volume, segmentation, _target = fill(node)
    case, marks = next(iter(source)), CaseMarks()
    marks.use(structures())
    marks.of(source, case)
    slicer_app.wait_until(lambda: not marks.is_counting(case))
    for drawn in ((1, 2, 4), (1, 4, 5)):  # the second while the first is being counted
        set_labels(segmentation, volume, labels_of(slices=drawn), structures())
        assert marks.of(source, case).drawn == (1, 2) and marks.is_counting(case)
    done: list[tuple[int, ...]] = []
    marks.when_counted(source, case, lambda: done.append(marks.of(source, case).drawn))
    assert done == []
    slicer_app.wait_until(lambda: done)
    assert done == [(1, 4, 5)]
    marks.when_counted(source, case, lambda: done.append(()))
    assert done[1:] == [()], "at once"


def test_what_was_being_counted_is_forgotten_with_the_scene(node, source, large, slicer_app) -> None:
    from LEUDATrainingLib.labels.case_marks import CaseMarks

    fill(node)
    told: list[str] = []
    case, marks = next(iter(source)), CaseMarks(lambda: told.append("counted"))
    marks.use(structures())
    marks.of(source, case)
    marks.forget()
    slicer_app.processEvents()
    assert told == [] and not marks.is_counting(case)
    marks.of(source, case)
    slicer_app.wait_until(lambda: told)
    assert marks.of(source, case).drawn == (1, 2)


def test_segments_count_by_the_names_of_structures(node, source) -> None:
    from LEUDATrainingLib.labels.segment_names import unknown_segments

    _volume, segmentation, _target = fill(node)
    assert unknown_segments(segmentation, structures()) == []
    segmentation.GetSegmentation().GetNthSegment(1).SetName("Leber")
    assert unknown_segments(segmentation, structures()) == ["Leber"]
    assert set(marks_of(source, next(iter(source))).by_structure) == {1}


def test_under_a_warp_nothing_is_counted_and_nothing_fails(node, source) -> None:
    volume, _segmentation, _target = fill(node)
    volume.SetAndObserveTransformNodeID(add_warp().GetID())
    assert marks_of(source, next(iter(source))) is None


def test_suggestions_spread_over_the_range_of_the_structures(slicer_app) -> None:
    from LEUDATrainingLib.labels.marks import make_marks, suggest_slice

    assert suggest_slice(make_marks(31, (), {})) == 15
    labelled: list[int] = []
    drawn = {1: (10, 30)}  # the first and last slice of the structure, say
    for _number in range(5):
        labelled.append(suggest_slice(make_marks(50, labelled, drawn)))
    assert labelled == [20, 10, 30, 15, 25]
    assert suggest_slice(make_marks(9, (3, 4), {1: (3, 4)})) == 8  # the range is done: the volume's far end
    everything = make_marks(4, (0, 1, 2, 3), {})
    assert suggest_slice(everything) is None
    assert suggest_slice(make_marks(0, (), {})) is None


def test_labelled_neighbours(slicer_app) -> None:
    from LEUDATrainingLib.labels.marks import neighbour

    assert neighbour((2, 5, 9), 5, +1) == 9
    assert neighbour((2, 5, 9), 5, -1) == 2
    assert neighbour((2, 5, 9), 4, -1) == 2
    assert neighbour((2, 5, 9), 9, +1) is None

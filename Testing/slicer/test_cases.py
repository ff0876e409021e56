"""Structures, cases and marks: what a training is made of, as the scene keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from leuda_core.errors import InputError
from training_scene import OBLIQUE, SHAPE, add_labels, add_transform, add_volume, add_warp, fill, labels_of, structures


@pytest.fixture
def node(slicer_app):
    from LEUDATrainingLib.logic import LEUDATrainingLogic

    return LEUDATrainingLogic().getParameterNode()


@pytest.fixture
def source(node):
    from LEUDATrainingLib.cases import CaseStore

    return CaseStore(node, "source")


# slices


def test_slicing_axis_is_the_one_of_the_core_on_many_grids(slicer_app) -> None:
    from leuda_core.data.slices import plan_slices
    from LEUDATrainingLib.geometry import slicing_axis

    random = np.random.default_rng(3)
    near_ties = [(1, 1, 1), (1, 1, 1.004), (2, 2.01, 1), (1.5, 1.5, 1.49), (3, 1, 3)]
    for number in range(400):
        rotation, _r = np.linalg.qr(random.normal(size=(3, 3)))
        spacing = near_ties[number % 5] if number < 100 else random.uniform(0.3, 6, 3)
        shear = np.eye(3) + np.triu(random.uniform(-0.2, 0.2, (3, 3)), 1) * (number % 3 == 0)
        affine = np.eye(4)
        affine[:3, :3] = rotation @ shear * spacing
        shape = tuple(int(n) for n in random.integers(1, 5, 3))
        assert slicing_axis(shape, affine) == plan_slices(shape, affine).axis, (shape, affine)


@pytest.mark.parametrize("under_transform", [False, True])
def test_a_view_shows_the_slice_it_jumped_to(slicer_app, under_transform: bool) -> None:
    import slicer

    from LEUDATrainingLib.geometry import jump_to_slice, shown_slice

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

    from LEUDATrainingLib.geometry import ALIGNED, alignment

    volume = add_volume("v")  # sliced across superior
    view = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceNode")
    view.SetOrientationToAxial()
    assert alignment(view, volume) > ALIGNED
    view.SetOrientationToCoronal()
    assert alignment(view, volume) < 0.01


# structures


def test_structures_survive_the_scene(node) -> None:
    from LEUDATrainingLib.structures import read_structures, write_structures

    write_structures(node, structures())
    assert read_structures(node) == structures()
    node.structures = '[{"name": "no value"}, 3, {"value": 2, "name": "b", "color": [0, 0, 1]}]'
    assert [structure.name for structure in read_structures(node)] == ["b"]
    node.structures = "not json"
    assert read_structures(node) == []


def test_added_structures_get_values_names_and_colours_of_their_own(slicer_app) -> None:
    from LEUDATrainingLib.structures import add_structure

    found = structures()
    for _number in range(3):
        found = add_structure(found, "structure")
    assert [structure.name for structure in found[2:]] == ["structure", "structure 2", "structure 3"]
    assert [structure.value for structure in found] == [1, 3, 4, 5, 6]
    assert len({structure.color for structure in found}) == 5


def test_renaming_refuses_what_would_be_ambiguous(slicer_app) -> None:
    from LEUDATrainingLib.structures import rename_structure

    assert rename_structure(structures(), 3, " spleen ")[1].name == "spleen"
    with pytest.raises(InputError, match="both be called"):
        rename_structure(structures(), 3, "Herz ♥")
    with pytest.raises(InputError, match="needs a name"):
        rename_structure(structures(), 3, "  ")


def test_structures_of_a_segmentation_keep_name_colour_and_terminology(slicer_app) -> None:
    from LEUDATrainingLib.structures import merge_structures, structures_of_segmentation, terminology_text

    found = structures_of_segmentation(add_labels(add_volume(), labels_of()))
    assert [structure.name for structure in found] == ["Herz ♥", "liver"]
    assert found[0].color == pytest.approx(structures()[0].color, abs=1e-6)
    assert terminology_text(found[0].terminology) == "Heart (SCT 80891009)"
    merged = merge_structures(structures()[:1], found)
    assert [(structure.value, structure.name) for structure in merged] == [(1, "Herz ♥"), (2, "liver")]


def test_terminology_is_typed_as_people_read_it(slicer_app) -> None:
    from LEUDATrainingLib.structures import parse_terminology, terminology_text

    text = "Left ventricle (SCT 87878005)"
    assert terminology_text(parse_terminology(text)) == text
    assert parse_terminology("  ") == ""
    with pytest.raises(InputError, match="Heart"):
        parse_terminology("heart")


# cases


def test_cases_survive_saving_and_loading_a_scene(node, source, tmp_path: Path) -> None:
    import slicer

    from LEUDATrainingLib.cases import CaseStore
    from LEUDATrainingLib.logic import LEUDATrainingLogic
    from LEUDATrainingLib.structures import read_structures

    fill(node)
    source.set_labelled(next(iter(source)).key, [2, 4])
    node.method, node.steps, node.settings = "mean_teacher", 123, '{"batch_size": 2}'
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(0)
    add_volume("in the way")  # so that ids change on loading
    slicer.util.loadScene(str(path))
    again = LEUDATrainingLogic().getParameterNode()
    (case,) = CaseStore(again, "source")
    store = CaseStore(again, "source")
    assert (case.name, case.labelled) == ("Zoë MR", (2, 4))
    assert store.volume(case).GetName() == "Zoë MR"
    assert store.segmentation(case).GetName() == "Zoë MR labels"
    assert read_structures(again) == structures()
    assert (again.method, again.steps, again.settings) == ("mean_teacher", 123, '{"batch_size": 2}')


def test_a_deleted_volume_makes_a_missing_case(node, source) -> None:
    import slicer

    from LEUDATrainingLib.case_marks import CaseMarks

    volume, segmentation, _target = fill(node)
    case = next(iter(source))
    slicer.mrmlScene.RemoveNode(segmentation)
    assert source.segmentation(case) is None
    assert not source.is_missing(case)
    slicer.mrmlScene.RemoveNode(volume)
    assert source.volume(case) is None
    assert source.is_missing(case)
    assert CaseMarks().of(source, case) is None


def test_what_is_no_image_is_refused(source) -> None:
    import slicer

    label_map = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "a map")
    with pytest.raises(InputError, match="a map is no image"):
        source.add_node(label_map)
    with pytest.raises(InputError, match="holds no voxels"):
        source.add_node(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
    volume = add_volume("twice")
    source.add_node(volume)
    with pytest.raises(InputError, match="already in the list"):
        source.add_node(volume)
    assert len(source) == 1


def test_names_are_unique_over_both_lists(node, source) -> None:
    from LEUDATrainingLib.cases import CaseStore

    target = CaseStore(node, "target")
    names = [source.add_node(add_volume("CT")).name, target.add_node(add_volume("CT")).name]
    assert names == ["CT", "CT 2"]


def test_labels_are_found_beside_images_and_in_a_folder_of_labels(slicer_app, tmp_path: Path) -> None:
    from LEUDATrainingLib.cases import volume_files

    for name in ("a.nii.gz", "a_label.nii.gz", "b.nrrd", "b.seg.nrrd", "c.mha", "d.nii", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/c.nii.gz").touch()
    found = {image.name: label and label.relative_to(tmp_path).as_posix() for image, label in volume_files(tmp_path)}
    assert found == {"a.nii.gz": "a_label.nii.gz", "b.nrrd": "b.seg.nrrd", "c.mha": "labels/c.nii.gz", "d.nii": None}
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no volume"):
        volume_files(tmp_path / "empty")


def written(node, folder: Path) -> Path:
    from LEUDATrainingLib.logic import LEUDATrainingLogic

    return LEUDATrainingLogic().writeDataset(node, folder)


def test_a_dataset_file_brings_structures_and_cases(node, source, tmp_path: Path) -> None:
    import slicer

    from LEUDATrainingLib.cases import CaseStore
    from LEUDATrainingLib.dataset_import import add_dataset
    from LEUDATrainingLib.logic import LEUDATrainingLogic
    from LEUDATrainingLib.structures import read_structures

    fill(node)
    path = written(node, tmp_path / "d")
    slicer.mrmlScene.Clear(0)
    fresh = LEUDATrainingLogic().getParameterNode()
    assert add_dataset(fresh, path) == 2
    found = read_structures(fresh)
    assert [(one.value, one.name, one.terminology) for one in found] == [
        (one.value, one.name, one.terminology) for one in structures()
    ]
    (case,) = CaseStore(fresh, "source")
    assert Path(case.image).exists()
    assert Path(case.label).exists()
    assert (fresh.sourceModality, fresh.targetModality) == ("MR", "CT")
    assert add_dataset(fresh, path) == 0  # what is there already is not added twice


@pytest.mark.parametrize("text", ["", "[]", '{"labels": {}}', '{"labels": {"1": 3}, "source": {"cases": []}}'])
def test_what_is_no_dataset_file_changes_nothing(node, tmp_path: Path, text: str) -> None:
    from LEUDATrainingLib.dataset_import import add_dataset

    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"d\.json"):
        add_dataset(node, path)
    assert (node.structures, node.sourceCases) == ("[]", "[]")


def test_a_dataset_with_other_structures_is_refused(node, tmp_path: Path) -> None:
    from LEUDATrainingLib.dataset_import import add_dataset
    from LEUDATrainingLib.structures import write_structures

    fill(node)
    path = written(node, tmp_path / "d")
    write_structures(node, structures()[:1])
    with pytest.raises(InputError, match="other structures"):
        add_dataset(node, path)


# loading


def test_a_loaded_case_has_the_labels_of_its_file(node, source, tmp_path: Path) -> None:
    from LEUDASegmentationLib.steps import finish
    from LEUDATrainingLib.case_loading import load_case
    from LEUDATrainingLib.label_layers import LabelReader

    fill(node)
    folder = written(node, tmp_path / "d").parent / "volumes"
    case = source.add_file(folder / "source_001.nrrd", folder / "source_001_label.nrrd", [1], name="from file")
    load_case(source, case, structures())
    case = source.find(case.key)
    assert (case.image, case.labelled) == ("", (1,))
    reader = LabelReader(source.segmentation(case), source.volume(case), structures())
    assert np.array_equal(finish(reader.read()), labels_of())


def test_marked_slices_follow_a_volume_that_slicer_turns(node, source, tmp_path: Path) -> None:
    import SimpleITK

    from LEUDATrainingLib.case_loading import load_case

    voxels = np.random.default_rng(0).integers(0, 99, SHAPE[::-1]).astype(np.int16)
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing((1, 1, 5))
    image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))  # left-handed
    label = SimpleITK.GetImageFromArray(labels_of(slices=(1,)))
    label.CopyInformation(image)
    for name, one in (("left.nrrd", image), ("left_label.nrrd", label)):
        SimpleITK.WriteImage(one, str(tmp_path / name))
    case = source.add_file(tmp_path / "left.nrrd", tmp_path / "left_label.nrrd", [1])
    load_case(source, case, structures())
    assert source.find(case.key).labelled == (SHAPE[2] - 1 - 1,)
    assert _marks(source, source.find(case.key)).drawn == (SHAPE[2] - 1 - 1,)


def test_a_file_that_cannot_be_loaded_says_so(source, tmp_path: Path) -> None:
    from LEUDATrainingLib.case_loading import load_case

    (tmp_path / "bad.nrrd").write_text("not a volume")
    case = source.add_file(tmp_path / "bad.nrrd")
    with pytest.raises(InputError, match=r"bad\.nrrd could not be loaded"):
        load_case(source, case, structures())


# marks


def _marks(store, case):
    from LEUDATrainingLib.case_marks import CaseMarks

    marks = CaseMarks()
    marks.use(structures())
    return marks.of(store, case)


def test_every_drawn_slice_counts_until_somebody_says_which(node, source) -> None:
    fill(node)
    case = next(iter(source))
    found = _marks(source, case)
    assert (found.complete, found.drawn, found.explicit) == ((1, 2), (1, 2), False)
    source.set_labelled(case.key, [5, 1])
    found = _marks(source, source.find(case.key))
    assert (found.complete, found.forgotten, found.explicit) == ((1, 5), (2,), True)
    assert (found.learnt(1), found.learnt(3)) == ((1,), (1,))


def test_drawing_is_counted_at_once(node, source) -> None:
    import slicer

    from LEUDATrainingLib.case_marks import CaseMarks
    from LEUDATrainingLib.label_maps import set_labels

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
    from LEUDASegmentationLib import volume_files
    from LEUDATrainingLib import case_marks

    monkeypatch.setattr(case_marks, "AT_ONCE_BYTES", 0)
    monkeypatch.setattr(volume_files, "BYTES_AT_ONCE", SHAPE[0] * SHAPE[1])


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch, slicer_app) -> list[int]:
    """Notes the axis of every count that begins."""
    from LEUDATrainingLib.label_layers import LabelReader

    begun: list[int] = []
    count_slices = LabelReader.count_slices

    def noted(reader, axis):
        begun.append(axis)
        return count_slices(reader, axis)

    monkeypatch.setattr(LabelReader, "count_slices", noted)
    return begun


def test_large_labels_are_counted_in_the_event_loop_and_never_twice(node, source, large, counts, slicer_app) -> None:
    from LEUDATrainingLib.case_marks import CaseMarks

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
    from LEUDATrainingLib.case_marks import CaseMarks
    from LEUDATrainingLib.label_maps import set_labels

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
    from LEUDATrainingLib.case_marks import CaseMarks

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
    from LEUDATrainingLib.label_maps import unknown_segments

    _volume, segmentation, _target = fill(node)
    assert unknown_segments(segmentation, structures()) == []
    segmentation.GetSegmentation().GetNthSegment(1).SetName("Leber")
    assert unknown_segments(segmentation, structures()) == ["Leber"]
    assert set(_marks(source, next(iter(source))).by_structure) == {1}


def test_under_a_warp_nothing_is_counted_and_nothing_fails(node, source) -> None:
    volume, _segmentation, _target = fill(node)
    volume.SetAndObserveTransformNodeID(add_warp().GetID())
    assert _marks(source, next(iter(source))) is None


def test_suggestions_spread_over_the_range_of_the_structures(slicer_app) -> None:
    from LEUDATrainingLib.marks import make_marks, suggest_slice

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
    from LEUDATrainingLib.marks import neighbour

    assert neighbour((2, 5, 9), 5, +1) == 9
    assert neighbour((2, 5, 9), 5, -1) == 2
    assert neighbour((2, 5, 9), 4, -1) == 2
    assert neighbour((2, 5, 9), 9, +1) is None


# readiness


def test_everything_that_is_missing_is_said_at_once(node) -> None:
    from LEUDATrainingLib.case_marks import CaseMarks
    from LEUDATrainingLib.readiness import examine

    found = examine(node, CaseMarks())
    messages = [message for message, _remedy in found.problems]
    assert messages == ["no structure is named", "no source volume is chosen", "no target volume is chosen"]
    assert all(remedy for _message, remedy in found.problems)


def _examined(node):
    from LEUDATrainingLib.case_marks import CaseMarks
    from LEUDATrainingLib.readiness import examine

    marks = CaseMarks()
    marks.use(structures())
    return examine(node, marks)


def test_a_training_that_can_start_has_warnings_alone(node) -> None:
    fill(node)
    found = _examined(node)
    assert found.problems == ()
    assert any("only 2 labelled slices" in message for message, _remedy in found.warnings)


def test_problems_and_warnings_name_what_they_are_about(node, source) -> None:
    import slicer

    from LEUDATrainingLib.cases import CaseStore

    volume, segmentation, target = fill(node)
    case = next(iter(source))
    source.set_labelled(case.key, ())
    assert any("no slice is labelled" in message for message, _remedy in _examined(node).problems)
    node.settings = json.dumps({"plane": "axial"})
    assert any("axial" in message for message, _remedy in _examined(node).problems)
    node.settings = "{}"
    source.set_labelled(case.key, [1])
    segmentation.GetSegmentation().GetNthSegment(1).SetName("Leber")
    target.SetSpacing(8, 8, 30)
    warnings = " ".join(message for message, _remedy in _examined(node).warnings)
    for part in ("1 slices of Zoë MR hold labels", "liver is on no labelled slice", "Leber counts as background", "mm"):
        assert part in warnings
    CaseStore(node, "target").add_node(volume)
    assert any("both source and target" in message for message, _remedy in _examined(node).problems)
    slicer.mrmlScene.RemoveNode(target)
    assert any("Zoë CT is gone" in message for message, _remedy in _examined(node).problems)

"""Source and target cases as the scene keeps them: added, saved, loaded, and ready to train or not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from leuda_core.errors import InputError
from training_scene import SHAPE, add_volume, fill, labels_of, marks_of, structures, written_dataset


@pytest.mark.slow
def test_cases_survive_saving_and_loading_a_scene(node, source, tmp_path: Path) -> None:
    import slicer

    from LEUDATrainingLib.cases.cases import CaseStore
    from LEUDATrainingLib.cases.structures import read_structures
    from LEUDATrainingLib.logic import LEUDATrainingLogic

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


@pytest.mark.slow
def test_a_deleted_volume_makes_a_missing_case(node, source) -> None:
    import slicer

    from LEUDATrainingLib.labels.case_marks import CaseMarks

    volume, segmentation, _target = fill(node)
    case = next(iter(source))
    slicer.mrmlScene.RemoveNode(segmentation)
    assert source.segmentation(case) is None
    assert not source.is_missing(case)
    slicer.mrmlScene.RemoveNode(volume)
    assert source.volume(case) is None
    assert source.is_missing(case)
    assert CaseMarks().of(source, case) is None


@pytest.mark.slow
def test_what_is_no_image_is_refused(source) -> None:
    import slicer

    label_map = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "a map")
    with pytest.raises(InputError, match="a map” is a label map"):
        source.add_node(label_map)
    with pytest.raises(InputError, match="contains no voxels"):
        source.add_node(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
    volume = add_volume("twice")
    source.add_node(volume)
    with pytest.raises(InputError, match="already in the list"):
        source.add_node(volume)
    assert len(source) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '[{"key": "a", "name": "b", "labelled": [1e999]}]', '[{"key": "a", "name": "b", "image": 5}]'],
)
def test_entries_that_are_no_cases_are_ignored(node, source, text: str) -> None:
    node.sourceCases = text
    assert list(source) == []


def test_names_are_unique_over_both_lists(node, source) -> None:
    from LEUDATrainingLib.cases.cases import CaseStore

    target = CaseStore(node, "target")
    names = [source.add_node(add_volume("CT")).name, target.add_node(add_volume("CT")).name]
    assert names == ["CT", "CT 2"]


@pytest.mark.slow
def test_labels_are_found_beside_images_and_in_a_folder_of_labels(slicer_app, tmp_path: Path) -> None:
    from LEUDATrainingLib.cases.cases import volume_files

    for name in ("a.nii.gz", "a_label.nii.gz", "b.nrrd", "b.seg.nrrd", "c.mha", "d.nii", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/c.nii.gz").touch()
    for name in ("._a.nii.gz", "._d_label.nii", "labels/._d.nii"):  # as macOS writes on other file systems
        (tmp_path / name).touch()
    found = {image.name: label and label.relative_to(tmp_path).as_posix() for image, label in volume_files(tmp_path)}
    assert found == {"a.nii.gz": "a_label.nii.gz", "b.nrrd": "b.seg.nrrd", "c.mha": "labels/c.nii.gz", "d.nii": None}
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="contains no volume"):
        volume_files(tmp_path / "empty")


@pytest.mark.slow
def test_a_dataset_file_brings_structures_and_cases(node, source, tmp_path: Path) -> None:
    import slicer

    from LEUDATrainingLib.cases.cases import CaseStore
    from LEUDATrainingLib.cases.structures import read_structures
    from LEUDATrainingLib.dataset.dataset_import import add_dataset
    from LEUDATrainingLib.logic import LEUDATrainingLogic

    fill(node)
    path = written_dataset(node, tmp_path / "d")
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


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "[]", '{"labels": {}}', '{"labels": {"1": 3}, "source": {"cases": []}}'])
def test_what_is_no_dataset_file_changes_nothing(node, tmp_path: Path, text: str) -> None:
    from LEUDATrainingLib.dataset.dataset_import import add_dataset

    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"d\.json"):
        add_dataset(node, path)
    assert (node.structures, node.sourceCases) == ("[]", "[]")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("volumes/target_001.nrrd", r"a\u0000b.nrrd"),
        ("volumes/target_001.nrrd", "a" * 5000),
        ("volumes/target_001.nrrd", r"\ud800.nrrd"),
        ('"1"', f'"{"9" * 5000}"'),
        ('"modality": "MR"', '"modality": 5'),
        ('"color": [', '"color": [1e999, '),
        ('"id": ', '"labelled_slices": [1e999], "id": '),
    ],
    ids=["null", "a long name", "half a surrogate pair", "a long value", "no text", "no colour", "no slice"],
)
def test_a_dataset_with_values_that_cannot_be_is_refused(node, tmp_path: Path, old: str, new: str) -> None:
    from LEUDATrainingLib.cases.structures import write_structures
    from LEUDATrainingLib.dataset.dataset_import import add_dataset

    fill(node)
    path = written_dataset(node, tmp_path / "d")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    write_structures(node, [])
    node.sourceCases = node.targetCases = "[]"
    with pytest.raises(InputError, match="dataset") as caught:
        add_dataset(node, path)
    assert len(str(caught.value)) < 1000
    assert (node.structures, node.sourceCases) == ("[]", "[]")


@pytest.mark.slow
def test_a_dataset_with_other_structures_is_refused(node, tmp_path: Path) -> None:
    from LEUDATrainingLib.cases.structures import write_structures
    from LEUDATrainingLib.dataset.dataset_import import add_dataset

    fill(node)
    path = written_dataset(node, tmp_path / "d")
    write_structures(node, structures()[:1])
    with pytest.raises(InputError, match=r"the structures of .+ differ"):
        add_dataset(node, path)


# loading


@pytest.mark.slow
def test_a_loaded_case_has_the_labels_of_its_file(node, source, tmp_path: Path) -> None:
    from LEUDASegmentationLib.scene.steps import finish
    from LEUDATrainingLib.dataset.case_loading import load_case
    from LEUDATrainingLib.labels.label_layers import LabelReader

    fill(node)
    folder = written_dataset(node, tmp_path / "d").parent / "volumes"
    case = source.add_file(folder / "source_001.nrrd", folder / "source_001_label.nrrd", [1], name="from file")
    load_case(source, case, structures())
    case = source.find(case.key)
    assert (case.image, case.labelled) == ("", (1,))
    reader = LabelReader(source.segmentation(case), source.volume(case), structures())
    assert np.array_equal(finish(reader.read()), labels_of())


@pytest.mark.slow
def test_marked_slices_follow_a_volume_that_slicer_turns(node, source, tmp_path: Path) -> None:
    import SimpleITK

    from LEUDATrainingLib.dataset.case_loading import load_case

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
    assert marks_of(source, source.find(case.key)).drawn == (SHAPE[2] - 1 - 1,)


@pytest.mark.slow
def test_a_file_that_cannot_be_loaded_says_so(source, tmp_path: Path) -> None:
    from LEUDATrainingLib.dataset.case_loading import load_case

    (tmp_path / "bad.nrrd").write_text("not a volume")
    case = source.add_file(tmp_path / "bad.nrrd")
    with pytest.raises(InputError, match=r"bad\.nrrd could not be loaded"):
        load_case(source, case, structures())


# readiness


@pytest.mark.slow
def test_everything_that_is_missing_is_said_at_once(node) -> None:
    from LEUDATrainingLib.dataset.readiness import examine
    from LEUDATrainingLib.labels.case_marks import CaseMarks

    found = examine(node, CaseMarks())
    messages = [message for message, _remedy in found.problems]
    assert messages == ["there are no structures", "there are no source volumes", "there are no target volumes"]
    assert all(remedy for _message, remedy in found.problems)


def _examined(node):
    from LEUDATrainingLib.dataset.readiness import examine
    from LEUDATrainingLib.labels.case_marks import CaseMarks

    marks = CaseMarks()
    marks.use(structures())
    return examine(node, marks)


@pytest.mark.slow
def test_a_training_that_can_start_has_warnings_alone(node) -> None:
    fill(node)
    found = _examined(node)
    assert found.problems == ()
    assert any("only 2 labelled slices" in message for message, _remedy in found.warnings)


@pytest.mark.slow
def test_problems_and_warnings_name_what_they_are_about(node, source) -> None:
    import slicer

    from LEUDATrainingLib.cases.cases import CaseStore

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
    parts = ("slices of Zoë MR contain labels", "no labelled slice contains liver", "count as background: Leber", "mm")
    assert all(part in warnings for part in parts), warnings
    CaseStore(node, "target").add_node(volume)
    assert any("both a source and a target" in message for message, _remedy in _examined(node).problems)
    slicer.mrmlScene.RemoveNode(target)
    assert any("Zoë CT was deleted" in message for message, _remedy in _examined(node).problems)

"""Corrected results of the scene as a dataset that the core reads."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leuda_core.data.dataset import load_dataset, read_case_labels
from leuda_core.errors import InputError
from leuda_core.io.volumes import read_volume
from segmentation_scene import (
    LABELS,
    MODEL,
    MOVED,
    OBLIQUE,
    PLAIN,
    SHAPE,
    add_linear_transform,
    add_volume,
    add_warp,
    drain,
    label_map,
    paint,
    segment_voxels,
)


def draw_on(node, volume, name: str, k: int) -> None:
    """Paint something into a slice of a segment, as the Segment Editor does."""
    voxels = segment_voxels(node, name, volume)
    voxels[k] = False
    voxels[k, 6:8, :3] = True
    paint(node, name, volume, voxels)


def results(model=MODEL):
    import slicer

    from LEUDASegmentationLib.run.corrected_cases import results_of

    return drain(results_of(slicer.mrmlScene, model))


def written(folder: Path, source: Path | None = None, model=MODEL):
    from LEUDASegmentationLib.run.corrected_cases import write_corrections

    return load_dataset(drain(write_corrections(results(), model, folder, source)), needs_source=False)


@pytest.fixture(params=[PLAIN, OBLIQUE], ids=["plain", "oblique"])
def volume(slicer_app, request):
    return add_volume(affine=request.param)


@pytest.fixture
def node(logic, volume):
    """A result of the model."""
    return logic.segment(volume, "Herz CT")


def test_corrected_slices_are_labels_on_the_grid_of_the_volume(logic, volume, node, tmp_path: Path) -> None:
    draw_on(node, volume, "spleen", 3)
    draw_on(node, volume, "grey", 1)
    expected = np.zeros(SHAPE, np.uint16)
    for label in LABELS:
        expected[segment_voxels(node, label.name, volume)] = label.value
    dataset = written(tmp_path / "data")
    (case,) = dataset.target.cases
    assert case.labelled_slices == (1, 3)
    assert [(label.value, label.name) for label in dataset.labels] == [(one.value, one.name) for one in LABELS]
    found = read_case_labels(case, dataset.labels).data.T  # also compares the grids
    np.testing.assert_array_equal(found[[1, 3]], expected[[1, 3]])
    assert not found[[0, 2, 4, 5]].any()
    import slicer

    np.testing.assert_array_equal(read_volume(case.image).data.T, slicer.util.arrayFromVolume(volume))


def test_layers_may_be_smaller_and_larger_than_the_volume(logic, volume, node, tmp_path: Path) -> None:
    """A result is cropped to its voxels; a segment may reach beyond a volume that was cropped later."""
    import slicer

    from LEUDASegmentationLib.run.corrected_cases import Result, write_corrections
    from LEUDASegmentationLib.scene.geometry import ijk_to_ras

    segment_id = node.GetSegmentation().GetNthSegmentID(1)
    small = ijk_to_ras(volume).copy()
    small[:3, 3] += small[:3, :3] @ [2, 3, 1]
    part = slicer.util.addVolumeFromArray(slicer.util.arrayFromVolume(volume)[1:, 3:, 2:].copy(), small, "part")
    expected = np.where(np.arange(SHAPE[0])[:, None, None] == 3, label_map(), 0)
    for number, (where, k, wanted) in enumerate([(volume, 3, expected), (part, 2, expected[1:, 3:, 2:])]):
        steps = write_corrections([Result(node, where, {segment_id: {3}})], MODEL, tmp_path / str(number), None)
        (case,) = load_dataset(drain(steps), needs_source=False).target.cases
        assert case.labelled_slices == (k,)
        np.testing.assert_array_equal(read_case_labels(case, LABELS).data.T, wanted)


def test_what_was_erased_is_corrected_too(logic, volume, node, tmp_path: Path) -> None:
    for label in LABELS:
        voxels = segment_voxels(node, label.name, volume)
        voxels[5] = False
        paint(node, label.name, volume, voxels)
    (case,) = written(tmp_path / "data").target.cases
    assert case.labelled_slices == (5,)
    assert not read_case_labels(case, LABELS).data.any()


def test_volumes_without_corrections_come_along_without_labels(logic, volume, node, tmp_path: Path) -> None:
    other = add_volume("other")
    logic.segment(other, "Herz CT")
    add_volume("never segmented")
    draw_on(node, volume, "spleen", 2)
    cases = written(tmp_path / "data").target.cases
    assert [case.labelled_slices for case in cases] == [(2,), None] and cases[1].label is None


def test_of_two_results_of_a_volume_the_corrected_one_counts(logic, volume, node) -> None:
    import slicer

    again = logic.segment(volume, "Herz CT")
    draw_on(again, volume, "spleen", 2)
    node.GetSegmentation().GetNthSegment(0).SetName("kidney ♥")
    foreign = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "foreign")
    foreign.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    (result,) = results()
    assert result.segmentation is again and result.count == 1


def test_results_without_all_segments_of_the_model_are_left_out(logic, volume, node) -> None:
    more = replace(MODEL, labels=(*LABELS, replace(LABELS[0], value=9, name="bladder")))
    assert results(more) == [] and len(results()) == 1
    content = node.GetSegmentation()
    content.RemoveSegment(content.GetSegmentIdBySegmentName("grey"))
    assert results() == []


def test_transforms_are_part_of_the_place(logic, volume, tmp_path: Path) -> None:
    from LEUDASegmentationLib.scene.geometry import world_affine

    volume.SetAndObserveTransformNodeID(add_linear_transform(MOVED).GetID())
    node = logic.segment(volume, "Herz CT")
    draw_on(node, volume, "grey", 4)
    (case,) = written(tmp_path / "data").target.cases
    np.testing.assert_allclose(read_volume(case.image).affine, world_affine(volume), atol=1e-6)
    assert case.labelled_slices == (4,) and read_case_labels(case, LABELS).data.any()


def test_nothing_corrected_is_refused(logic, volume, node, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no slice of a result of “Herz CT” was corrected"):
        written(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_slices_across_those_of_the_model_are_refused(slicer_app, logic, tmp_path: Path) -> None:
    volume = add_volume()
    draw_on(logic.segment(volume, "Herz CT"), volume, "grey", 4)
    written(tmp_path / "axial", model=replace(MODEL, plane="axial"))
    with pytest.raises(InputError, match="across the slices that were corrected"):
        written(tmp_path / "sagittal", model=replace(MODEL, plane="sagittal"))
    assert not (tmp_path / "sagittal").exists()


def test_a_result_that_cannot_be_used_does_not_end_the_work_on_others(logic, volume, node, tmp_path: Path) -> None:
    draw_on(node, volume, "spleen", 2)
    thick = add_volume("sagittal", affine=np.diag([5.0, 0.7, 0.9, 1.0]))
    draw_on(logic.segment(thick, "Herz CT"), thick, "spleen", 2)
    bent = add_volume("bent")
    logic.segment(bent, "Herz CT")
    bent.SetAndObserveTransformNodeID(add_warp().GetID())  # not corrected, and it cannot be written either
    cases = written(tmp_path / "data").target.cases
    assert [case.labelled_slices for case in cases] == [(2,)]


# the data of the training


def test_source_cases_are_replayed_if_they_are_there(logic, volume, node, tiny_dataset: Path, tmp_path: Path) -> None:
    draw_on(node, volume, "spleen", 2)
    copy = shutil.copytree(tiny_dataset.parent, tmp_path / "training") / "dataset.json"
    dataset = written(tmp_path / "with", copy)
    assert [case.id for case in dataset.source.cases] == ["s0", "s1", "s2"]
    assert all(case.image.exists() for case in dataset.source.cases)
    (copy.parent / "s1.nii.gz").unlink()
    assert written(tmp_path / "gone", copy).source.cases == ()
    copy.write_text("{}")
    assert written(tmp_path / "damaged", copy).source.cases == ()
    assert written(tmp_path / "without", tmp_path / "nowhere.json").source.cases == ()


def add_run(runs: Path, name: str, checksum: str, **config: str) -> None:
    (runs / name / "bundle").mkdir(parents=True)
    (runs / name / "run.json").write_text(json.dumps(config))
    (runs / name / "bundle" / "bundle.json").write_text(json.dumps({"checksum": checksum}))


def test_the_training_of_a_model_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slicer_app) -> None:
    from LEUDASegmentationLib.run import trainings

    runs = tmp_path / "runs"
    add_run(runs, "a/run", "1" * 64, dataset="/first.json")
    add_run(runs, "b", "2" * 64, dataset="/adaptation.json", start="1" * 64)
    add_run(runs, "c", "3" * 64)
    (runs / "no run").mkdir()
    first, second, third = (replace(MODEL, name=n, checksum=n * 64) for n in "123")
    second, fourth = replace(second, adapted_from="1" * 64), replace(first, checksum="4" * 64, adapted_from="2" * 64)
    listed = [first, second, third]
    monkeypatch.setattr(trainings, "list_models", lambda folder: listed)

    def found(model) -> Path | None:
        return trainings.training_dataset(model, runs, tmp_path)

    assert found(first) == found(second) == found(fourth) == Path("/first.json")
    assert found(third) is None and found(replace(first, checksum="")) is None
    assert found(replace(first, checksum="5" * 64, adapted_from="5" * 64)) is None  # no endless search
    listed.remove(second)
    assert found(fourth) is None


def test_the_last_picture_of_a_training_is_found(tmp_path: Path, slicer_app) -> None:
    from LEUDASegmentationLib.run.trainings import last_preview

    runs = tmp_path / "runs"
    add_run(runs, "a/run", "1" * 64, dataset="/first.json")
    model = replace(MODEL, checksum="1" * 64)
    assert last_preview(model, runs) is None
    (runs / "a" / "run" / "previews").mkdir()
    for step in (500, 1000):
        (runs / "a" / "run" / "previews" / f"step-{step:06}.png").touch()
    assert last_preview(model, runs) == runs / "a" / "run" / "previews" / "step-001000.png"
    assert last_preview(replace(model, checksum=""), runs) is None

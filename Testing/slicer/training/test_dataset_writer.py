"""The dataset that is written from the scene: voxels, geometry and labels as the core reads them again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from leuda_core.data.check import check_dataset
from leuda_core.data.dataset import load_dataset, read_case_labels
from leuda_core.errors import InputError, LeudaError
from leuda_core.io.volumes import read_volume
from room import KINDS, make_room
from training_scene import (
    OBLIQUE,
    SHAPE,
    add_labels,
    add_transform,
    add_volume,
    add_warp,
    fill,
    labels_of,
    source_store,
    structures,
    written_dataset,
)

TURNED = np.array([[0, -1, 0, 5.0], [1, 0, 0, -3.0], [0, 0, 2, 11.0], [0, 0, 0, 1.0]])
SHEARED = np.array([[1.0, 0.25, 0.1, 3.0], [0, 1.5, 0.3, -2.0], [0, 0, 4.0, 1.0], [0, 0, 0, 1.0]])
LEFT_HANDED = np.diag([1.0, 1.0, -5.0, 1.0])


@pytest.mark.slow
def test_written_dataset_is_one_without_problems(node, tmp_path: Path) -> None:
    fill(node)
    path = written_dataset(node, tmp_path / "Ünïcode folder")
    report = check_dataset(path)
    assert report.problems == ()
    assert report.summary["labelled_source_slices"] == 2
    assert report.summary["labels"] == {1: "Herz ♥", 3: "liver"}
    document = json.loads(path.read_text(encoding="utf-8"))
    assert (document["source"]["modality"], document["target"]["modality"]) == ("MR", "CT")
    assert document["source"]["cases"][0]["image"] == "volumes/source_001.nrrd"  # relative: the folder can be moved
    labels = load_dataset(path).labels
    assert labels[0].terminology == structures()[0].terminology
    assert labels[1].color == pytest.approx(structures()[1].color, abs=1 / 255)


@pytest.mark.slow
@pytest.mark.parametrize("affine", [OBLIQUE, SHEARED, LEFT_HANDED], ids=["oblique", "sheared", "left-handed"])
def test_volume_comes_back_exactly(node, tmp_path: Path, affine: np.ndarray) -> None:
    import slicer

    fill(node)
    volume = add_volume("odd", affine, seed=5)
    source_store(node).add_node(volume)
    dataset = load_dataset(written_dataset(node, tmp_path / "d"))
    read = read_volume(dataset.source.cases[1].image)
    assert np.array_equal(read.data, slicer.util.arrayFromVolume(volume).T)
    assert np.allclose(read.affine, affine, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_linear_parent_transform_is_in_the_affine_and_the_node_stays(node, tmp_path: Path) -> None:
    source, segmentation, _target = fill(node)
    transform = add_transform(TURNED)
    source.SetAndObserveTransformNodeID(transform.GetID())
    segmentation.SetAndObserveTransformNodeID(transform.GetID())
    case = load_dataset(written_dataset(node, tmp_path / "d")).source.cases[0]
    assert np.allclose(read_volume(case.image).affine, TURNED @ OBLIQUE, rtol=0, atol=1e-9)
    assert np.array_equal(read_case_labels(case, load_dataset(tmp_path / "d/dataset.json").labels).data, labels_of().T)
    assert source.GetTransformNodeID() == transform.GetID()


@pytest.mark.slow
def test_transform_of_the_segmentation_alone_moves_its_labels(node, tmp_path: Path) -> None:
    _source, segmentation, _target = fill(node)
    shift = np.eye(4)
    shift[:3, 3] = 2 * OBLIQUE[:3, 0]  # two voxels along i
    segmentation.SetAndObserveTransformNodeID(add_transform(shift).GetID())
    dataset = load_dataset(written_dataset(node, tmp_path / "d"))
    found = read_case_labels(dataset.source.cases[0], dataset.labels).data
    assert np.array_equal(found[2:], labels_of().T[:-2])


@pytest.mark.slow
def test_labels_lie_on_the_grid_of_the_image(node, tmp_path: Path) -> None:
    fill(node)
    dataset = load_dataset(written_dataset(node, tmp_path / "d"))
    case = dataset.source.cases[0]
    assert np.array_equal(read_case_labels(case, dataset.labels).data, labels_of().T)
    assert case.labelled_slices is None


@pytest.mark.slow
def test_labels_drawn_on_another_grid_are_resampled(node, tmp_path: Path) -> None:
    fill(node)
    fine = OBLIQUE.copy()
    fine[:3, :2] /= 2
    twin = add_volume("twin", fine, shape=(40, 32, 6))
    labels = np.kron(labels_of(), np.ones((1, 2, 2), np.uint8))
    source_store(node).set_segmentation(next(iter(source_store(node))).key, add_labels(twin, labels))
    dataset = load_dataset(written_dataset(node, tmp_path / "d"))
    found = read_case_labels(dataset.source.cases[0], dataset.labels).data
    assert found.shape == SHAPE
    wrong = (found != labels_of().T).mean()
    assert wrong < 0.05  # half a voxel at the rims
    assert set(np.unique(found)) == {0, 1, 3}


def test_marked_slices_are_written_the_empty_one_too(node, tmp_path: Path) -> None:
    fill(node)
    store = source_store(node)
    store.set_labelled(next(iter(store)).key, [5, 1])
    dataset = load_dataset(written_dataset(node, tmp_path / "d"))
    assert dataset.source.cases[0].labelled_slices == (1, 5)


def test_files_that_were_never_loaded_stay_where_they_are(node, tmp_path: Path) -> None:
    fill(node)
    first = load_dataset(written_dataset(node, tmp_path / "first"))
    image, label = first.source.cases[0].image, first.source.cases[0].label
    source_store(node).add_file(image, label, [2])
    dataset = load_dataset(written_dataset(node, tmp_path / "second"))
    assert dataset.source.cases[1].image == image
    assert dataset.source.cases[1].label == label
    assert dataset.source.cases[1].labelled_slices == (2,)
    assert sorted(path.name for path in (tmp_path / "second/volumes").iterdir()) == [
        "source_001.nrrd",
        "source_001_label.nrrd",
        "target_001.nrrd",
    ]


def test_nonlinear_transform_is_refused_with_a_remedy_and_nothing_is_left(node, tmp_path: Path) -> None:
    _source, _segmentation, target = fill(node)
    target.SetAndObserveTransformNodeID(add_warp().GetID())
    with pytest.raises(InputError, match="“Zoë CT” is under the non-linear transform “warp”; harden"):
        written_dataset(node, tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_deleted_volume_is_refused_by_name(node, tmp_path: Path) -> None:
    import slicer

    _source, _segmentation, target = fill(node)
    slicer.mrmlScene.RemoveNode(target)
    with pytest.raises(InputError, match="the volume of case Zoë CT was deleted"):
        written_dataset(node, tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_a_dataset_that_is_there_is_not_touched(node, tmp_path: Path) -> None:
    fill(node)
    path = written_dataset(node, tmp_path / "d")
    before = path.read_bytes()
    with pytest.raises(InputError, match="already contains a dataset"):
        written_dataset(node, tmp_path / "d")
    assert path.read_bytes() == before


def test_large_volumes_are_written_piece_by_piece_and_giving_up_leaves_nothing(node, tmp_path: Path) -> None:
    from LEUDASegmentationLib.scene.nrrd import CHUNK_BYTES
    from LEUDATrainingLib.dataset.dataset_writer import write_dataset

    fill(node)
    source_store(node).add_node(add_volume("big", shape=(256, 256, 80)))
    pieces = 256 * 256 * 80 * 2 / CHUNK_BYTES
    progress = list(write_dataset(node, tmp_path / "whole"))
    assert len(progress) > pieces
    fractions = [one.fraction for one in progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    writing = write_dataset(node, tmp_path / "given up")
    for _piece in range(3):
        next(writing)
    assert (tmp_path / "given up/volumes").is_dir()
    writing.close()
    assert not (tmp_path / "given up").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_full_disk_is_told_with_a_remedy(kind: str, node, tmp_path: Path) -> None:
    fill(node)
    with make_room(tmp_path / "disk", kind) as room:
        room.fill()
        with pytest.raises(LeudaError, match="no space left; free disk space") as caught:
            written_dataset(node, room.folder / "d")
        assert caught.value.exit_code == 1
        assert not (room.folder / "d").exists()
        room.free()
        assert written_dataset(node, room.folder / "d").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_a_written_dataset_is_for_its_owner_alone(node, tmp_path: Path) -> None:
    fill(node)
    written_dataset(node, tmp_path / "data" / "d")
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in (tmp_path / "data").rglob("*")}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_overlapping_segments_become_one_label_each_voxel(node, tmp_path: Path) -> None:
    import slicer

    from LEUDATrainingLib.labels.segment_names import segments_of

    source, segmentation, _target = fill(node)
    whole = np.ones(SHAPE[::-1], np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        whole, segmentation, segments_of(segmentation, structures())[0][0], source
    )
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        (labels_of() == 3).astype(np.uint8), segmentation, segments_of(segmentation, structures())[1][0], source
    )
    dataset = load_dataset(written_dataset(node, tmp_path / "d"))
    found = read_case_labels(dataset.source.cases[0], dataset.labels).data
    assert set(np.unique(found)) == {1, 3}
    assert np.array_equal(found == 3, labels_of().T == 3)


def test_test_cases_of_a_dataset_file_are_passed_on(node, tmp_path: Path) -> None:
    from LEUDATrainingLib.dataset.dataset_import import add_dataset

    fill(node)
    first = written_dataset(node, tmp_path / "first")
    document = json.loads(first.read_text(encoding="utf-8"))
    case = {**document["source"]["cases"][0], "id": "kept aside"}
    document["test"] = {"target": [case]}
    document["source"]["cases"] = [{"id": "again", "image": "volumes/target_001.nrrd"}]
    document["target"]["cases"] = []
    first.write_text(json.dumps(document), encoding="utf-8")
    assert add_dataset(node, first) == 1
    dataset = load_dataset(written_dataset(node, tmp_path / "second"))
    assert [case.id for case in dataset.test_target] == ["kept aside"]
    assert dataset.test_target[0].image.exists()

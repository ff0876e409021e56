"""Labels read from the layers of a segmentation: the same voxels as Slicer's own merging finds, on whatever grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from training_scene import OBLIQUE, SHAPE, add_labels, add_transform, add_volume, labels_of, structures

pytestmark = pytest.mark.slow


@pytest.fixture
def small_pieces(slicer_app, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slice or two be a piece."""
    from LEUDASegmentationLib.scene import volume_files

    monkeypatch.setattr(volume_files, "BYTES_AT_ONCE", 2 * 2 * SHAPE[0] * SHAPE[1])


def merged_by_slicer(segmentation: Any, volume: Any) -> np.ndarray:
    """Return the label map (K, J, I) that Slicer makes of the segments on the grid of a volume."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    from LEUDASegmentationLib.scene.geometry import parent_matrix, volume_shape, world_affine
    from LEUDATrainingLib.labels.segment_names import segments_of

    ids, values = vtk.vtkStringArray(), vtk.vtkIntArray()
    for segment_id, structure in segments_of(segmentation, structures()):
        ids.InsertNextValue(segment_id)
        values.InsertNextValue(structure.value)
    grid, merged = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
    grid.SetExtent(*(end for n in volume_shape(volume) for end in (0, n - 1)))
    to_segmentation = np.linalg.solve(parent_matrix(segmentation), world_affine(volume))
    grid.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(to_segmentation))
    whole = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    assert segmentation.GenerateMergedLabelmapForAllSegments(merged, whole, grid, ids, values)
    return vtk_to_numpy(merged.GetPointData().GetScalars()).reshape(merged.GetDimensions()[::-1])


def read(segmentation: Any, volume: Any) -> np.ndarray:
    from LEUDASegmentationLib.scene.steps import finish
    from LEUDATrainingLib.labels.label_layers import LabelReader

    return finish(LabelReader(segmentation, volume, structures()).read())


def counted(segmentation: Any, volume: Any, axis: int) -> dict[int, tuple[int, ...]]:
    from LEUDASegmentationLib.scene.steps import finish
    from LEUDATrainingLib.labels.label_layers import LabelReader

    return finish(LabelReader(segmentation, volume, structures()).count_slices(axis))


def slices_with(labels: np.ndarray, axis: int) -> dict[int, tuple[int, ...]]:
    """Return the slices along an axis (0 = i) that hold each value of a label map (K, J, I)."""
    others = tuple(one for one in range(3) if one != 2 - axis)
    values = sorted(set(np.unique(labels).tolist()) - {0})
    return {value: tuple(np.flatnonzero((labels == value).any(axis=others)).tolist()) for value in values}


def move(node: Any, matrix: np.ndarray) -> None:
    node.SetAndObserveTransformNodeID(add_transform(matrix).GetID())


def put(segmentation: Any, volume: Any, number: int, mask: np.ndarray) -> None:
    """Draw a structure, erasing nothing of the others: what overlaps goes into a layer of its own."""
    import slicer

    from LEUDATrainingLib.labels.segment_names import segments_of

    segment_id = segments_of(segmentation, structures())[number][0]
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segmentation, segment_id, volume)


def test_labels_on_the_grid_of_the_volume(slicer_app, small_pieces) -> None:
    volume = add_volume("v", OBLIQUE)
    segmentation = add_labels(volume, labels_of())
    found = read(segmentation, volume)
    assert found.dtype == np.uint8
    assert np.array_equal(found, labels_of())
    assert np.array_equal(found, merged_by_slicer(segmentation, volume))


def test_segments_that_share_a_layer_are_told_apart(slicer_app, small_pieces) -> None:
    volume = add_volume()
    segmentation = add_labels(volume, labels_of())
    segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    assert np.array_equal(read(segmentation, volume), labels_of())
    assert counted(segmentation, volume, 1) == slices_with(labels_of(), 1)


def test_the_later_of_overlapping_structures_wins(slicer_app, small_pieces) -> None:
    volume = add_volume()
    segmentation = add_labels(volume, labels_of())
    put(segmentation, volume, 0, np.ones(SHAPE[::-1]))
    put(segmentation, volume, 1, labels_of() == 3)
    found = read(segmentation, volume)
    assert np.array_equal(found, np.where(labels_of() == 3, 3, 1))
    assert np.array_equal(found, merged_by_slicer(segmentation, volume))
    assert counted(segmentation, volume, 2) == {1: tuple(range(SHAPE[2])), 3: (1, 2)}


def test_a_structure_that_is_painted_over_counts_only_where_it_is_seen(slicer_app) -> None:
    volume = add_volume()
    segmentation = add_labels(volume, labels_of())
    over = np.zeros(SHAPE[::-1], bool)
    over[1] = True
    put(segmentation, volume, 0, labels_of() == 1)
    put(segmentation, volume, 1, over)
    assert counted(segmentation, volume, 2) == {1: (2,), 3: (1,)}


@pytest.mark.parametrize("voxels", [(2, 0, 0), (-3, 1, 2), (0, 0, -4), (0, 40, 0)])
def test_labels_shifted_by_whole_voxels_beyond_the_edge_too(slicer_app, small_pieces, voxels) -> None:
    volume = add_volume("v", OBLIQUE)
    segmentation = add_labels(volume, labels_of(slices=(0, 2, 5)))
    shift = np.eye(4)
    shift[:3, 3] = OBLIQUE[:3, :3] @ voxels
    move(segmentation, shift)
    expected = merged_by_slicer(segmentation, volume)
    assert np.array_equal(read(segmentation, volume), expected)
    for axis in range(3):
        assert counted(segmentation, volume, axis) == slices_with(expected, axis)


def turned() -> np.ndarray:
    """Return a turn by 20° about an oblique axis, and a shift."""
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    return np.array([[c, -s, 0, 3.1], [s, c, 0.05, -2.7], [0, 0.02, 1, 4.3], [0, 0, 0, 1]])


def scaled(i: float, j: float, k: float) -> np.ndarray:
    """Return the affine of a grid of these spacings, none of whose voxels is just between two of ``SHAPE``."""
    affine = np.diag([i, j, k, 1.0])
    affine[:3, 3] = 0.07, 0.05, 0.3
    return affine


GRIDS = {
    "finer": (scaled(0.4, 0.4, 2.5), (50, 40, 12)),
    "coarser": (scaled(1.9, 2.3, 5.0), (11, 8, 6)),
    "other axes": (np.array([[0, 0, 1.0, 0.2], [1.0, 0, 0, 0.3], [0, -5.0, 0, 25.1], [0, 0, 0, 1]]), (16, 6, 20)),
    "reversed": (np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, -5.0, 25.0], [0, 0, 0, 1]]), SHAPE),
    "turned": (turned() @ np.diag([1.0, 1.0, 5.0, 1.0]), SHAPE),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_labels_on_another_grid_are_those_of_the_nearest_voxels(slicer_app, small_pieces, grid: str) -> None:
    affine, shape = GRIDS[grid]
    volume, other = add_volume(), add_volume("other", affine, shape=shape)
    labels = np.zeros(shape[::-1], np.uint8)
    k, j, i = (slice(n // 6, -(n // 6)) for n in labels.shape)
    labels[k, j, i] = 1
    labels[k, j.start : shape[1] // 2, i] = 3
    segmentation = add_labels(other, labels)
    expected, found = merged_by_slicer(segmentation, volume), read(segmentation, volume)
    assert set(np.unique(found)) == {0, 1, 3}
    assert (found != expected).mean() < 0.001
    for axis in range(3):
        assert counted(segmentation, volume, axis) == slices_with(found, axis)


def test_the_transform_of_the_volume_counts_too(slicer_app) -> None:
    volume = add_volume("v", OBLIQUE)
    segmentation = add_labels(volume, labels_of())
    move(volume, turned())
    assert (read(segmentation, volume) != merged_by_slicer(segmentation, volume)).mean() < 0.001
    move(segmentation, turned())
    assert np.array_equal(read(segmentation, volume), labels_of())


def test_nothing_drawn_and_nothing_named_are_empty_label_maps(slicer_app) -> None:
    from LEUDASegmentationLib.scene.steps import finish
    from LEUDATrainingLib.labels.label_layers import LabelReader

    volume = add_volume()
    segmentation = add_labels(volume, np.zeros(SHAPE[::-1], np.uint8))
    assert not read(segmentation, volume).any()
    assert counted(segmentation, volume, 2) == {}
    assert finish(LabelReader(segmentation, volume, []).read()).shape == SHAPE[::-1]


def test_values_beyond_a_byte_are_kept(slicer_app) -> None:
    from dataclasses import replace

    from LEUDASegmentationLib.scene.steps import finish
    from LEUDATrainingLib.labels.label_layers import LabelReader

    volume = add_volume()
    segmentation = add_labels(volume, labels_of())
    many = [structures()[0], replace(structures()[1], value=1000)]
    found = finish(LabelReader(segmentation, volume, many).read())
    assert found.dtype == np.uint16
    assert np.array_equal(found == 1000, labels_of() == 3)

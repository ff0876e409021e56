"""Affines, transforms and ROIs: voxels are where Slicer itself says they are."""

from __future__ import annotations

import numpy as np
import pytest

from leuda_core.errors import InputError
from segmentation_scene import AFFINES, OBLIQUE, PLAIN, SHAPE, add_linear_transform, add_volume, add_warp

TURNED = np.array([[0.6, -0.8, 0, 4.0], [0.8, 0.6, 0, 3.0], [0, 0, 1, 5.0], [0, 0, 0, 1]])
MOVED = np.array([[0.0, -1.1, 0, 6.0], [0.9, 0, 0, -2.0], [0, 0, 1, 1.5], [0, 0, 0, 1]])


@pytest.fixture(autouse=True)
def scene(slicer_app):
    return slicer_app.scene


def add_roi(center=(3.1, 3.3, 6.2), size=(3.71, 4.93, 9.37), matrix=None):
    """Add a ROI whose faces pass between voxels; a matrix gives its centre and axes instead."""
    import slicer

    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "ROI")
    roi.SetCenter(*center)
    roi.SetSize(*size)
    if matrix is not None:
        roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return roi


def world_points(volume) -> np.ndarray:
    """Return the world position of every voxel centre (K, J, I, 3), from Slicer's transforms one point at a time."""
    import slicer
    import vtk

    matrix, to_world = vtk.vtkMatrix4x4(), vtk.vtkGeneralTransform()
    volume.GetIJKToRASMatrix(matrix)
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(volume.GetParentTransformNode(), None, to_world)
    points = np.empty((*SHAPE, 3))
    for k, j, i in np.ndindex(SHAPE):
        points[k, j, i] = to_world.TransformPoint(matrix.MultiplyPoint((i, j, k, 1))[:3])
    return points


def expected_mask(volume, roi) -> np.ndarray:
    """Return which voxel centres lie in the ROI, (K, J, I) bool, as the ROI node itself says."""
    inside = [roi.IsPointInROIWorld(point) for point in world_points(volume).reshape(-1, 3)]
    return np.reshape(inside, SHAPE)


def mask_by_slabs(volume, roi, step: int = 2) -> np.ndarray:
    """Return the same from RoiMask, a few slices at a time."""
    from LEUDASegmentationLib.scene.geometry import RoiMask

    mask, voxels = RoiMask(volume, roi), np.ones(SHAPE, np.uint8)
    for first in range(0, SHAPE[0], step):
        mask.apply(voxels[first : first + step], first)
    return voxels.astype(bool)


@pytest.mark.slow
@pytest.mark.parametrize("name", AFFINES)
def test_affine_is_the_volumes_own_whatever_it_is_under(name):
    from LEUDASegmentationLib.scene.geometry import ijk_to_ras

    volume = add_volume(affine=AFFINES[name])
    volume.SetAndObserveTransformNodeID(add_linear_transform(MOVED).GetID())
    np.testing.assert_allclose(ijk_to_ras(volume), AFFINES[name], atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("matrix", [None, TURNED], ids=["upright", "turned"])
def test_mask_is_what_the_roi_says(affine, matrix):
    volume = add_volume(affine=affine)
    middle = (affine @ [4.5, 3.5, 2.5, 1])[:3]
    turned = None
    if matrix is not None:
        turned = matrix.copy()
        turned[:3, 3] = middle
    roi = add_roi(middle, matrix=turned)
    expected = expected_mask(volume, roi)
    assert 5 < expected.sum() < expected.size / 2
    np.testing.assert_array_equal(mask_by_slabs(volume, roi), expected)


def test_mask_with_both_nodes_under_transforms():
    volume, roi = add_volume(), add_roi()
    volume.SetAndObserveTransformNodeID(add_linear_transform(MOVED).GetID())
    roi.SetAndObserveTransformNodeID(add_linear_transform(TURNED).GetID())
    roi.SetSize(9, 9, 9)
    expected = expected_mask(volume, roi)
    assert 5 < expected.sum() < expected.size / 2
    np.testing.assert_array_equal(mask_by_slabs(volume, roi), expected)


def test_mask_on_a_warped_volume():
    volume, roi = add_volume(), add_roi()
    straight = expected_mask(volume, roi)
    volume.SetAndObserveTransformNodeID(add_warp().GetID())
    expected = expected_mask(volume, roi)
    assert expected.any() and (expected != straight).any()
    np.testing.assert_array_equal(mask_by_slabs(volume, roi), expected)


def test_roi_turned_inside_out():
    volume, roi = add_volume(), add_roi()
    inside = expected_mask(volume, roi)
    roi.SetInsideOut(True)
    np.testing.assert_array_equal(mask_by_slabs(volume, roi), ~inside)


@pytest.mark.parametrize("step", [1, 2, 6])
def test_box_holds_the_mask_tightly_however_it_is_cut(step):
    from LEUDASegmentationLib.scene.geometry import RoiMask

    volume, roi = add_volume(affine=PLAIN), add_roi()
    np.testing.assert_array_equal(mask_by_slabs(volume, roi, step), expected_mask(volume, roi))
    k, j, i = (np.unique(found) for found in np.nonzero(expected_mask(volume, roi)))
    assert RoiMask(volume, roi).box == tuple((found[0], found[-1] + 1) for found in (i, j, k))


def test_roi_beside_the_volume_is_refused_with_both_names():
    from LEUDASegmentationLib.scene.geometry import RoiMask

    with pytest.raises(InputError, match=r"ROI.*is outside.*Zoë CT 1") as caught:
        RoiMask(add_volume(), add_roi(center=(500, 0, 0)))
    assert "move it" in caught.value.remedy


def test_world_points_come_back_into_node_coordinates():
    from LEUDASegmentationLib.scene.geometry import world_to_node

    volume = add_volume(affine=OBLIQUE)
    for transform in (add_linear_transform(MOVED), add_warp()):
        volume.SetAndObserveTransformNodeID(transform.GetID())
        world = world_points(volume)[2, 3, 4]
        np.testing.assert_allclose(world_to_node(volume, world), (OBLIQUE @ [4, 3, 2, 1])[:3], atol=1e-3)


def test_linear_part_of_a_transform():
    from LEUDASegmentationLib.scene.geometry import linear_part, transform_between

    volume = add_volume()
    volume.SetAndObserveTransformNodeID(add_linear_transform(MOVED).GetID())
    np.testing.assert_allclose(linear_part(transform_between(volume, None)), MOVED, atol=1e-12)
    volume.SetAndObserveTransformNodeID(add_warp().GetID())
    np.testing.assert_array_equal(linear_part(transform_between(volume, None)), np.eye(4))

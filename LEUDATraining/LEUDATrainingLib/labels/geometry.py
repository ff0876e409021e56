"""Where a volume's slices lie: the slicing axis of training, and the way between slice views and slice indices.

Arrays of Slicer are indexed (k, j, i); affines take (i, j, k) to RAS mm in the world, parent transforms included.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from leuda_core.data.geometry import slicing_axis
from leuda_core.errors import InputError

ALIGNED = 0.99
"""Cosine between a view's normal and the slicing direction above which the view shows the slices as they are learnt."""


def world_affine(node: Any) -> np.ndarray:
    """Return the ``(4, 4)`` affine from voxel index (i, j, k) to world RAS mm of a volume node.

    Raises:
        InputError: the volume is under a non-linear transform, which no affine can express.
    """
    to_parent = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(to_parent)
    return parent_matrix(node) @ slicer.util.arrayFromVTKMatrix(to_parent)


def parent_matrix(node: Any) -> np.ndarray:
    """Return the ``(4, 4)`` matrix from a node's own coordinates to the world.

    Raises:
        InputError: the node is under a non-linear transform.
    """
    transform = node.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    if not transform.IsTransformToWorldLinear():
        raise InputError(
            _("{name} is under the non-linear transform {transform}").format(
                name=node.GetName(), transform=transform.GetName()
            ),
            _("harden the transform on it in the Data module, or take it out of the transform"),
        )
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def volume_shape(node: Any) -> tuple[int, int, int]:
    """Return the voxels along i, j and k; ``(0, 0, 0)`` for a volume without image."""
    image = node.GetImageData()
    return tuple(image.GetDimensions()) if image else (0, 0, 0)


def spacing_mm(affine: np.ndarray) -> np.ndarray:
    """Return the ``(3,)`` distances between voxels along i, j and k of an affine."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def slice_axis_of(node: Any) -> int:
    """Return the slicing axis of a volume node."""
    return slicing_axis(volume_shape(node), world_affine(node))


def shown_slice(slice_node: Any, volume: Any) -> int:
    """Return the index of the slice nearest to the centre of a slice view, within the volume."""
    to_world = slicer.util.arrayFromVTKMatrix(slice_node.GetSliceToRAS())
    index = np.linalg.solve(world_affine(volume), to_world[:, 3])
    axis = slice_axis_of(volume)
    return int(np.clip(round(float(index[axis])), 0, volume_shape(volume)[axis] - 1))


def alignment(slice_node: Any, volume: Any) -> float:
    """Return the cosine, 0 to 1, between a view's normal and the normal of the volume's slices."""
    normal = slicer.util.arrayFromVTKMatrix(slice_node.GetSliceToRAS())[:3, 2]
    axes = world_affine(volume)[:3, :3]
    row, column = (axes[:, axis] for axis in range(3) if axis != slice_axis_of(volume))
    across = np.cross(row, column)
    return float(abs(normal @ across) / (np.linalg.norm(normal) * np.linalg.norm(across)))


def jump_to_slice(slice_node: Any, volume: Any, index: int) -> None:
    """Move a slice view to a slice, keeping its zoom and pan."""
    position = np.append((np.array(volume_shape(volume)) - 1) / 2, 1.0)
    position[slice_axis_of(volume)] = index
    slice_node.JumpSliceByOffsetting(*(world_affine(volume) @ position)[:3])

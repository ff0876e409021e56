"""The slices of a volume: the slicing axis of training, and slice views and slice indices.

Arrays of Slicer are indexed (k, j, i); affines map (i, j, k) to RAS mm in the world, including parent transforms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from leuda_core.data.geometry import slicing_axis
from LEUDASegmentationLib.scene.geometry import volume_shape, world_affine

ALIGNED = 0.99
"""Cosine between the normals of view and slices above which the view shows the slices as training uses them."""


def spacing_mm(affine: np.ndarray) -> np.ndarray:
    """Return the ``(3,)`` distances between voxels along i, j and k of an affine."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def slice_axis_of(node: Any) -> int:
    """Return the slicing axis of a volume node."""
    return slicing_axis(volume_shape(node), world_affine(node))


def shown_slice(slice_node: Any, volume: Any) -> int:
    """Return the index of the slice of a volume that is nearest to the centre of a slice view."""
    to_world = slicer.util.arrayFromVTKMatrix(slice_node.GetSliceToRAS())
    index = np.linalg.solve(world_affine(volume), to_world[:, 3])
    axis = slice_axis_of(volume)
    return int(np.clip(round(float(index[axis])), 0, volume_shape(volume)[axis] - 1))


def alignment(slice_node: Any, volume: Any) -> float:
    """Return the cosine, 0 to 1, between the normal of a view and that of the slices of a volume."""
    normal = slicer.util.arrayFromVTKMatrix(slice_node.GetSliceToRAS())[:3, 2]
    axes = world_affine(volume)[:3, :3]
    row, column = (axes[:, axis] for axis in range(3) if axis != slice_axis_of(volume))
    across = np.cross(row, column)
    return float(abs(normal @ across) / (np.linalg.norm(normal) * np.linalg.norm(across)))


def jump_to_slice(slice_node: Any, volume: Any, index: int) -> None:
    """Move a slice view to a slice of a volume without changing zoom and pan."""
    position = np.append((np.array(volume_shape(volume)) - 1) / 2, 1.0)
    position[slice_axis_of(volume)] = index
    slice_node.JumpSliceByOffsetting(*(world_affine(volume) @ position)[:3])

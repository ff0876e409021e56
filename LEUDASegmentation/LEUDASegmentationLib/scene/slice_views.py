"""Slice views: the one under the mouse pointer, and those that are parallel to the slices of a volume."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from LEUDASegmentationLib.scene.geometry import apply_affine, ijk_to_ras, volume_shape, world_affine, world_to_node

_RED_VIEW = "vtkMRMLSliceNodeRed"
_ALIGNED = 0.7  # cosine between the normal of a view and that of the slices


def crosshair() -> Any | None:
    """Return the node that knows the position of the mouse pointer."""
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")


def view_under_mouse() -> Any | None:
    """Return the slice node under the mouse pointer, or ``None``."""
    node = crosshair()
    return node.GetCursorPositionXYZ([0.0, 0.0, 0.0]) if node else None


def first_view() -> Any | None:
    """Return the red slice node, or another one if the layout has no red view; ``None`` without any."""
    scene = slicer.mrmlScene
    return scene.GetNodeByID(_RED_VIEW) or scene.GetFirstNodeByClass("vtkMRMLSliceNode")


def views_parallel_to(volume_node: Any, axis: int) -> list[Any]:
    """Return the slice nodes that are parallel to the slices of a volume across an axis (0 is i)."""
    affine = world_affine(volume_node)
    row, column = (affine[:3, other] for other in range(3) if other != axis)
    across = np.cross(row, column) / np.linalg.norm(np.cross(row, column))
    views = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    normals = {view: slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())[:3, 2] for view in views}
    return [view for view in views if abs(normals[view] @ across) > _ALIGNED * np.linalg.norm(normals[view])]


def centre_of(view: Any, volume_node: Any) -> np.ndarray:
    """Return the middle of a slice view in the volume's node coordinates, RAS mm (3,)."""
    return world_to_node(volume_node, slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())[:3, 3])


def index_of_slice(volume_node: Any, axis: int, point: np.ndarray) -> int:
    """Return the index along an axis of the slice that is nearest to a point (3,) in node coordinates."""
    index = apply_affine(np.linalg.inv(ijk_to_ras(volume_node)), point[None])[0, axis]
    return int(np.clip(np.round(index), 0, volume_shape(volume_node)[axis] - 1))


def show_slice(volume_node: Any, axis: int, index: int) -> None:
    """Move the slice views that are parallel to a slice of a volume to it; all views if none is."""
    position = np.append((np.array(volume_shape(volume_node)) - 1) / 2, 1.0)
    position[axis] = index
    point = (world_affine(volume_node) @ position)[:3]
    for view in views_parallel_to(volume_node, axis) or slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        view.JumpSliceByOffsetting(*point)

"""Voxel grids in Slicer's coordinates: affines, points under parent transforms, and the voxels inside a ROI.

"Node coordinates" are those that a node stores, before its parent transform; "world" is what the views show. Arrays of
voxels are (K, J, I), as ``slicer.util.arrayFromVolume`` returns them; affines map (i, j, k) to RAS mm.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from leuda_core.errors import InputError

TOLERANCE = 1e-6
_SIDE_SAMPLES = 17  # points along each side of a ROI that a non-linear transform bends


def ijk_to_ras(volume_node: Any) -> np.ndarray:
    """Return the volume's own affine (4, 4), without its parent transform."""
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def world_affine(volume_node: Any) -> np.ndarray:
    """Return the affine (4, 4) of a volume node in the world, its parent transform included.

    Raises:
        InputError: the volume is under a non-linear transform, which no affine can express.
    """
    return parent_matrix(volume_node) @ ijk_to_ras(volume_node)


def parent_matrix(node: Any) -> np.ndarray:
    """Return the matrix (4, 4) from node coordinates to the world.

    Raises:
        InputError: the node is under a non-linear transform.
    """
    transform = node.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    if not transform.IsTransformToWorldLinear():
        raise InputError(
            _("“{name}” is under the non-linear transform “{transform}”").format(
                name=node.GetName(), transform=transform.GetName()
            ),
            _("harden the transform in the Transforms module, or remove the node from the transform"),
        )
    return slicer.util.arrayFromTransformMatrix(transform, toWorld=True)


def image_to_world(image: Any) -> np.ndarray:
    """Return the affine (4, 4) of a vtkOrientedImageData; its extent need not contain index (0, 0, 0)."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def volume_shape(volume_node: Any) -> tuple[int, int, int]:
    """Return the number of voxels along i, j and k; (0, 0, 0) for a volume without an image."""
    image = volume_node.GetImageData()
    return image.GetDimensions() if image else (0, 0, 0)


def same_affine(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two affines put every voxel in the same place, within ``TOLERANCE`` mm per voxel step."""
    return bool(np.allclose(a, b, rtol=0, atol=TOLERANCE))


def is_linear(transform: Any) -> bool:
    """Return whether a vtkGeneralTransform is a matrix."""
    return slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(transform)


def linear_part(transform: Any) -> np.ndarray:
    """Return a vtkGeneralTransform as an affine (4, 4) if it is linear, else the identity."""
    affine = np.eye(4)
    if is_linear(transform):
        origin, *ends = transform_points(transform, np.vstack([np.zeros(3), np.eye(3)]))
        affine[:3, :3], affine[:3, 3] = np.subtract(ends, origin).T, origin
    return affine


def transform_between(source: Any | None, target: Any | None) -> Any:
    """Return the vtkGeneralTransform from the node coordinates of ``source`` to those of ``target``; None is world."""
    transform = vtk.vtkGeneralTransform()
    parents = [node.GetParentTransformNode() if node else None for node in (source, target)]
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(*parents, transform)
    return transform


def transform_points(transform: Any, points: np.ndarray) -> np.ndarray:
    """Map points (N, 3) through a vtkAbstractTransform."""
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    before, after = vtk.vtkPoints(), vtk.vtkPoints()
    before.SetData(numpy_to_vtk(np.ascontiguousarray(points, float), deep=True))
    after.SetDataTypeToDouble()
    transform.TransformPoints(before, after)
    return vtk_to_numpy(after.GetData()).copy()


def world_to_node(node: Any, point: np.ndarray) -> np.ndarray:
    """Map one world point (3,) to the node coordinates of ``node``."""
    return transform_points(transform_between(None, node), np.reshape(point, (1, 3)))[0]


def apply_affine(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points (N, 3) through an affine (4, 4)."""
    return points @ affine[:3, :3].T + affine[:3, 3]


def enclose(roi_node: Any, volume_node: Any) -> None:
    """Place a ROI around a volume."""
    bounds = [0.0] * 6
    volume_node.GetRASBounds(bounds)
    lows, highs = np.array(bounds[::2]), np.array(bounds[1::2])
    roi_node.SetCenter(((lows + highs) / 2).tolist())
    roi_node.SetSize((highs - lows).tolist())


class RoiMask:
    """The voxels of a volume whose centres are in a ROI; later changes of both nodes have no effect.

    The ROI may be rotated or inside out, and both nodes may be under any transform.

    Attributes:
        box: half-open ranges ``((i0, i1), (j0, j1), (k0, k1))`` that contain all of these voxels.

    Raises:
        InputError: the ROI and the volume do not overlap.
    """

    def __init__(self, volume_node: Any, roi_node: Any) -> None:
        self._shape = volume_shape(volume_node)
        self._affine = ijk_to_ras(volume_node)
        self._to_world = transform_between(volume_node, None)
        self._object_from_world = np.linalg.inv(slicer.util.arrayFromVTKMatrix(roi_node.GetObjectToWorldMatrix()))
        self._half = np.array(roi_node.GetSize()) / 2 + TOLERANCE
        self._inside_out = bool(roi_node.GetInsideOut())
        self._object_from_index = (
            self._object_from_world @ linear_part(self._to_world) @ self._affine if is_linear(self._to_world) else None
        )
        self.box = self._whole() if self._inside_out else self._bounding_box(volume_node)
        if any(start >= stop for start, stop in self.box):
            raise InputError(
                _("the ROI “{roi}” is outside the volume “{volume}”").format(
                    roi=roi_node.GetName(), volume=volume_node.GetName()
                ),
                _("move it over the part to segment, or choose no ROI"),
            )

    def apply(self, slab: np.ndarray, first: int) -> None:
        """Set voxels outside the ROI to 0 in ``slab`` (n, J, I), slices ``first`` to ``first + n`` of the volume."""
        (i0, i1), (j0, j1), (k0, k1) = self.box
        start, stop = max(first, k0), min(first + len(slab), k1)
        if start >= stop:
            slab[:] = 0
            return
        slab[: start - first], slab[stop - first :] = 0, 0
        slab[:, :j0], slab[:, j1:], slab[:, :, :i0], slab[:, :, i1:] = 0, 0, 0, 0
        for k in range(start, stop):
            slab[k - first, j0:j1, i0:i1] *= self._inside(k) != self._inside_out

    def _inside(self, k: int) -> np.ndarray:
        """Return which voxels of slice ``k`` of the box have their centres in the ROI, (j1 - j0, i1 - i0) bool."""
        (i0, i1), (j0, j1), _ks = self.box
        j, i = np.ogrid[j0:j1, i0:i1]
        if self._object_from_index is None:
            return self._inside_warped(i, j, k)
        inside = np.ones((j1 - j0, i1 - i0), bool)
        for (a, b, c, d), half in zip(self._object_from_index[:3], self._half, strict=True):
            inside &= np.abs(a * i + (b * j + (c * k + d))) <= half
        return inside

    def _inside_warped(self, i: np.ndarray, j: np.ndarray, k: int) -> np.ndarray:
        i, j = np.broadcast_arrays(i, j)
        indices = np.stack([i.ravel(), j.ravel(), np.full(i.size, k)], axis=1)
        points = transform_points(self._to_world, apply_affine(self._affine, indices))
        inside = np.abs(apply_affine(self._object_from_world, points)) <= self._half
        return inside.all(axis=1).reshape(i.shape)

    def _bounding_box(self, volume_node: Any) -> tuple[tuple[int, int], ...]:
        linear = self._object_from_index is not None
        side = np.linspace(-1, 1, 2 if linear else _SIDE_SAMPLES)
        lattice = np.array(list(itertools.product(side, repeat=3))) * self._half
        world = apply_affine(np.linalg.inv(self._object_from_world), lattice)
        points = transform_points(transform_between(None, volume_node), world)
        indices = apply_affine(np.linalg.inv(self._affine), points)
        margin = TOLERANCE if linear else 2  # voxels by which a warp may exceed the box between the samples
        starts = np.ceil(indices.min(axis=0) - margin).astype(int)
        stops = np.floor(indices.max(axis=0) + margin).astype(int) + 1
        return tuple((max(0, int(a)), min(int(b), n)) for a, b, n in zip(starts, stops, self._shape, strict=True))

    def _whole(self) -> tuple[tuple[int, int], ...]:
        return tuple((0, n) for n in self._shape)

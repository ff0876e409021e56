"""The 3-D picture of the demo: label maps as shaded surfaces, drawn by matplotlib without a screen or a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leuda_core.report.pictures import INK, add_legend, add_title, new_figure
from leuda_core.types import LabelMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LIGHT = np.array([-0.35, 0.55, 0.75]) / np.linalg.norm([-0.35, 0.55, 0.75])  # from the upper left, towards the viewer
_SHAPE_SIGMA, _SHADING_SIGMA = 1.0, 1.5  # in pixels of a slice; steps show more in the shading than in the shape
_MARGIN = 2  # voxels around a label, so that its surface is closed
_PANEL_IN = 3.4


@dataclass(frozen=True, eq=False)
class View:
    """A parallel projection that shows everything within ``half_mm`` of ``centre_mm`` (RAS) along each axis.

    The rows of ``axes`` are unit vectors in RAS: to the right of the picture, up, and towards the viewer.
    """

    axes: np.ndarray
    centre_mm: np.ndarray
    half_mm: float


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles of a closed surface.

    Shape:
        vertices: ``(N, 3)``, RAS mm. normals: ``(N, 3)``, unit vectors in RAS that point outwards.
        faces: ``(M, 3)``, indices of vertices.
    """

    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray


def surface_figure(label_maps: Sequence[LabelMap], titles: Sequence[str], *, title: str = "") -> Figure:
    """Draw label maps as shaded surfaces side by side, all in the same view, with a legend."""
    head, foot = 0.35 + (0.36 if title else 0), 0.45
    width, height = _PANEL_IN * len(label_maps) + 0.2, _PANEL_IN + head + foot
    figure = new_figure(width, height)
    view = view_of(label_maps)
    for column, (label_map, name) in enumerate(zip(label_maps, titles, strict=True)):
        left = 0.1 + column * _PANEL_IN
        axes = figure.add_axes((left / width, foot / height, _PANEL_IN / width, _PANEL_IN / height))
        draw_surfaces(axes, label_map, view)
        axes.set_title(name, fontsize=10.5, color=INK, pad=4)
    add_title(figure, title)
    add_legend(figure, label_maps[0].labels)
    return figure


def view_of(
    maps: Sequence[LabelMap], *, azimuth_deg: float = 35.0, elevation_deg: float = 25.0, margin: float = 1.06
) -> View:
    """Return the smallest view that shows every label of every map.

    At azimuth 0 the viewer is in front of the patient; a positive azimuth moves the viewer to the patient's left.
    """
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    flat = np.cos(elevation)
    towards = np.array([-np.sin(azimuth) * flat, np.cos(azimuth) * flat, np.sin(elevation)])
    right = np.cross([0.0, 0.0, 1.0], towards) / flat
    axes = np.stack([right, np.cross(towards, right), towards])
    points = np.concatenate([_labelled_points(label_map) for label_map in maps]) @ axes.T
    low, high = points.min(0), points.max(0)
    return View(axes, (low + high) / 2 @ axes, float(margin * (high - low).max() / 2))


def draw_surfaces(axes: Axes, label_map: LabelMap, view: View) -> None:
    """Draw the surface of each label in its colour; the axes show mm to the right and up.

    Triangles are drawn from the farthest to the nearest one, so that nearer surfaces hide those behind them.
    """
    from matplotlib.collections import TriMesh
    from matplotlib.tri import Triangulation

    points, colors, faces, n_vertices = [], [], [], 0
    for label in label_map.labels:
        mesh = surface_mesh(label_map, label.value)
        points.append((mesh.vertices - view.centre_mm) @ view.axes.T)
        colors.append(_shade(np.array(label.color), mesh.normals @ view.axes.T))
        faces.append(mesh.faces + n_vertices)
        n_vertices += len(mesh.vertices)
    if n_vertices:
        right, up, depth = np.concatenate(points).T
        triangles = np.concatenate(faces)
        triangles = triangles[np.argsort(depth[triangles].mean(axis=1))]
        axes.add_collection(TriMesh(Triangulation(right, up, triangles), facecolors=np.concatenate(colors)))
    axes.set(xlim=(-view.half_mm, view.half_mm), ylim=(-view.half_mm, view.half_mm), aspect="equal")
    axes.set_axis_off()


def surface_mesh(label_map: LabelMap, value: int) -> Mesh:
    """Return the surface of one label; a mesh without triangles where the label is absent.

    The normals, which decide the shading, are those of a smoother surface.
    """
    from scipy.ndimage import find_objects, gaussian_filter, map_coordinates
    from skimage.measure import marching_cubes

    mask = label_map.data == value
    if not mask.any():
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3), int))
    box = find_objects(mask.astype(np.uint8))[0]
    inside = np.pad(mask[box], _MARGIN)
    steps = np.round(np.divide(label_map.spacing_mm, min(label_map.spacing_mm))).astype(int)
    depth = _depth_mm(inside, label_map.spacing_mm, steps)
    vertices, faces, _, _ = marching_cubes(depth, 0)
    slopes = (gaussian_filter(depth, _SHADING_SIGMA, order=axis) for axis in np.eye(3, dtype=int))
    inwards = np.stack([map_coordinates(slope, vertices.T, order=1) for slope in slopes], axis=-1)
    voxels = vertices / steps + [part.start - _MARGIN for part in box]
    to_ras = label_map.affine[:3, :3]
    normals = -inwards @ np.linalg.inv(to_ras / steps)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    return Mesh(voxels @ to_ras.T + label_map.affine[:3, 3], normals, faces)


def _depth_mm(inside: np.ndarray, spacing_mm: Sequence[float], steps: np.ndarray) -> np.ndarray:
    """Return how deep each point of a finer grid lies in a mask, in mm; negative outside.

    Depths are interpolated, by ``steps`` from a voxel to the next one along each axis, so that thick slices do not show
    as steps, and smoothed. Smoothing moves a surface by at most half a pixel: it removes no voxel and no thin wall.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter, zoom

    depth = distance_transform_edt(inside, spacing_mm) - distance_transform_edt(~inside, spacing_mm)
    finer = ((np.array(inside.shape) - 1) * steps + 1) / inside.shape  # the centres of all voxels are among its points
    depth, most = zoom(depth.astype(np.float32), finer, order=3), min(spacing_mm) / 2
    return np.clip(gaussian_filter(depth, _SHAPE_SIGMA), depth - most, depth + most)


def _labelled_points(label_map: LabelMap) -> np.ndarray:
    """Return the RAS mm positions of all labelled voxels, or of the grid's corners where nothing is labelled."""
    index = np.argwhere(label_map.data > 0)
    if not len(index):
        index = np.argwhere(np.ones((2, 2, 2))) * np.subtract(label_map.shape, 1)
    return index @ label_map.affine[:3, :3].T + label_map.affine[:3, 3]


def _shade(color: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return the RGB of a surface with these normals (right, up, towards the viewer): ambient and diffuse light, darker
    edges and a small highlight."""
    diffuse = np.clip(normals @ _LIGHT, 0, 1)[:, None]
    halfway = _LIGHT + np.array([0.0, 0.0, 1.0])
    highlight = np.clip(normals @ (halfway / np.linalg.norm(halfway)), 0, 1)[:, None] ** 40
    facing = np.clip(normals[:, 2:], 0, 1)
    return np.clip(color * (0.4 + 0.65 * diffuse) * (0.65 + 0.35 * facing) + 0.2 * highlight, 0, 1)

"""Label maps as shaded bodies, by casting rays in NumPy and SciPy.

A picture needs no graphics library, no screen and no GPU, and comes out the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leuda_core.types import LabelMap

STRIDE = 5  # pixels between two samples of a ray; the surface between them is found by bisection
_LIGHT = np.array([-0.35, 0.55, 0.75]) / np.linalg.norm([-0.35, 0.55, 0.75])  # from the upper left, towards the viewer


@dataclass(frozen=True, eq=False)
class View:
    """A parallel projection: rows of ``axes`` are unit vectors in RAS (the picture's right and up, and towards the
    viewer); what lies within ``half_mm`` of ``centre_mm`` (RAS) along each of them is shown."""

    axes: np.ndarray
    centre_mm: np.ndarray
    half_mm: float


def surface_image(label_map: LabelMap, *, view: View | None = None, pixels: int = 420) -> np.ndarray:
    """Render the surfaces of a label map by casting parallel rays through its smoothed labels.

    ``view`` is by default one that shows all that is labelled.

    Shape:
        output: ``(pixels, pixels, 4)`` float RGBA in [0, 1], transparent where there is nothing.
    """
    rays = _rays(view or view_of([label_map]), pixels)
    to_voxel = np.linalg.inv(label_map.affine) @ rays
    depth = np.full((pixels, pixels), np.inf)
    picture = np.zeros((pixels, pixels, 4))
    for label in label_map.labels:
        mask = label_map.data == label.value
        if not mask.any():
            continue
        rows, columns, distance, normal = _first_surface(mask, label_map.spacing_mm, to_voxel, pixels)
        nearer = distance < depth[rows, columns]
        rows, columns = rows[nearer], columns[nearer]
        depth[rows, columns] = distance[nearer]
        picture[rows, columns, :3] = _shade(np.array(label.color), normal[nearer])
        picture[rows, columns, 3] = 1
    return _soften(picture)


def view_of(
    maps: Sequence[LabelMap], *, azimuth_deg: float = 35.0, elevation_deg: float = 25.0, margin: float = 1.06
) -> View:
    """Return the view that just holds every label of every map.

    At azimuth 0 the viewer stands in front of the patient; positive goes round to the patient's left.
    """
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    flat = np.cos(elevation)
    towards = np.array([-np.sin(azimuth) * flat, np.cos(azimuth) * flat, np.sin(elevation)])
    right = np.cross([0.0, 0.0, 1.0], towards) / flat
    axes = np.stack([right, np.cross(towards, right), towards])
    points = np.concatenate([_labelled_points(label_map) for label_map in maps]) @ axes.T
    low, high = points.min(0), points.max(0)
    return View(axes, (low + high) / 2 @ axes, float(margin * (high - low).max() / 2))


def _labelled_points(label_map: LabelMap) -> np.ndarray:
    """Return the RAS mm positions of all labelled voxels, or of the grid's corners where nothing is labelled."""
    index = np.argwhere(label_map.data > 0)
    if not len(index):
        index = np.argwhere(np.ones((2, 2, 2))) * np.subtract(label_map.shape, 1)
    return index @ label_map.affine[:3, :3].T + label_map.affine[:3, 3]


def _rays(view: View, pixels: int) -> np.ndarray:
    """Return the affine from (picture row, picture column, depth step) to RAS mm; a depth step is ``STRIDE`` pixels."""
    right, up, towards = view.axes
    step = 2 * view.half_mm / pixels
    rays = np.eye(4)
    rays[:3, :3] = np.stack([-step * up, step * right, -STRIDE * step * towards], axis=1)
    rays[:3, 3] = view.centre_mm + view.half_mm * (up - right + towards)
    return rays


def _first_surface(
    mask: np.ndarray, spacing_mm: Sequence[float], to_voxel: np.ndarray, pixels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column, depth and outward normal (right, up, towards the viewer) of every pixel that sees the mask.

    The mask is smoothed by about the distance of its slices, so that thick slices show no steps.
    """
    from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates

    spacing = np.array(spacing_mm)
    sigma = 0.5 * np.sqrt(spacing.max() * spacing) / spacing
    field = gaussian_filter(np.pad(mask, 3).astype(np.float32), sigma)
    to_field = to_voxel.copy()
    to_field[:3, 3] += 3
    low, high = _block(mask, to_voxel, pixels)
    offset = to_field[:3, :3] @ low + to_field[:3, 3]
    cast = affine_transform(field, to_field[:3, :3], offset, tuple(high - low), order=1, output=np.float32)
    rows, columns, depth = _crossings(cast)
    at = np.stack([rows, columns, depth]) + low[:, None]
    voxel = _refine(field, to_field, at)
    soft = gaussian_filter(field, sigma)  # smoother than the surface itself: slope shows ripples long before position
    slope = np.stack([map_coordinates(part, voxel, order=1) for part in np.gradient(soft)], axis=-1)
    normal = slope @ to_field[:3, :3] @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, -1 / STRIDE]]).T * -1
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    return rows + low[0], columns + low[1], at[2], normal


def _block(mask: np.ndarray, to_voxel: np.ndarray, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the end indices of the part of the ray grid that can meet the mask."""
    index = np.argwhere(mask)
    corners = np.argwhere(np.ones((2, 2, 2))) * (np.ptp(index, axis=0) + 4) + index.min(0) - 2
    inverse = np.linalg.inv(to_voxel)
    met = corners @ inverse[:3, :3].T + inverse[:3, 3]
    limits = (pixels, pixels, pixels // STRIDE)
    low = np.clip(np.floor(met.min(0)).astype(int), 0, np.subtract(limits, 1))
    return low, np.clip(np.ceil(met.max(0)).astype(int) + 1, low + 1, limits)


def _crossings(field: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column and the first depth at which ``field`` exceeds a half along its last axis."""
    inside = field > 0.5
    rows, columns = np.nonzero(inside.any(axis=2))
    return rows, columns, inside[rows, columns].argmax(axis=1).astype(float)


def _refine(field: np.ndarray, to_field: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Bisect the step before ``at`` ``(3, N)`` for the surface; moves ``at``, returns the positions in ``field``."""
    from scipy.ndimage import map_coordinates

    for step in (0.5, 0.25, 0.125, 0.0625, 0.03125):
        outside = map_coordinates(field, to_field[:3, :3] @ at + to_field[:3, 3:], order=1) < 0.5
        at[2] += np.where(outside, step, -step)
    return to_field[:3, :3] @ at + to_field[:3, 3:]


def _shade(color: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Light one colour: some from everywhere, most from the lamp, a small highlight."""
    diffuse = np.clip(normal @ _LIGHT, 0, 1)[:, None]
    halfway = _LIGHT + np.array([0.0, 0.0, 1.0])
    shine = np.clip(normal @ (halfway / np.linalg.norm(halfway)), 0, 1)[:, None] ** 40
    facing = np.clip(normal[:, 2:], 0, 1)
    return np.clip(color * (0.4 + 0.65 * diffuse) * (0.65 + 0.35 * facing) + 0.2 * shine, 0, 1)


def _soften(picture: np.ndarray) -> np.ndarray:
    """Blur edges by a fraction of a pixel; colours are weighted by opacity, or the background would bleed in."""
    from scipy.ndimage import gaussian_filter

    weighted = np.concatenate([picture[..., :3] * picture[..., 3:], picture[..., 3:]], axis=-1)
    weighted = gaussian_filter(weighted, (0.6, 0.6, 0))
    weighted[..., :3] /= np.maximum(weighted[..., 3:], 1e-6)
    return weighted.clip(0, 1)

"""Pictures of slices with contours, and of label maps as shaded bodies. Needs matplotlib (extra ``report``).

The shaded bodies are rendered here in NumPy: a picture needs no graphics library, no screen and no GPU, and comes out
the same everywhere.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from leuda_core.errors import InputError
from leuda_core.types import Label, LabelMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PAPER = "#1d2430", "#ffffff"
_LIGHT = np.array([-0.35, -0.6, 0.75]) / np.linalg.norm([-0.35, -0.6, 0.75])  # from the upper left, towards the viewer


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure that belongs to no window and no global state.

    Raises:
        InputError: matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("pictures need matplotlib, which is not installed", "run: pip install matplotlib") from error
    figure = Figure(figsize=(width_in, height_in), facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure, *, dpi: int = 144) -> bytes:
    """Render a figure."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, facecolor=figure.get_facecolor())
    return stream.getvalue()


def data_uri(png: bytes) -> str:
    """Return a PNG as text that an HTML page can hold."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def overlay_figure(
    slices: Sequence[np.ndarray],
    label_maps: Sequence[Sequence[np.ndarray]],
    labels: Sequence[Label],
    titles: Sequence[str],
    *,
    row_names: Sequence[str] = (),
    title: str = "",
    aspect: float = 1.0,
) -> Figure:
    """Draw a grid: a row for each slice, a column for each set of label maps, contours in the labels' colours.

    Shape:
        slices: R arrays ``(H, W)``, drawn with axis 0 to the right and axis 1 upwards, as a voxel grid is counted.
        label_maps: C sequences of R arrays ``(H, W)`` of label values; an empty sequence leaves the bare image.
        titles: C; ``row_names``: R or none. ``aspect`` is the pixel's height over its width.
    """
    n_rows, n_columns = len(slices), len(label_maps)
    height, width = slices[0].shape[1] * aspect, slices[0].shape[0]
    cell = 2.3
    margin, head, foot = 0.12, 0.42 + (0.42 if title else 0), 0.5
    size = (n_columns * cell + 2 * margin, n_rows * cell * height / width + head + foot)
    figure = new_figure(*size)
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    figure.subplots_adjust(
        left=margin / size[0],
        right=1 - margin / size[0],
        top=1 - head / size[1],
        bottom=foot / size[1],
        wspace=0.03,
        hspace=0.03,
    )
    for row, image in enumerate(slices):
        for column, maps in enumerate(label_maps):
            axes = grid[row, column]
            draw_slice(axes, image, maps[row] if len(maps) else None, labels, aspect=aspect)
            if row == 0:
                axes.set_title(titles[column], fontsize=10.5, color=INK, pad=6)
            if row_names and column == 0:
                axes.text(0.03, 0.95, row_names[row], transform=axes.transAxes, color="white", fontsize=8, va="top")
    if title:
        figure.suptitle(title, fontsize=13, fontweight="bold", color=INK, y=1 - 0.14 / size[1], va="top")
    _legend(figure, labels)
    return figure


def draw_slice(
    axes: Axes, image: np.ndarray, label_map: np.ndarray | None, labels: Sequence[Label], *, aspect: float = 1.0
) -> None:
    """Draw one grey slice ``(H, W)`` and the contours of its label map, if any."""
    from skimage.measure import find_contours

    low, high = np.percentile(image, (0.5, 99.5))
    axes.imshow(image.T, cmap="gray", origin="lower", vmin=low, vmax=max(high, low + 1e-6), aspect=aspect)
    axes.set_axis_off()
    for label in labels if label_map is not None else ():
        mask = np.pad((label_map == label.value).astype(float), 1)  # closes contours at the edge of the slice
        for contour in find_contours(mask, 0.5):
            x, y = contour.T - 1
            axes.plot(x, y, color="black", linewidth=2.4, alpha=0.45, solid_joinstyle="round")
            axes.plot(x, y, color=label.color, linewidth=1.4, solid_joinstyle="round")
    axes.set_xlim(-0.5, image.shape[0] - 0.5)
    axes.set_ylim(-0.5, image.shape[1] - 0.5)


def surface_figure(
    label_maps: LabelMap | Sequence[LabelMap], titles: Sequence[str] = (), *, title: str = "", pixels: int = 420
) -> Figure:
    """Draw one or several label maps as shaded bodies side by side, seen alike, with a legend."""
    maps = [label_maps] if isinstance(label_maps, LabelMap) else list(label_maps)
    cell, head, foot = 3.4, (0.45 if any(titles) else 0.1) + (0.42 if title else 0), 0.5
    size = (cell * len(maps) + 0.2, cell + head + foot)
    figure = new_figure(*size)
    box = _common_box(maps)
    for column, label_map in enumerate(maps):
        axes = figure.add_axes(
            ((0.1 + column * cell) / size[0], foot / size[1], cell / size[0], cell / size[1]), frameon=False
        )
        axes.imshow(surface_image(label_map, box_mm=box, pixels=pixels), interpolation="lanczos")
        axes.set_axis_off()
        if column < len(titles):
            axes.set_title(titles[column], fontsize=10.5, color=INK, pad=4)
    if title:
        figure.suptitle(title, fontsize=13, fontweight="bold", color=INK, y=1 - 0.14 / size[1], va="top")
    _legend(figure, maps[0].labels)
    return figure


def surface_image(
    label_map: LabelMap,
    *,
    box_mm: tuple[np.ndarray, float] | None = None,
    azimuth_deg: float = 35.0,
    elevation_deg: float = 25.0,
    pixels: int = 420,
) -> np.ndarray:
    """Render the surfaces of a label map by casting parallel rays through its smoothed labels.

    ``box_mm`` is the centre (RAS mm) and the half width of what is shown; by default all that is labelled. At azimuth 0
    the viewer stands in front of the patient (looks along +A to P); positive goes to the patient's left.

    Shape:
        output: ``(pixels, pixels, 4)`` float RGBA in [0, 1], transparent where there is nothing.
    """
    centre, half = box_mm or _common_box([label_map])
    step = 2 * half / pixels
    right, up, towards = _view_axes(azimuth_deg, elevation_deg)
    to_voxel = np.linalg.inv(label_map.affine)
    corner = centre - half * (right - up) + half * towards
    rays = np.stack([-step * up, step * right, -2 * step * towards], axis=1)  # picture row, column, depth: steps in mm
    matrix, offset = to_voxel[:3, :3] @ rays, to_voxel[:3, :3] @ corner + to_voxel[:3, 3]
    depth = np.full((pixels, pixels), np.inf)
    picture = np.zeros((pixels, pixels, 4))
    for label in label_map.labels:
        field = _cast(label_map, label.value, matrix, offset, (pixels, pixels, pixels // 2))
        if field is None:
            continue
        hit, hit_depth, normal = _first_surface(field)
        seen = hit & (hit_depth < depth)
        depth[seen] = hit_depth[seen]
        picture[seen, :3] = _shade(np.array(label.color), normal[seen])
        picture[seen, 3] = 1
    return picture


def _view_axes(azimuth_deg: float, elevation_deg: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return unit vectors in RAS: the picture's right and up, and from the body towards the viewer."""
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    towards = np.array(
        [-np.sin(azimuth) * np.cos(elevation), np.cos(azimuth) * np.cos(elevation), np.sin(elevation)]
    )
    right = np.cross([0.0, 0.0, 1.0], towards)
    right /= np.linalg.norm(right)
    return right, np.cross(towards, right), towards


def _common_box(maps: Sequence[LabelMap]) -> tuple[np.ndarray, float]:
    """Return the centre in RAS mm and the half width of a cube that holds every label of every map."""
    corners = []
    for label_map in maps:
        found = np.argwhere(label_map.data > 0)
        if len(found):
            corners.append(_voxel_corners(label_map.affine, found.min(0) - 0.5, found.max(0) + 0.5))
    if not corners:  # nothing labelled anywhere: the empty picture of the whole grid
        top = np.subtract(maps[0].shape, 0.5)
        corners = [_voxel_corners(maps[0].affine, np.full(3, -0.5), top)]
    points = np.concatenate(corners)
    centre = (points.min(0) + points.max(0)) / 2
    return centre, float(1.04 * np.linalg.norm(points - centre, axis=1).max())


def _voxel_corners(affine: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    index = np.array([[(low, high)[(corner >> axis) & 1][axis] for axis in range(3)] for corner in range(8)])
    return index @ affine[:3, :3].T + affine[:3, 3]


def _cast(
    label_map: LabelMap, value: int, matrix: np.ndarray, offset: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray | None:
    """Sample one label, smoothed by about the coarsest spacing so that thick slices show no steps, along the rays."""
    from scipy.ndimage import affine_transform, gaussian_filter

    mask = label_map.data == value
    if not mask.any():
        return None
    spacing = np.array(label_map.spacing_mm)
    sigma_voxels = 0.45 * np.sqrt(spacing.max() * spacing) / spacing
    field = gaussian_filter(np.pad(mask, 2).astype(np.float32), sigma_voxels)
    return affine_transform(field, matrix, offset + 2, output_shape=shape, order=1, output=np.float32)


def _first_surface(field: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find along axis 2 where ``field`` first exceeds a half.

    Shape:
        field: ``(H, W, D)``. Returns hit ``(H, W)`` bool, depth ``(H, W)`` in steps, normal ``(H, W, 3)`` as (right,
        up, towards the viewer).
    """
    from scipy.ndimage import gaussian_filter

    inside = field > 0.5
    hit = inside.any(axis=2)
    index = inside.argmax(axis=2)
    before = np.maximum(index - 1, 0)
    rows, columns = np.indices(hit.shape)
    low, high = field[rows, columns, before], field[rows, columns, index]
    depth = index - np.where(index > 0, (high - 0.5) / np.maximum(high - low, 1e-6), 0)
    smooth = gaussian_filter(field, (1.5, 1.5, 0.75))
    gradient = [_slope(smooth, rows, columns, index, axis) for axis in range(3)]
    normal = np.stack([-gradient[1], gradient[0], gradient[2] / 2], axis=-1)  # depth steps are twice as long
    return hit, depth, normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)


def _slope(field: np.ndarray, rows: np.ndarray, columns: np.ndarray, depth: np.ndarray, axis: int) -> np.ndarray:
    at = [rows, columns, depth]
    ahead, behind = list(at), list(at)
    ahead[axis] = np.minimum(at[axis] + 1, field.shape[axis] - 1)
    behind[axis] = np.maximum(at[axis] - 1, 0)
    return field[tuple(ahead)] - field[tuple(behind)]


def _shade(color: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Light one colour: some from everywhere, most from the lamp, a small highlight."""
    diffuse = np.clip(normal @ _LIGHT, 0, 1)[:, None]
    half = (_LIGHT + [0, 0, 1]) / np.linalg.norm(_LIGHT + [0, 0, 1])
    shine = np.clip(normal @ half, 0, 1)[:, None] ** 40
    facing = np.clip(normal[:, 2:], 0, 1)
    return np.clip(color * (0.28 + 0.72 * diffuse) * (0.6 + 0.4 * facing) + 0.22 * shine, 0, 1)


def _legend(figure: Figure, labels: Sequence[Label]) -> None:
    from matplotlib.patches import Patch

    if labels:
        handles = [Patch(color=label.color, label=label.name) for label in labels]
        figure.legend(
            handles=handles, loc="lower center", ncols=min(len(labels), 6), frameon=False, fontsize=9, labelcolor=INK
        )

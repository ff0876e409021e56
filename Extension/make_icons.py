"""Draws the icons of the extension and its modules, and the thumbnails of the sample data, which show the phantom.

Run it from any folder: ``.venv/bin/python Extension/make_icons.py``. The result is always the same.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from leuda_core.data.phantom.cohort import Appearance, make_case
from leuda_core.report.pictures import draw_slice, new_figure, png_bytes

ROOT = Path(__file__).resolve().parents[1]
SIZE = 128
"""Pixels along each side of an icon: as required by the Extensions Manager."""

THUMBNAIL = 192
"""Side length of a thumbnail of sample data in pixels."""

_PHANTOM_SEED = 3
_OVERSAMPLING = 8
_ORGAN, _SECOND, _THIRD, _ARROW, _RIM = "#f26b5b", "#f4c542", "#3fb8af", "#2fbf9b", "#26324a"

Point = tuple[float, float]


class Canvas:
    """A transparent square with coordinates in icon pixels, smoothed by oversampling."""

    def __init__(self) -> None:
        side = SIZE * _OVERSAMPLING
        self.image = Image.new("RGBA", (side, side), (0, 0, 0, 0))

    def polygon(self, points: np.ndarray, fill: str) -> None:
        """Fill a polygon; ``points`` has shape ``(N, 2)``, x to the right and y downwards."""
        ImageDraw.Draw(self.image).polygon([tuple(point) for point in points * _OVERSAMPLING], fill=fill)

    def line(self, points: np.ndarray, colour: str, width: float) -> None:
        """Draw a line with round joints and ends."""
        draw = ImageDraw.Draw(self.image)
        path = [tuple(point) for point in points * _OVERSAMPLING]
        draw.line(path, fill=colour, width=round(width * _OVERSAMPLING), joint="curve")
        for x, y in (path[0], path[-1]):
            radius = width * _OVERSAMPLING / 2
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def right_half_of(self, other: Canvas) -> None:
        """Copy the right half of another canvas."""
        half = self.image.width // 2
        self.image.paste(other.image.crop((half, 0, 2 * half, 2 * half)), (half, 0))

    def pixels(self) -> Image.Image:
        return self.image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def closed_curve(centre: Point, radii: Point, waves: dict[int, Point], samples: int = 240) -> np.ndarray:
    """Return an ellipse whose radius is modulated by angular frequencies: ``{frequency: (cosine, sine)}``.

    The points have shape ``(samples, 2)``.
    """
    angle = np.linspace(0, 2 * np.pi, samples, endpoint=False)
    swell = 1 + sum(c * np.cos(k * angle) + s * np.sin(k * angle) for k, (c, s) in waves.items())
    return np.stack([centre[0] + radii[0] * swell * np.cos(angle), centre[1] + radii[1] * swell * np.sin(angle)], 1)


_BODY = closed_curve((64, 64), (60, 52), {4: (-0.03, 0.0)})
_ORGAN_SHAPE = closed_curve((63, 57), (29, 25), {2: (0.06, 0.1), 3: (-0.05, 0.06)})


def slice_through_body(edge: str, tissue: str, organ: str, bone: str) -> Canvas:
    """Draw an axial slice with the grey values of one modality."""
    canvas = Canvas()
    canvas.polygon(_BODY, _RIM)  # makes the bright edge visible on a bright background
    canvas.polygon(64 + (_BODY - 64) * 0.96, edge)
    canvas.polygon(64 + (_BODY - 64) * 0.85, tissue)
    canvas.polygon(closed_curve((64, 99), (11, 9), {3: (0.0, 0.14)}), bone)
    for x in (23, 105):
        canvas.polygon(closed_curve((x, 72), (5, 11), {}), bone)
    canvas.polygon(_ORGAN_SHAPE, organ)
    return canvas


def mr_slice() -> Canvas:
    return slice_through_body(edge="#dfe7f2", tissue="#33415c", organ="#5c6b8a", bone="#222c42")


def ct_slice() -> Canvas:
    return slice_through_body(edge="#5a6579", tissue="#97a2b4", organ="#b6bfcd", bone="#ffffff")


def split_slice() -> Canvas:
    """Draw MR with the labelled organ on the left, and CT with the outline of the organ on the right."""
    left, right = mr_slice(), ct_slice()
    left.polygon(_ORGAN_SHAPE, _ORGAN)
    outline = np.concatenate([_ORGAN_SHAPE, _ORGAN_SHAPE[:2]])
    right.line(outline, "#ffffff", 8.5)
    right.line(outline, _ORGAN, 5.5)
    left.right_half_of(right)
    left.line(np.array([(64.0, 9.0), (64.0, 119.0)]), "#ffffff", 3.5)
    return left


def segmentation_icon() -> Canvas:
    """Draw a CT slice with filled structures."""
    canvas = ct_slice()
    for shape, colour in (
        (_ORGAN_SHAPE, _ORGAN),
        (closed_curve((41, 84), (11, 9), {2: (0.0, 0.08)}), _SECOND),
        (closed_curve((87, 84), (11, 9), {2: (0.0, -0.08)}), _THIRD),
    ):
        canvas.polygon(shape, colour)
        canvas.line(np.concatenate([shape, shape[:2]]), "#ffffff", 3)
    return canvas


def training_icon() -> Canvas:
    """Draw the two modalities and an arrow from the labelled to the unlabelled one."""
    canvas = split_slice()
    y, head = 97.0, 17.0
    arrow = np.array(
        [(20, y - 7), (84, y - 7), (84, y - head), (113, y), (84, y + head), (84, y + 7), (20, y + 7), (20, y - 7)]
    )
    canvas.line(np.concatenate([arrow, arrow[:2]]), "#ffffff", 6)
    canvas.polygon(arrow, _ARROW)
    return canvas


def phantom_thumbnail(appearance: Appearance, *, labelled: bool) -> Image.Image:
    """Return the middle slice of a phantom case in radiological view, with or without the outlines of its labels."""
    volume, label_map = make_case(_PHANTOM_SEED, appearance)
    middle = volume.shape[2] // 2
    spacing = volume.spacing_mm
    figure = new_figure(THUMBNAIL / 96, THUMBNAIL / 96)
    axes = figure.add_axes((0, 0, 1, 1))
    labels = label_map.data[:, :, middle].T if labelled else None
    draw_slice(axes, volume.data[:, :, middle].T, labels, label_map.labels, aspect=spacing[1] / spacing[0])
    axes.set_aspect("equal", adjustable="datalim")
    with io.BytesIO(png_bytes(figure, dpi=96)) as stream:
        return Image.open(stream).convert("RGB").quantize(64)


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)
    logging.info("%s: %d bytes", path.relative_to(ROOT), path.stat().st_size)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    save(split_slice().pixels(), ROOT / "Extension" / "CrossModalitySegmentation.png")
    for module, icon in (("LEUDASegmentation", segmentation_icon()), ("LEUDATraining", training_icon())):
        save(icon.pixels(), _icons(module) / f"{module}.png")
    save(phantom_thumbnail("mr", labelled=False), _icons("LEUDASegmentation") / "LEUDAPhantomMR.png")
    save(phantom_thumbnail("ct", labelled=False), _icons("LEUDASegmentation") / "LEUDAPhantomCT.png")
    save(phantom_thumbnail("mr", labelled=True), _icons("LEUDASegmentation") / "LEUDAPhantomDataset.png")


def _icons(module: str) -> Path:
    return ROOT / module / "Resources" / "Icons"


if __name__ == "__main__":
    main()

"""Shapes of the phantom: a chest with a heart, made of implicit solids in millimetres.

Positions are in mm from about the centre of the heart: x to the right, y to the front, z to the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.random import Generator


class Tissue(IntEnum):
    """The tissue of a voxel; finer than the labels, so that unlabelled neighbours can look similar."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    BONE = 3
    MARROW = 4
    LUNG = 5
    LIVER = 6
    OESOPHAGUS = 7
    MYOCARDIUM = 8
    LEFT_VENTRICLE = 9
    LEFT_ATRIUM = 10
    ASCENDING_AORTA = 11
    RIGHT_HEART = 12
    RIGHT_WALL = 13
    DESCENDING_AORTA = 14
    PULMONARY_ARTERY = 15
    PULMONARY_VEIN = 16
    VENA_CAVA = 17
    STOMACH = 18


@dataclass(frozen=True)
class Waves:
    """A smooth random field: a sum of a few plane waves. It is analytic and thus the same on every grid.

    Shape:
        amplitude: ``(n, fields)``; frequency: ``(n, 3)`` in radians per mm; phase: ``(n, fields)``.
    """

    amplitude: np.ndarray
    frequency: np.ndarray
    phase: np.ndarray

    @classmethod
    def draw(cls, rng: Generator, *, fields: int, size: float, shortest_mm: float, longest_mm: float) -> Waves:
        """Draw six waves; a field's standard deviation is ``size``."""
        count = 6
        direction = rng.standard_normal((count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        frequency = 2 * np.pi * direction / rng.uniform(shortest_mm, longest_mm, (count, 1))
        amplitude = size * np.sqrt(2 / count) * rng.uniform(0.6, 1.4, (count, fields))
        return cls(amplitude, frequency, rng.uniform(0, 2 * np.pi, (count, fields)))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Evaluate at ``(N, 3)`` points in mm; returns ``(N, fields)``."""
        angles = points @ self.frequency.T
        total = np.zeros((len(points), self.amplitude.shape[1]))
        for wave in range(len(self.frequency)):
            total += self.amplitude[wave] * np.cos(angles[:, wave, None] + self.phase[wave])
        return total


@dataclass(frozen=True)
class Anatomy:
    """One patient: sizes and positions in mm, angles in radians."""

    scale: float
    base: np.ndarray
    long_axis: np.ndarray
    cavity_length: float
    cavity_radius: float
    wall: float
    septum_angle: float
    trabeculae: float
    atrium: np.ndarray
    atrium_axes: np.ndarray
    aorta_path: np.ndarray
    aorta_radius: float
    descending_aorta: np.ndarray
    descending_radius: float
    right_ventricle: np.ndarray
    right_atrium: np.ndarray
    thorax_axes: np.ndarray
    fat_mm: float
    liver_top: float
    rib_phase: float
    deformation: Waves

    @classmethod
    def draw(cls, rng: Generator) -> Anatomy:
        """Draw a patient."""

        def near(*centre: float, spread: float) -> np.ndarray:
            return np.array(centre) + rng.uniform(-spread, spread, len(centre))

        long_axis = near(-0.66, 0.52, -0.54, spread=0.16)
        base = near(0, 0, 8, spread=4)
        return cls(
            scale=rng.uniform(0.88, 1.1),
            base=base,
            long_axis=long_axis / np.linalg.norm(long_axis),
            cavity_length=rng.uniform(52, 66),
            cavity_radius=rng.uniform(19, 26),
            wall=rng.uniform(8, 12),
            septum_angle=rng.uniform(-np.pi, np.pi),
            trabeculae=rng.uniform(0.02, 0.08),
            atrium=base + near(5, -27, 9, spread=4),
            atrium_axes=near(29, 18, 22, spread=4),
            aorta_path=base
            + np.array([[19, 10, -4], [24, 15, 14], [25, 16, 32], [18, 10, 52], [4, -4, 66]])
            + near(0, 0, 0, spread=3),
            aorta_radius=rng.uniform(12.5, 16),
            descending_aorta=near(-22, -51, spread=4),
            descending_radius=rng.uniform(9.5, 13),
            right_ventricle=base + near(12, 30, -20, spread=4),
            right_atrium=base + near(44, 6, -8, spread=4),
            thorax_axes=near(112, 62, spread=5),
            fat_mm=rng.uniform(6, 18),
            liver_top=rng.uniform(-40, -22),
            rib_phase=rng.uniform(0, 2 * np.pi),
            deformation=Waves.draw(rng, fields=3, size=2.6, shortest_mm=70, longest_mm=160),
        )


def paint(points: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Return the ``Tissue`` at ``(N, 3)`` points in mm, as ``(N,)`` uint8; later structures cover earlier ones."""
    warped = points + anatomy.deformation(points)
    tissue = np.zeros(len(points), np.uint8)
    _paint_chest(tissue, warped, anatomy)
    inner = warped / anatomy.scale
    _paint_vessels(tissue, inner, anatomy)
    _paint_right_heart(tissue, inner, anatomy)
    _paint_left_heart(tissue, inner, anatomy)
    return tissue


def _ellipsoid(points: np.ndarray, centre: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Scaled distance from the centre: below 1 inside. Unbounded along axes that are not given (a cylinder)."""
    size = len(centre)
    return np.sqrt((((points[:, :size] - centre) / axes) ** 2).sum(axis=1))


def _tube(points: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Distance in mm from a polyline."""
    best = np.full(len(points), np.inf)
    for start, end in pairwise(path):
        along = end - start
        share = np.clip((points - start) @ along / (along @ along), 0, 1)
        best = np.minimum(best, ((points - start - share[:, None] * along) ** 2).sum(axis=1))
    return np.sqrt(best)


def _paint_chest(tissue: np.ndarray, p: np.ndarray, a: Anatomy) -> None:
    middle = np.array([0.0, -3.0])
    wall_mm = 11.0
    tissue[_ellipsoid(p, middle, a.thorax_axes + wall_mm + a.fat_mm) < 1] = Tissue.FAT
    in_wall = _ellipsoid(p, middle, a.thorax_axes + wall_mm) < 1
    tissue[in_wall] = Tissue.MUSCLE
    rib = np.cos(2 * np.pi * (p[:, 2] + 0.35 * np.abs(p[:, 0]) + 0.25 * p[:, 1]) / 28 + a.rib_phase)
    shell = in_wall & (_ellipsoid(p, middle, a.thorax_axes + 2) > 1) & (_ellipsoid(p, middle, a.thorax_axes + 9) < 1)
    tissue[shell & (rib > 0.1)] = Tissue.BONE
    tissue[_ellipsoid(p, middle, a.thorax_axes) < 1] = Tissue.LUNG

    inside = tissue == Tissue.LUNG
    heart_sac = _ellipsoid(p, np.array([-4.0, 3, 0]), np.array([65.0, 56, 60]) * a.scale) < 1
    upper = (_ellipsoid(p, np.array([8.0, 6]), np.array([42.0, 38])) < 1) & (p[:, 2] > 15)
    tissue[inside & (heart_sac | upper)] = Tissue.FAT
    stomach = _ellipsoid(p, np.array([-66.0, 0, a.liver_top - 54]), np.array([62.0, 58, 52])) < 1
    liver = _ellipsoid(p, np.array([44.0, 8, a.liver_top - 50]), np.array([88.0, 62, 54])) < 1
    tissue[inside & stomach] = Tissue.STOMACH
    tissue[inside & liver] = Tissue.LIVER
    tissue[inside & (_ellipsoid(p, np.array([-2.0, -46]), np.array([27.0, 24])) < 1)] = Tissue.FAT

    for centre, axes, rim in (([2, -73], [21, 17], 0.84), ([4, a.thorax_axes[1] + 4], [17, 7], 0.66)):
        radius = _ellipsoid(p, np.array(centre, float), np.array(axes, float))
        tissue[radius < 1] = Tissue.BONE
        tissue[radius < rim] = Tissue.MARROW


def _paint_vessels(tissue: np.ndarray, p: np.ndarray, a: Anatomy) -> None:
    tissue[_ellipsoid(p, np.array([-1.0, -50]), np.array([8.0, 5])) < 1] = Tissue.OESOPHAGUS
    tissue[_ellipsoid(p, a.descending_aorta, np.full(2, a.descending_radius)) < 1] = Tissue.DESCENDING_AORTA
    cava = a.right_atrium + np.array([[-4.0, -8, 0], [-2, -6, 30], [0, -4, 80]])
    tissue[_tube(p, cava) < 9.5] = Tissue.VENA_CAVA
    trunk = a.base + np.array([[-8.0, 32, 4], [-10, 26, 22], [-12, 10, 34], [-4, -8, 38], [30, -18, 36]])
    tissue[_tube(p, trunk) < 11.5] = Tissue.PULMONARY_ARTERY
    for side in (-1.0, 1.0):
        vein = a.atrium + np.array([[side * 12, -4, 2], [side * 42, -12, 6]])
        tissue[_tube(p, vein) < 6] = Tissue.PULMONARY_VEIN


def _paint_right_heart(tissue: np.ndarray, p: np.ndarray, a: Anatomy) -> None:
    radius = _ellipsoid(p, a.right_ventricle, np.array([42.0, 23, 31]))
    tissue[radius < 1.11] = Tissue.RIGHT_WALL
    tissue[radius < 1] = Tissue.RIGHT_HEART
    tissue[_ellipsoid(p, a.right_atrium, np.array([21.0, 25, 29])) < 1] = Tissue.RIGHT_HEART


def _paint_left_heart(tissue: np.ndarray, p: np.ndarray, a: Anatomy) -> None:
    tissue[_ellipsoid(p, a.atrium, a.atrium_axes) < 1] = Tissue.LEFT_ATRIUM
    share = np.clip((p[:, 2] - a.base[2]) / 60, 0, 1)
    tissue[_tube(p, a.aorta_path) < a.aorta_radius * (1 - 0.18 * share)] = Tissue.ASCENDING_AORTA

    t = (p - a.base) @ a.long_axis
    across = p - a.base - t[:, None] * a.long_axis
    r = np.sqrt((across**2).sum(axis=1))
    up = np.cross(a.long_axis, [0.0, 1.0, 0.0])
    up /= np.linalg.norm(up)
    angle = np.arctan2(across @ np.cross(a.long_axis, up), across @ up)
    cavity = a.cavity_radius * (1 + a.trabeculae * np.cos(3 * angle + a.septum_angle))
    wall = a.wall * (1 + 0.2 * np.cos(angle - a.septum_angle)) * (1 - 0.25 * np.clip(t / a.cavity_length, 0, 1))
    ventricle = t > -7
    outer = (t / (a.cavity_length + 0.8 * a.wall)) ** 2 + (r / (cavity + wall)) ** 2 < 1
    tissue[ventricle & outer] = Tissue.MYOCARDIUM
    tissue[ventricle & ((t / a.cavity_length) ** 2 + (r / cavity) ** 2 < 1)] = Tissue.LEFT_VENTRICLE

"""The appearance of the phantom's tissues in an MR-like and a CT-like scanner.

The two differ by more than a grey-value curve. In the MR all blood is bright, and fat is between blood and muscle. The
CT shows an early contrast phase: the right heart is filled, and contrast has only begun to reach the left. Chambers
that look the same in the MR differ, fat is darker than muscle, and bone is bright. No increasing curve maps one to the
other; in both, organs can be identified by their neighbourhood.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from leuda_core.data.phantom.anatomy import Tissue, Waves

MR_SIGNAL = {
    Tissue.AIR: 0.01,
    Tissue.FAT: 0.66,
    Tissue.MUSCLE: 0.26,
    Tissue.BONE: 0.08,
    Tissue.MARROW: 0.52,
    Tissue.LUNG: 0.06,
    Tissue.LIVER: 0.42,
    Tissue.OESOPHAGUS: 0.33,
    Tissue.MYOCARDIUM: 0.34,
    Tissue.LEFT_VENTRICLE: 0.95,
    Tissue.LEFT_ATRIUM: 0.90,
    Tissue.ASCENDING_AORTA: 0.97,
    Tissue.RIGHT_HEART: 0.90,
    Tissue.RIGHT_WALL: 0.34,
    Tissue.DESCENDING_AORTA: 0.95,
    Tissue.PULMONARY_ARTERY: 0.90,
    Tissue.PULMONARY_VEIN: 0.88,
    Tissue.VENA_CAVA: 0.86,
    Tissue.STOMACH: 0.30,
}
"""Mean signal relative to blood."""

CT_HU = {
    Tissue.AIR: -1000,
    Tissue.FAT: -95,
    Tissue.MUSCLE: 60,
    Tissue.BONE: 560,
    Tissue.MARROW: 260,
    Tissue.LUNG: -820,
    Tissue.LIVER: 75,
    Tissue.OESOPHAGUS: 45,
    Tissue.MYOCARDIUM: 90,
    Tissue.LEFT_VENTRICLE: 260,
    Tissue.LEFT_ATRIUM: 285,
    Tissue.ASCENDING_AORTA: 230,
    Tissue.RIGHT_HEART: 325,
    Tissue.RIGHT_WALL: 90,
    Tissue.DESCENDING_AORTA: 230,
    Tissue.PULMONARY_ARTERY: 330,
    Tissue.PULMONARY_VEIN: 285,
    Tissue.VENA_CAVA: 350,
    Tissue.STOMACH: 30,
}
"""Mean Hounsfield units."""


def _means(table: Mapping[Tissue, float], rng: Generator, spread: float) -> np.ndarray:
    """Convert a table to an array indexed by tissue, with a small random shift of each mean per patient."""
    means = np.array([float(table[tissue]) for tissue in Tissue])
    return means + rng.uniform(-spread, spread, len(means))


def _texture(shape: tuple[int, ...], rng: Generator) -> np.ndarray:
    """Return noise with a grain of about two pixels in the slice and unit standard deviation."""
    from scipy.ndimage import gaussian_filter

    grain = gaussian_filter(rng.standard_normal(shape), (1.0, 1.0, 0.4), mode="wrap")
    return grain / grain.std()


def render_mr(tissue: np.ndarray, points: np.ndarray, rng: Generator) -> np.ndarray:
    """Render an MR-like volume: coil shading, Rician noise, arbitrary scale.

    Shape:
        tissue: ``(I, J, K)``; points: ``(I * J * K, 3)`` mm; returns ``(I, J, K)`` uint16.
    """
    from scipy.ndimage import gaussian_filter

    signal = _means(MR_SIGNAL, rng, 0.03)[tissue] * (1 + 0.06 * _texture(tissue.shape, rng))
    signal = gaussian_filter(signal, (0.65, 0.65, 0.25), mode="nearest")
    shading = Waves.draw(rng, fields=1, size=0.16, shortest_mm=180, longest_mm=400)
    signal *= np.exp(shading(points)).reshape(tissue.shape)
    noise = rng.uniform(0.025, 0.045) * rng.standard_normal((2, *tissue.shape))
    magnitude = np.hypot(signal + noise[0], noise[1])
    return np.clip(np.rint(magnitude * rng.uniform(300, 900)), 0, 65535).astype(np.uint16)


def render_ct(tissue: np.ndarray, points: np.ndarray, rng: Generator) -> np.ndarray:
    """Render a CT-like volume: Hounsfield units, Gaussian noise, a sharpening kernel.

    Shape: as ``render_mr``; returns int16.
    """
    from scipy.ndimage import gaussian_filter

    hu = _means(CT_HU, rng, 8)[tissue]
    bone = (tissue == Tissue.BONE) | (tissue == Tissue.MARROW)
    lung = tissue == Tissue.LUNG
    hu += (8 + 50 * bone + 45 * lung) * _texture(tissue.shape, rng)
    smooth = gaussian_filter(hu, (0.5, 0.5, 0.25), mode="nearest")
    hu = smooth + 0.3 * (smooth - gaussian_filter(smooth, (1.0, 1.0, 0), mode="nearest"))
    noise = gaussian_filter(rng.standard_normal(tissue.shape), (0.5, 0.5, 0), mode="wrap")
    hu += rng.uniform(16, 26) * noise / noise.std()
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)

"""What the tests of volume files share: awkward grids, small arrays, and a NIfTI writer for any header."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from leuda_core.types import Label

TISSUE = "Segmentation category and type~SCT^123037004^Anatomical Structure~~~^^~^^"
LABELS = (
    Label(1, "myocardium", (1.0, 0.0, 0.0)),
    Label(2, "Ventrículo", (0.2, 0.4, 0.6), TISSUE),
)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SHEARED = np.array([[1.0, 0.3, 0.2, -5.0], [0.0, 2.0, 0.1, 7.0], [0.0, 0.0, 3.0, 9.0], [0.0, 0.0, 0.0, 1.0]])


def rotation(a: float, b: float, c: float) -> np.ndarray:
    turns = []
    for angle, (i, j) in zip((a, b, c), ((0, 1), (1, 2), (0, 2)), strict=True):
        turn = np.eye(3)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        turns.append(turn)
    return turns[0] @ turns[1] @ turns[2]


def make_affine(angles=(0.3, -0.4, 0.5), spacing=(0.7, 0.8, 5.0), origin=(-12.5, 30.25, 7.0), flip=False) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotation(*angles) @ np.diag(spacing) @ np.diag([-1 if flip else 1, 1, 1])
    affine[:3, 3] = origin
    return affine


def itk_affine(path: Path) -> np.ndarray:
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return LPS @ affine


def random_data(shape=(5, 6, 4), dtype=np.int16) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 100, shape).astype(dtype)


def random_labels(shape=(5, 6, 4)) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 3, shape).astype(np.uint8)


def save_nifti(path: Path, data: np.ndarray, sform=None, qform=None, sform_code=1, qform_code=1) -> Path:
    image = nib.Nifti1Image(data, None)
    image.set_sform(sform, sform_code if sform is not None else 0)
    image.set_qform(qform, qform_code if qform is not None else 0)
    nib.save(image, path)
    return path


affines = st.builds(
    make_affine,
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    spacing=st.tuples(*[st.floats(0.2, 12.0)] * 3),
    origin=st.tuples(*[st.floats(-300, 300)] * 3),
    flip=st.booleans(),
)
shapes = st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(1, 5))
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

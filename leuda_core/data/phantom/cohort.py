"""A cohort of synthetic hearts with two appearances, as a small dataset without patient data.

The labels are those of a common cardiac benchmark (MM-WHS: myocardium, left atrium, left ventricle, ascending
aorta). Source and target cases are different patients; only the distribution of anatomy is shared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.random import Generator

from leuda_core.data.components import keep_largest_components
from leuda_core.data.phantom.anatomy import Anatomy, Tissue, paint
from leuda_core.data.phantom.appearance import render_ct, render_mr
from leuda_core.errors import InputError
from leuda_core.io.files import check_output_folder, write_json
from leuda_core.io.volumes import write_label_map, write_volume
from leuda_core.types import Label, LabelMap, Volume

Appearance = Literal["mr", "ct"]

_RENDER = {"mr": render_mr, "ct": render_ct}
_TILT_DEGREES = {"mr": 35.0, "ct": 15.0}


def _label(value: int, name: str, rgb: tuple[int, int, int], code: str, meaning: str) -> Label:
    terminology = (
        "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
        f"~SCT^{code}^{meaning}~^^~Anatomic codes - DICOM master list~^^~^^"
    )
    return Label(value, name, (rgb[0] / 255, rgb[1] / 255, rgb[2] / 255), terminology)


LABELS = (
    _label(1, "myocardium", (206, 110, 84), "74281007", "Myocardium"),
    _label(2, "left atrium", (244, 214, 49), "82471001", "Left atrium"),
    _label(3, "left ventricle", (221, 54, 74), "87878005", "Left ventricle of heart"),
    _label(4, "ascending aorta", (0, 151, 206), "54247002", "Ascending aorta"),
)
"""The labelled structures, with SNOMED CT codes in Slicer's notation."""

_TISSUE_OF_LABEL = {
    1: Tissue.MYOCARDIUM,
    2: Tissue.LEFT_ATRIUM,
    3: Tissue.LEFT_VENTRICLE,
    4: Tissue.ASCENDING_AORTA,
}


def make_case(seed: int | tuple[int, ...], appearance: Appearance) -> tuple[Volume, LabelMap]:
    """Create an image of one patient from one type of scanner; the same seed gives the same voxels.

    The anatomy depends only on the seed, so both appearances of one seed show the same patient on the same grid; only
    the position of the grid in space differs.

    Shape:
        ``(64..80, 64..80, 14..20)`` at about 2 x 2 x 5.5 mm, oblique; uint16 for "mr", int16 (HU) for "ct".
    """
    if appearance not in _RENDER:
        raise InputError(f"unknown phantom appearance {appearance!r}", "use 'mr' or 'ct'")
    anatomy_rng, grid_rng, scanner_rng = np.random.default_rng(seed).spawn(3)
    anatomy = Anatomy.draw(anatomy_rng)
    shape, spacing_mm, points = _grid(grid_rng)
    tissue = paint(points, anatomy).reshape(shape)
    affine = _affine(shape, spacing_mm, _TILT_DEGREES[appearance], scanner_rng)
    image = _RENDER[appearance](tissue, points, scanner_rng)
    values = np.zeros(len(Tissue), np.uint8)
    for value, kind in _TISSUE_OF_LABEL.items():
        values[kind] = value
    labels = values[tissue]
    keep_largest_components(labels, list(_TISSUE_OF_LABEL))  # a structure painted later may cut off small pieces
    return Volume(image, affine), LabelMap(labels, affine, LABELS)


def make_phantom(
    folder: Path,
    *,
    source_cases: int = 16,
    labelled: int = 4,
    target_cases: int = 16,
    test_cases: int = 4,
    seed: int = 0,
    source: Appearance = "mr",
    target: Appearance = "ct",
    target_labels: bool = False,
) -> Path:
    """Write a cohort as NIfTI files with a ``dataset.json``, and return the path of the latter.

    The first ``labelled`` source cases and all test cases (of both domains) have labels. With ``target_labels``, the
    target cases have labels too; only for the upper bound (``target_supervised``).

    Raises:
        InputError: the folder cannot be written, an unknown appearance, or more labelled than source cases.
    """
    if not 0 < labelled <= source_cases:
        raise InputError(
            f"phantom: labelled={labelled} of source_cases={source_cases}",
            "label at least 1 and at most all source cases",
        )
    folder = Path(folder)
    check_output_folder(folder)
    groups = {
        "source": [(source, True)] * labelled + [(source, False)] * (source_cases - labelled),
        "target": [(target, target_labels)] * target_cases,
        "test_source": [(source, True)] * test_cases,
        "test_target": [(target, True)] * test_cases,
    }
    # The group index in the seed gives all groups different patients.
    cases = {
        name: [_write_case(folder, f"{name}_{i + 1:02d}", (seed, g, i), *what) for i, what in enumerate(members)]
        for g, (name, members) in enumerate(groups.items())
    }
    description = {
        "name": f"phantom {source} to {target}",
        "labels": {"0": "background"} | {str(label.value): _label_json(label) for label in LABELS},
        "source": {"name": f"phantom {source}", "modality": source.upper(), "cases": cases["source"]},
        "target": {"name": f"phantom {target}", "modality": target.upper(), "cases": cases["target"]},
        "test": {"source": cases["test_source"], "target": cases["test_target"]},
    }
    path = folder / "dataset.json"
    write_json(path, description)
    return path


def _label_json(label: Label) -> dict[str, Any]:
    return {
        "name": label.name,
        "color": [round(255 * channel) for channel in label.color],
        "terminology": label.terminology,
    }


def _write_case(
    folder: Path, name: str, seed: tuple[int, ...], appearance: Appearance, with_label: bool
) -> dict[str, str]:
    volume, label_map = make_case(seed, appearance)
    entry = {"id": name, "image": f"{name}.nii.gz"}
    write_volume(volume, folder / entry["image"])
    if with_label:
        entry["label"] = f"{name}_label.nii.gz"
        write_label_map(label_map, folder / entry["label"])
    return entry


def _grid(rng: Generator) -> tuple[tuple[int, int, int], np.ndarray, np.ndarray]:
    """Draw a voxel grid; return its shape, its spacing in mm and the patient coordinates of its voxels."""
    in_plane = rng.uniform(1.85, 2.25)
    spacing_mm = np.array([in_plane, in_plane, rng.uniform(5.0, 6.2)])
    width = int(np.clip(rng.uniform(134, 156) / in_plane, 64, 80))
    height = int(np.clip(width + rng.integers(-4, 5), 64, 80))
    shape = (width, height, int(np.clip(round(rng.uniform(86, 102) / spacing_mm[2]), 14, 20)))
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    offset = (index - (np.array(shape) - 1) / 2) * spacing_mm * [-1, -1, 1]
    centre = np.array([-4.0, -2, 2]) + rng.uniform(-7, 7, 3)
    return shape, spacing_mm, offset @ _rotation(rng, 9.0).T + centre


def _affine(shape: tuple[int, ...], spacing_mm: np.ndarray, tilt_degrees: float, rng: Generator) -> np.ndarray:
    """Position the grid in space, oblique by up to ``tilt_degrees``."""
    affine = np.eye(4)
    affine[:3, :3] = _rotation(rng, tilt_degrees) @ np.diag(spacing_mm * [-1, -1, 1])
    affine[:3, 3] = rng.uniform(-60, 60, 3) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def _rotation(rng: Generator, most_degrees: float) -> np.ndarray:
    """Rotate about a random axis by up to ``most_degrees`` (Rodrigues' formula)."""
    axis = rng.standard_normal(3)
    x, y, z = axis / np.linalg.norm(axis)
    angle = np.deg2rad(rng.uniform(0.2, 1.0) * most_degrees)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross

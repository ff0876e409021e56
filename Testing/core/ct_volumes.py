"""Small CT and MR volumes for tests, and data sets of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leuda_core.io.nifti import write_nifti

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])
SHAPE = (40, 40, 6)
AIR, FAT, LIVER, LUNG, BONE, METAL = -1000, -100, 60, -850, 700, 3000


def body(seed: int = 0, organ: float = LIVER, *, air: float = AIR) -> tuple[np.ndarray, np.ndarray]:
    """Return a CT in Hounsfield units, int16, an organ of this value in fat and air, and the label of the organ."""
    rng = np.random.default_rng(seed)
    i, j, _ = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j, 0 : 1 : SHAPE[2] * 1j]
    label = (np.hypot(i - 0.1, j) < 0.35).astype(np.uint8)
    data = np.where(np.hypot(i, j) < 0.8, FAT, air)
    data = np.where(label, organ, data) + rng.normal(0, 12, SHAPE)
    return np.maximum(data, -1024).astype(np.int16), label


def windowed(data: np.ndarray) -> np.ndarray:
    """Return a CT as others store it: clipped to soft tissue and mapped to 0 to 255."""
    return np.rint((data.clip(-160, 240) + 160) * (255 / 400)).astype(np.int16)


def mr(data: np.ndarray) -> np.ndarray:
    """Return a volume of the same patient without a sign and without a unit."""
    return np.abs(data + 1010).astype(np.int16)


def write_cases(
    folder: Path,
    modalities: tuple[str, str],
    source: Sequence[tuple[np.ndarray, np.ndarray | None]],
    target: Sequence[tuple[np.ndarray, np.ndarray | None]],
) -> Path:
    """Write volumes with their labels, if they have any, and return the dataset file."""
    folder.mkdir(parents=True, exist_ok=True)
    document: dict = {"name": "d", "labels": {"1": "organ"}}
    for role, modality, volumes in zip(("source", "target"), modalities, (source, target), strict=True):
        cases = []
        for index, (data, label) in enumerate(volumes):
            case = {"id": f"{role[0]}{index}", "image": f"{role[0]}{index}.nii"}
            write_nifti(data, AFFINE, folder / case["image"])
            if label is not None:
                case["label"] = f"{role[0]}{index}_label.nii"
                write_nifti(label, AFFINE, folder / case["label"])
            cases.append(case)
        document[role] = {"name": role, "modality": modality, "cases": cases}
    path = folder / "dataset.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path

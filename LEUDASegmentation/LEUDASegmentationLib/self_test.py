"""Test data of the module's self-test: volumes with discs, and a model that is trained to find them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from LEUDASegmentationLib.processes.commands import LeudaCommand

SHAPE = (6, 48, 48)  # K, J, I
SPACING_MM = (1.25, 1.25, 8.0)
LABEL = "disc"


def add_disc_volume(name: str, *, seed: int) -> tuple[Any, np.ndarray]:
    """Add a volume of a bright disc on an oblique grid to the scene.

    Args:
        seed: for the position of the disc and the noise.

    Returns:
        The vtkMRMLScalarVolumeNode, and where the disc is, ``(K, J, I)`` bool.
    """
    rng = np.random.default_rng(seed)
    j, i = np.mgrid[: SHAPE[1], : SHAPE[2]]
    center = rng.uniform(20, 28, 2)
    disc = np.broadcast_to(np.hypot(i - center[0], j - center[1]) < rng.uniform(9, 13), SHAPE)
    voxels = 100 + 400 * disc + rng.normal(0, 20, SHAPE)
    node = slicer.util.addVolumeFromArray(voxels.astype(np.int16), ijkToRAS=_oblique_matrix(), name=name)
    return node, disc


def train_tiny_model(folder: Path, *, steps: int, timeout_s: float) -> Path:
    """Train a small model on discs in a child process and return its bundle folder; the scene does not change.

    Raises:
        LeudaError: the training failed or took too long.
    """
    dataset = _write_dataset(folder)
    words = ["train", dataset, "--method", "source_only", "--out", folder / "run", "--steps", steps, "--device", "cpu"]
    settings = {"patch_size": 48, "base_channels": 8, "learning_rate": 0.003, "augmentation": "paper"}
    for key, value in settings.items():
        words += ["--set", f"{key}={value}"]
    LeudaCommand(words).start().wait(timeout_s)
    return folder / "run" / "bundle"


def _write_dataset(folder: Path) -> Path:
    source = [_write_case(folder, f"source_{seed}", seed, labelled=True) for seed in range(2)]
    target = [_write_case(folder, "target", seed=2, labelled=False)]
    document = {
        "name": "discs",
        "labels": {"0": "background", "1": LABEL},
        "source": {"name": "source", "modality": "MR", "cases": source},
        "target": {"name": "target", "modality": "CT", "cases": target},
    }
    path = folder / "dataset.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _write_case(folder: Path, name: str, seed: int, *, labelled: bool) -> dict[str, str]:
    entry = {"id": name, "image": f"{name}.nrrd"}
    node, disc = add_disc_volume(name, seed=seed)
    _save_and_remove(node, folder / entry["image"])
    if labelled:
        entry["label"] = f"{name}_label.nrrd"
        label = slicer.util.addVolumeFromArray(disc.astype(np.uint8), ijkToRAS=_oblique_matrix(), name=f"{name}_label")
        _save_and_remove(label, folder / entry["label"])
    return entry


def _save_and_remove(node: Any, path: Path) -> None:
    if not slicer.util.saveNode(node, str(path)):
        raise RuntimeError(f"{path} could not be written: check the free disk space")
    slicer.mrmlScene.RemoveNode(node)


def _oblique_matrix() -> Any:
    """Return the matrix from voxel index to RAS mm, rotated by 20 degrees about the slice axis."""
    transform = vtk.vtkTransform()
    transform.Translate(-40.0, 25.0, 310.0)
    transform.RotateZ(20.0)
    transform.Scale(*SPACING_MM)
    return transform.GetMatrix()

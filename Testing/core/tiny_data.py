"""A dataset of tiny oblique volumes for tests: discs with a core, bright in the source and dark in the target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from leuda_core.config import MethodConfig
    from leuda_core.data.batches.loaders import SliceLoader
    from leuda_core.types import Task

OBLIQUE = np.array([[0.98, -0.12, 0.3, -40.0], [0.1, 1.4, -0.9, 25.0], [-0.2, 0.25, 7.9, 310.0], [0, 0, 0, 1.0]])


def write_case(folder: Path, name: str, *, inverted: bool, labelled: bool, seed: int) -> dict[str, str]:
    """Write a 48 x 48 x 6 image of a disc with a core, on an oblique grid, and return its case entry."""
    import SimpleITK as sitk

    rng = np.random.default_rng(seed)
    center = rng.uniform(20, 28, size=2)
    i, j = np.mgrid[:48, :48]
    radius = np.hypot(i - center[0], j - center[1])[..., None] + np.array([3.0, 1, 0, 0, 1, 3])
    label = ((radius < 14) * 1 + (radius < 7) * 1).astype(np.uint8)
    contrast = np.array([600.0, 250, 400]) if inverted else np.array([100.0, 500, 300])
    image = contrast[label] + rng.normal(0, 15, label.shape)
    entry = {"id": name, "image": f"{name}.nii.gz"}
    _write(sitk, image.astype(np.int16), folder / entry["image"])
    if labelled:
        entry["label"] = f"{name}_label.nii.gz"
        _write(sitk, label, folder / entry["label"])
    return entry


def _write(sitk, data: np.ndarray, path: Path) -> None:
    rotation, _ = np.linalg.qr(OBLIQUE[:3, :3])
    rotation = rotation * np.sign(np.diag(rotation))
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0)))
    lps = np.diag([-1.0, -1, 1])
    image.SetDirection((lps @ rotation).ravel().tolist())
    image.SetSpacing((1.25, 1.25, 8.0))
    image.SetOrigin((lps @ OBLIQUE[:3, 3]).tolist())
    sitk.WriteImage(image, str(path))


def write_dataset(folder: Path) -> Path:
    """Write a dataset: three source cases (two labelled), two target cases, a labelled test case of each."""
    source = [write_case(folder, f"s{n}", inverted=False, labelled=n < 2, seed=n) for n in range(3)]
    target = [write_case(folder, f"t{n}", inverted=True, labelled=False, seed=10 + n) for n in range(2)]
    test = {
        "target": [write_case(folder, "test_t", inverted=True, labelled=True, seed=20)],
        "source": [write_case(folder, "test_s", inverted=False, labelled=True, seed=21)],
    }
    document = {
        "name": "discs",
        "labels": {"0": "background", "1": "ring", "2": {"name": "core", "color": [200, 60, 60]}},
        "source": {"name": "bright ring", "modality": "MR", "cases": source},
        "target": {"name": "dark ring", "modality": "CT", "cases": target},
        "test": test,
    }
    path = folder / "dataset.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def tiny_loader(path: Path, folder: Path, settings: MethodConfig, **rules: int) -> tuple[SliceLoader, Task]:
    """Prepare the slices of a dataset file in a folder; return the loader and the task. ``rules``: as for both."""
    from leuda_core.data.batches.loaders import SliceLoader
    from leuda_core.data.dataset import load_dataset
    from leuda_core.data.tasks import make_task

    dataset = load_dataset(path)
    task = make_task(dataset, settings, **rules)
    return SliceLoader(dataset, task, settings, folder, **rules), task

"""A running worker, and a right request for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from worker_process import WorkerProcess
from worker_requests import AFFINE, make_model, volume_data


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "Größe 1")


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerProcess]:
    with WorkerProcess() as process:
        yield process


@pytest.fixture
def fields(model: Path, tmp_path: Path) -> dict[str, object]:
    """What a right request for a volume says."""
    np.save(tmp_path / "volume 1.npy", volume_data())
    return {
        "model": model,
        "device": "cpu",
        "volume": tmp_path / "volume 1.npy",
        "affine": AFFINE,
        "output": tmp_path / "labels.npy",
    }

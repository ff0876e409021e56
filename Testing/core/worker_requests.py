"""Requests to a worker, the volume and the model they are about, and the answers tests look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from leuda_core.bundle.model import save_bundle
from leuda_core.bundle.schema import BundleInfo, DomainSummary
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.prediction.volumes import segment
from leuda_core.types import Label, Task, Volume
from worker_process import WorkerProcess

AFFINE = [[-1.0, 0.1, 0.0, 40.0], [0.1, 1.0, 0.0, -30.0], [0.0, 0.0, 3.0, 100.0], [0.0, 0.0, 0.0, 1.0]]
SHAPE = (7, 36, 44)  # (K, J, I)
SLOW = """
import time
from leuda_core.prediction import segmenter
fast = segmenter.SliceSegmenter.logits
def slow(self, images):
    time.sleep(0.2)
    return fast(self, images)
segmenter.SliceSegmenter.logits = slow
"""
"""Makes every batch of slices take 0.2 s in the process."""


def volume_data(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """A bright, lopsided blob with noise ``(K, J, I)``: no symmetry hides a flip or a transposition."""
    axes = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    distance = sum(((x - c) / r) ** 2 for x, c, r in zip(axes, (0.4, 0.6, 0.3), (0.6, 0.3, 0.2), strict=True))
    noise = np.random.default_rng(0).normal(0, 40, shape)
    return (1000 * np.exp(-(distance**4)) + noise).astype(np.int16)


def make_model(
    folder: Path,
    plane: str = "acquisition",
    *,
    patch_size: int = 32,
    seed: int = 0,
    context: int = 0,
    **task_fields: Any,
) -> Path:
    """Write an untrained model with a translator, and labels beyond 255; neighbours are two slices away."""
    torch.manual_seed(seed)
    spec = PredictorSpec(
        n_classes=3, base_channels=4, translator_channels=4, translator_blocks=1, in_channels=2 * context + 1
    )
    labels = (Label(3, "vessel", (1.0, 0.0, 0.5), "SCT^1^Vessel"), Label(300, "Leber"))
    fields = {"labels": labels, "spacing_mm": 1.5, "patch_size": patch_size, "plane": plane, **task_fields}
    task = Task(**fields, context=context, context_mm=6.0 * context)
    domain = DomainSummary(name="d", modality="MR")
    return save_bundle(folder, Predictor(spec), task, BundleInfo(name="b", method="m", source=domain, target=domain))


numbers = iter(range(1, 1_000_000))
"""What requests are numbered with."""


def call(worker: WorkerProcess, request: str, **fields: object) -> dict:
    return worker.result(request, next(numbers), **fields)


def failure(worker: WorkerProcess, request: str, **fields: object) -> dict:
    number = next(numbers)
    worker.send(request, number, **fields)
    answer = worker.answer(number)
    assert answer["event"] == "error", answer
    assert answer["message"] and "\n" not in answer["message"]
    return answer


def segmented(fields: dict[str, object], **options: object) -> np.ndarray:
    """Return the labels ``(K, J, I)`` as prediction finds them in this process."""
    volume = Volume(np.load(fields["volume"]).T, np.array(AFFINE))
    return segment(volume, fields["model"], device="cpu", **options).label_map.data.T

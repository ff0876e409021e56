"""Segmenting a volume with a trained model: the label map has exactly the grid of the input."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from leuda_core.bundle.model import ModelBundle, load_bundle
from leuda_core.io.volumes import read_volume
from leuda_core.prediction.runner import OnProgress, ShouldStop
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import Prediction, SegmentOptions, Volume


def segment(
    volume: Volume | Path | str,
    bundle: ModelBundle | Path | str,
    *,
    device: str = "auto",
    probabilities: bool = False,
    largest_component: bool = False,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Prediction:
    """Segment a volume.

    Args:
        volume: the volume, or its file or DICOM folder.
        bundle: the model, or its folder or zip file.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:K``, ``xpu``, ``xpu:K`` or ``mps``.
        probabilities: also return class probabilities ``(C, I, J, K)`` float16 (before ``largest_component``).
        largest_component: keep only the largest connected component of each label.
        on_progress: called with stage (``load``, ``segment``, ``components``), done and total.
        should_stop: called at least after every batch of slices; return true to cancel.

    Raises:
        InputError: the volume or the bundle cannot be used. DeviceError: the device cannot be used. Cancelled.
    """
    report = on_progress or (lambda stage, done, total: None)
    start = time.perf_counter()
    report("load", 0, 2)
    model = bundle if isinstance(bundle, ModelBundle) else load_bundle(bundle)
    segmenter = SliceSegmenter(model.predictor(), model.task, device=device)
    report("load", 1, 2)
    image = volume if isinstance(volume, Volume) else read_volume(Path(volume))
    report("load", 2, 2)
    loaded = time.perf_counter() - start
    options = SegmentOptions(probabilities=probabilities, largest_component=largest_component)
    prediction = segmenter(image, options, on_progress=on_progress, should_stop=should_stop)
    return replace(prediction, seconds={"load": loaded, **prediction.seconds})

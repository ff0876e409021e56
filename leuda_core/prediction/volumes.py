"""Segmenting volumes with a trained model: the label map lies on exactly the grid of the input."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from leuda_core.bundle.model import ModelBundle, load_bundle
from leuda_core.io.volumes import read_volume
from leuda_core.prediction.segmenter import OnProgress, ShouldStop, SliceSegmenter
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
        volume: the volume, or the file or DICOM folder to read it from.
        bundle: the model, or its folder or zip file.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:K``.
        probabilities: also return class probabilities ``(C, I, J, K)`` float16 (before ``largest_component``).
        largest_component: keep the largest connected piece of each label alone.
        on_progress: called with stage (``load``, ``segment``, ``components``), done and total.
        should_stop: asked at least after every batch of slices.

    Raises:
        InputError: the volume or the bundle is unusable. DeviceError: the device is. Cancelled: as asked.
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

"""The peak memory of a training by its sizes: a model with a few constants, fitted to measured runs.

Measured on a CPU in float32, for 13 combinations of patch (32 to 160), batch (2 to 16), channels (4 to 32) and method;
`Testing/benchmarks/bench_plan.py` measures them again. A GPU is not measured: there the same model holds without
the memory of the process, which overestimates, since most values are bfloat16.
"""

from __future__ import annotations

from typing import Any

from leuda_core.config import MethodConfig
from leuda_core.data.survey import Survey

PROCESS_MIB = 390  # Python, PyTorch, a volume, previews
WEIGHT_BYTES = 32  # per weight: values, gradients, optimiser, moving average, checkpoint
MAP_BYTES = 125  # per pixel of a slice and base channel of the segmenter: all maps that its gradient needs
CLASS_BYTES = 40  # per pixel and class beyond the three of the measurements
STACK_BYTES = 24  # per pixel and neighbouring slice
GENERATOR_BYTES = 290  # per pixel of an unlabelled slice and channel: both generators and discriminators, in both ways
USUAL_BLOCKS, BLOCK_BYTES = 4, 24  # the generators of the measurements; per pixel, channel and further residual block
VOXEL_BYTES = 8  # of the largest volume, while it is prepared

_WEIGHTS = 7_600
"""Weights of the segmenter per squared base channel."""

_STREAMS = {
    **dict.fromkeys(
        (
            "source_only",
            "contrast_randomization",
            "histogram_matching",
            "adabn",
            "adda",
            "early_features",
            "cyclegan",
            "istn",
        ),
        (1.0, 0.0),
    ),
    "self_training": (1.0, 0.6),
    **dict.fromkeys(("mean_teacher", "tcsm"), (1.0, 1.2)),
    **dict.fromkeys(("glua", "voxelmorph"), (1.0, 0.8)),
    "meta_hallucinator": (3.0, 0.6),
    "mt_uda": (2.0, 2.4),
    "sifa": (2.0, 1.2),
}
_MOST_STREAMS = (2.0, 2.7)
"""How often a step keeps the maps of its labelled slices, and of its unlabelled slices of both domains. The last one is
that of ``le_uda``, and of methods that are not listed."""


def peak_mib(method: str, settings: MethodConfig, survey: Survey, kind: str) -> int:
    """Return the expected peak memory of a training in MiB: of the process on a CPU, of the device on a GPU."""
    step = step_mib(method, settings, survey, kind)
    if kind != "cpu":
        return step
    return max(step, round(PROCESS_MIB + survey.largest_voxels * VOXEL_BYTES / 2**20))


def step_mib(method: str, settings: MethodConfig, survey: Survey, kind: str) -> int:
    """Return the same without the preparation of the volumes, which no setting makes smaller."""
    weights = _WEIGHTS * settings.base_channels**2 * WEIGHT_BYTES
    step = weights + max(_segmenter_bytes(method, settings, survey), _generator_bytes(settings))
    return round(step / 2**20 + (PROCESS_MIB if kind == "cpu" else 0))


def _segmenter_bytes(method: str, settings: MethodConfig, survey: Survey) -> float:
    labelled, unlabelled = _STREAMS.get(method, _MOST_STREAMS)
    slices = labelled * settings.batch_size + 2 * unlabelled * settings.unlabelled_batch_size
    classes = len(survey.structures) + 1
    pixel = MAP_BYTES * settings.base_channels + CLASS_BYTES * max(0, classes - 3) + STACK_BYTES * 2 * settings.context
    return slices * settings.patch_size**2 * pixel


def _generator_bytes(settings: Any) -> float:
    if not getattr(settings, "translator_steps", 0):
        return 0.0
    pixels = settings.unlabelled_batch_size * settings.patch_size**2
    per_channel = GENERATOR_BYTES + BLOCK_BYTES * max(0, settings.translator_blocks - USUAL_BLOCKS)
    return pixels * settings.translator_channels * per_channel

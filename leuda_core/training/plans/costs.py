"""The peak memory of a training by its sizes: a model with a few constants, fitted to measured runs.

Measured on a CPU in bfloat16 and in float32, for 39 combinations of patch (48 to 160), batch (2 to 16), channels (8 to
32) and method (`MEASURED` in Testing/core/training/test_rules.py); `Testing/benchmarks/bench_plan.py` measures ten of
them again. A GPU is not measured: there the same model holds without the memory of the process.
"""

from __future__ import annotations

from typing import Any

from leuda_core.config import MethodConfig
from leuda_core.data.survey import Survey
from leuda_core.training.plans.machine import Machine

PROCESS_MIB = 413  # Python, PyTorch, slices of the watch over the training
WEIGHT_BYTES = 32  # per weight: values, gradients, optimiser, moving average, checkpoint
MAP_BYTES, HALF_MAP_BYTES = 135, 75
"""Per pixel of a slice and base channel of the segmenter, in float32 and bfloat16: all maps that its gradient needs."""
CLASS_BYTES = 40  # per pixel and class beyond the three of the measurements
STACK_BYTES = 24  # per pixel and neighbouring slice
GENERATOR_BYTES, HALF_GENERATOR_BYTES = 385, 245
"""Per pixel of an unlabelled slice and channel: both generators and discriminators, in both ways."""
USUAL_BLOCKS, BLOCK_BYTES = 4, 24  # the generators of the measurements; per pixel, channel and further residual block
LOOK_BYTES = 45  # per pixel of the largest slice and base channel, while the watch over the training looks at it
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
            "early_features",
            "cyclegan",
            "istn",
        ),
        (1.0, 0.0),
    ),
    **dict.fromkeys(("self_training", "adda", "voxelmorph"), (1.0, 0.5)),
    **dict.fromkeys(("mean_teacher", "tcsm"), (1.0, 0.9)),
    "glua": (1.0, 0.8),
    "meta_hallucinator": (3.0, 0.6),
    "mt_uda": (2.0, 2.4),
    "sifa": (2.0, 1.8),
}
_MOST_STREAMS = (2.0, 2.7)
"""How often a step keeps the maps of its labelled slices, and of its unlabelled slices of both domains. The last one is
that of ``le_uda``, and of methods that are not listed."""


def peak_mib(method: str, settings: MethodConfig, survey: Survey, machine: Machine) -> int:
    """Return the expected peak memory of a training in MiB: of the process on a CPU, of the device on a GPU."""
    step = step_mib(method, settings, survey, machine)
    if machine.kind != "cpu":
        return step
    return max(step, round(PROCESS_MIB + survey.largest_voxels * VOXEL_BYTES / 2**20))


def step_mib(method: str, settings: MethodConfig, survey: Survey, machine: Machine) -> int:
    """Return the same without the preparation of the volumes, which no setting makes smaller."""
    weights = _WEIGHTS * settings.base_channels**2 * WEIGHT_BYTES
    maps = HALF_MAP_BYTES if machine.bfloat16 else MAP_BYTES
    generator = HALF_GENERATOR_BYTES if machine.bfloat16 else GENERATOR_BYTES
    most = max(
        _segmenter_bytes(method, settings, survey, maps),
        _generator_bytes(settings, generator),
        _look_bytes(settings, survey),
    )
    return round((weights + most) / 2**20 + (PROCESS_MIB if machine.kind == "cpu" else 0))


def _segmenter_bytes(method: str, settings: MethodConfig, survey: Survey, maps: int) -> float:
    labelled, unlabelled = _STREAMS.get(method, _MOST_STREAMS)
    slices = labelled * settings.batch_size + 2 * unlabelled * settings.unlabelled_batch_size
    classes = len(survey.structures) + 1
    pixel = maps * settings.base_channels + CLASS_BYTES * max(0, classes - 3) + STACK_BYTES * 2 * settings.context
    return slices * settings.patch_size**2 * pixel


def _look_bytes(settings: MethodConfig, survey: Survey) -> float:
    if not settings.spacing_mm:  # chosen when the run begins
        return 0.0
    side = max(one.largest_side_mm for one in (survey.source, survey.target)) / settings.spacing_mm
    return side**2 * settings.base_channels * LOOK_BYTES


def _generator_bytes(settings: Any, sizes: int) -> float:
    if not getattr(settings, "translator_steps", 0):
        return 0.0
    pixels = settings.unlabelled_batch_size * settings.patch_size**2
    per_channel = sizes + BLOCK_BYTES * max(0, settings.translator_blocks - USUAL_BLOCKS)
    return pixels * settings.translator_channels * per_channel

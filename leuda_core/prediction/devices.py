"""What prediction needs to know of a device: why it was chosen, whether it ran out of memory, what bfloat16 gains."""

from __future__ import annotations

import logging
import time

import torch
from torch import Tensor, nn

from leuda_core import devices

logger = logging.getLogger(__name__)

_MEMORY_WORDS = ("not enough memory", "can't allocate memory", "out of memory", "alloc_failed")


def choose_device(name: str = "auto") -> tuple[torch.device, str]:
    """Return the device to use, and a note for the user where ``auto`` had to pass over a GPU (else empty).

    Raises:
        DeviceError: the device was asked for by name and does not work.
    """
    device = devices.choose_device(name)
    if name != "auto" or device.type != "cpu" or not torch.cuda.is_available():
        return device, ""
    problem = devices.kernel_problem(torch.device("cuda:0"))
    return device, f"the GPU does not work ({problem}): the CPU was used"


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that the work was too large, on any device."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _MEMORY_WORDS)


def bf16_is_faster(network: nn.Module, images: Tensor) -> bool:
    """Say whether bfloat16 autocast pays, on the device of ``images``: native there, and on a CPU timed to be faster.

    Emulated bfloat16 is never even tried: one slice can take seconds.
    """
    if not devices.has_bf16(images.device):
        return False
    if images.device.type == "cuda":
        return True
    seconds = {bf16: _best_seconds(network, images, bf16=bf16) for bf16 in (False, True)}
    logger.debug("probe: float32 %.4f s, bfloat16 %.4f s", seconds[False], seconds[True])
    return seconds[True] < seconds[False]


def _best_seconds(network: nn.Module, images: Tensor, *, bf16: bool) -> float:
    best = float("inf")
    for _ in range(2):  # the first also sets up
        start = time.perf_counter()
        with torch.inference_mode(), torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            network(images)
        best = min(best, time.perf_counter() - start)
    return best

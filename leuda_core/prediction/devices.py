"""What prediction needs to know of a device: why it was chosen, and whether it ran out of memory."""

from __future__ import annotations

import torch

from leuda_core import devices

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

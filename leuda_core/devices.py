"""Where the work runs, and in which precision. A device is believed only after a real kernel ran on it."""

from __future__ import annotations

import logging
import sys
from contextlib import AbstractContextManager

import torch

from leuda_core.errors import DeviceError

logger = logging.getLogger(__name__)


def choose_device(name: str = "auto") -> torch.device:
    """Return the device to use: ``auto`` takes the first GPU on which a convolution really runs, else the CPU.

    Raises:
        DeviceError: a device asked for by name does not work.
    """
    if name == "cpu":
        return torch.device("cpu")
    device = torch.device("cuda:0" if name in ("auto", "cuda") else name)
    problem = kernel_problem(device)
    if not problem:
        return device
    if name != "auto":
        raise DeviceError(f"device {name!r} does not work: {problem}", "use --device cpu, or see `leuda doctor`")
    if torch.cuda.is_available():
        logger.warning("the GPU is there but does not work (%s); going on on the CPU", problem)
    return torch.device("cpu")


def kernel_problem(device: torch.device) -> str:
    """Run a convolution with its gradient; return what went wrong, or an empty string.

    A GPU that is listed as available may still have no kernels for its architecture.
    """
    if device.type == "cuda" and not torch.cuda.is_available():
        return "no CUDA device is available to this PyTorch"
    try:
        network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.GroupNorm(4, 4)).to(device)
        network(torch.ones(1, 1, 8, 8, device=device)).sum().backward()
        finite = bool(torch.isfinite(network[0].weight.grad).all().cpu())
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0]
    return "" if finite else "a convolution gave values that are not finite"


def has_bf16(device: torch.device) -> bool:
    """Say whether bfloat16 runs natively; emulated, it is many times slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # private, and not in every version
    return bool(known and known())


def autocast(device: torch.device) -> AbstractContextManager:
    """Return the context that runs convolutions in bfloat16 where that is native; weights and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device))


def peak_memory_mib(device: torch.device) -> int:
    """Return the most memory this process has used: of the GPU on a GPU, else resident; 0 where it is unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> 20 if sys.platform == "darwin" else peak >> 10

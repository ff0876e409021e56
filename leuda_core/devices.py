"""The device and precision of computations. A device counts as working only after a real kernel ran on it."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import conv2d, group_norm

from leuda_core.config import DEVICE_PATTERN
from leuda_core.errors import FREE_MEMORY, DeviceError, MemoryShortage, first_line, lacks_memory

logger = logging.getLogger(__name__)

TOLERANCE = 1e-2  # relative to the largest gradient; GPUs multiply float32 in TF32, with about three digits


def find_device(name: str = "auto") -> tuple[torch.device, str]:
    """Return the device to use, and a note for the user if ``auto`` found a GPU that does not work (else empty).

    ``auto`` chooses the first GPU if a convolution runs on it, otherwise the CPU.

    Raises:
        DeviceError: a device requested by name is unknown or does not work.
    """
    if not re.match(DEVICE_PATTERN, name):
        raise DeviceError(f"device {name!r} is unknown", "use auto, cpu, cuda or cuda:K")
    if name == "cpu":
        return torch.device("cpu"), ""
    device = torch.device("cuda:0" if name in ("auto", "cuda") else name)
    problem = kernel_problem(device)
    if not problem:
        return device, ""
    if name != "auto":
        raise DeviceError(f"device {name!r} does not work: {problem}", "use --device cpu, or see `leuda doctor`")
    passed_over = torch.cuda.is_available()
    return torch.device("cpu"), f"the GPU does not work ({problem}): the CPU was used" if passed_over else ""


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of ``find_device(name)`` and log its note."""
    device, note = find_device(name)
    if note:
        logger.warning(note)
    return device


def kernel_problem(device: torch.device) -> str:
    """Run a convolution with its gradient and compare with the CPU. Return the problem, or an empty string.

    PyTorch may list a GPU as available although it has no kernels for its architecture.
    """
    if device.type == "cuda" and not torch.cuda.is_available():
        return "PyTorch finds no CUDA device"
    try:
        found, expected = small_gradient(device), small_gradient(torch.device("cpu"))
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0]
    gap = float((found - expected).abs().max() / expected.abs().max())
    return "" if gap <= TOLERANCE else f"gradients differ from the CPU's by {gap:.1e}"  # NaN counts as a difference


def small_gradient(device: torch.device) -> Tensor:
    """Return the gradient ``(16, 8, 3, 3)`` of a small convolution with group norm, computed on ``device``."""
    generator = torch.Generator().manual_seed(0)  # does not change the caller's random state
    images = torch.randn(2, 8, 64, 64, generator=generator).to(device)
    kernel = torch.randn(16, 8, 3, 3, generator=generator).to(device).requires_grad_()
    maps = group_norm(conv2d(images, kernel, padding=1), 4)
    (gradient,) = torch.autograd.grad(maps.square().mul(maps.sigmoid()).mean(), kernel)
    return gradient.cpu()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory was exhausted, on any device."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or lacks_memory(error)


@contextmanager
def explained_memory(work: str, remedy: str = FREE_MEMORY) -> Iterator[None]:
    """Raise MemoryShortage instead of any error that means that memory was exhausted; ``work`` says for what."""
    try:
        yield
    except MemoryShortage:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryShortage(f"not enough memory {work} ({first_line(error)})", remedy) from error


def has_bf16(device: torch.device) -> bool:
    """Return whether bfloat16 runs natively; when emulated, it is many times slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # private API, not in every version
    return bool(known and known())


def autocast(device: torch.device) -> AbstractContextManager:
    """Return a context that runs convolutions in bfloat16 if that is native; weights and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device))


def memory_gb(device: torch.device) -> tuple[float | None, float | None]:
    """Return total and free memory in GB (1e9 bytes), ``None`` if the system does not report it."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return round(total / 1e9, 1), round(free / 1e9, 1)
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = (page * os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows and macOS
        return None, None
    return round(total / 1e9, 1), round((_available_bytes() or free) / 1e9, 1)


def _available_bytes() -> int:
    """Return the available memory on Linux: free memory plus the file cache. 0 on other systems."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), 0)


def peak_memory_mib(device: torch.device) -> int:
    """Return the peak memory of this process in MiB: GPU memory on a GPU, else resident memory; 0 if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> 20 if sys.platform == "darwin" else peak >> 10

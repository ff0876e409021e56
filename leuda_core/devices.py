"""The device and precision of computations. A device counts as working only after a real kernel ran on it."""

from __future__ import annotations

import logging
import os
import platform
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import (
    affine_grid,
    conv2d,
    conv_transpose2d,
    grid_sample,
    group_norm,
    interpolate,
    max_pool2d,
)

from leuda_core.config import DEVICE_PATTERN, DEVICES
from leuda_core.errors import FREE_MEMORY, DeviceError, MemoryShortage, first_line, lacks_memory

logger = logging.getLogger(__name__)

KINDS = ("cuda", "xpu", "mps")  # of GPUs, in the order in which ``auto`` tries them
_FALLBACK = re.compile(r"operator '(?:aten::)?([\w.]+)' is not currently supported on the MPS backend")

TOLERANCE = 1e-2  # relative to the largest gradient; GPUs multiply float32 in TF32, with about three digits


def find_device(name: str = "auto") -> tuple[torch.device, str]:
    """Return the device to use, and a note for the user if a GPU does not work or not completely (else empty).

    ``auto`` chooses the first GPU on which the operations of a segmenter run, otherwise the CPU.

    Raises:
        DeviceError: a device requested by name is unknown or does not work.
    """
    if not re.match(DEVICE_PATTERN, name):
        raise DeviceError(f"device {name!r} is unknown", f"use {DEVICES}")
    if name == "cpu":
        return torch.device("cpu"), ""
    broken: list[str] = []
    for device in accelerators() if name == "auto" else [_named(name)]:
        problem = kernel_problem(device)
        if not problem:
            notes = [*broken, fallback_note(device)]
            return device, "; ".join(note for note in notes if note)
        if name != "auto":
            raise DeviceError(f"device {name!r} does not work: {problem}", "use --device cpu, or see `leuda doctor`")
        broken.append(f"{device} does not work ({problem}) and was not used")
    return torch.device("cpu"), "; ".join(broken)


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of ``find_device(name)`` and log its note."""
    device, note = find_device(name)
    if note:
        logger.warning(note)
    return device


def accelerators() -> list[torch.device]:
    """Return the GPUs that PyTorch lists, whether they work or not: NVIDIA and AMD, Intel, Apple."""
    found = []
    for kind in KINDS:
        module = getattr(torch, kind, None)  # the oldest versions of PyTorch have no XPU
        count = module.device_count() if module else 0
        found += [torch.device(kind) if kind == "mps" else torch.device(kind, index) for index in range(count)]
    return found


def _named(name: str) -> torch.device:
    return torch.device(name if name == "mps" or ":" in name else f"{name}:0")


def kernel_problem(device: torch.device) -> str:
    """Run the operations of a segmenter with gradients and compare with the CPU. Return the problem, or "".

    PyTorch may list a GPU as available although it has no kernels for its architecture.
    """
    if device.type != "cpu" and device not in (listed := accelerators()):
        return f"PyTorch finds no {device}, only {', '.join(map(str, listed)) or 'the CPU'}"
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = small_gradient(device)
        expected = small_gradient(torch.device("cpu"))
    except (RuntimeError, AssertionError, TypeError) as error:  # Apple's has no float64: TypeError
        return str(error).splitlines()[0]
    _remember_fallbacks(device, [str(one.message) for one in caught])
    gap = float((found - expected).abs().max() / expected.abs().max())
    return "" if gap <= TOLERANCE else f"gradients differ from the CPU's by {gap:.1e}"  # NaN counts as a difference


_fallbacks: dict[torch.device, set[str]] = {}  # PyTorch warns of each operation once in a process


def _remember_fallbacks(device: torch.device, words: Iterable[str]) -> None:
    for match in filter(None, map(_FALLBACK.search, words)):
        _fallbacks.setdefault(device, set()).add(match[1])


def fallback_note(device: torch.device) -> str:
    """Return which operations of a segmenter run on the CPU because the device lacks them; "" if none does."""
    names = ", ".join(sorted(_fallbacks.get(device, ())))
    return f"{device} lacks operations, which run on the CPU: {names}" if names else ""


def small_gradient(device: torch.device) -> Tensor:
    """Return the gradient ``(16, 8, 3, 3)`` of a kernel of a network like a small segmenter, computed on ``device``."""
    generator = torch.Generator().manual_seed(0)  # does not change the caller's random state
    images, kernel, up = (
        torch.randn(*shape, generator=generator).to(device) for shape in ((2, 8, 64, 64), (16, 8, 3, 3), (16, 8, 2, 2))
    )
    kernel.requires_grad_()
    peaks = torch.zeros(64, 64)
    peaks[::2, ::2] = 10  # the largest value of each 2 x 2 pixels: rounding must not decide which one gets the gradient
    maps = group_norm(conv2d(images, kernel, padding=1), 4)
    smaller = 0.9 * torch.eye(2, 3, device=device).expand(2, 2, 3)
    maps = grid_sample(maps, affine_grid(smaller, list(maps.shape), align_corners=False), align_corners=False)
    maps = torch.cat([conv_transpose2d(max_pool2d(maps + peaks.to(device), 2), up, stride=2), images], 1)
    small = interpolate(maps, scale_factor=0.5, mode="bilinear", align_corners=False)
    (gradient,) = torch.autograd.grad(small.log_softmax(1).square().mul(small.sigmoid()).mean(), kernel)
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
    """Return whether bfloat16 runs natively; when emulated, it is many times slower than float32.

    Apple's GPUs compute in float32: their half precision was never measured.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "xpu":
        return torch.xpu.is_bf16_supported()
    if device.type != "cpu":
        return False
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # private API, not in every version
    return bool(known and known())


def half_precision(device: torch.device) -> torch.dtype | None:
    """Return the half precision in which a model segments; ``None``: float32.

    NVIDIA's GPUs before Ampere have no bfloat16, but float16. Its range is small: a model may overflow in it, which
    must be looked for. Training, whose gradients would vanish, takes float32 there.
    """
    if has_bf16(device):
        return torch.bfloat16
    return torch.float16 if device.type == "cuda" else None


def autocast(device: torch.device) -> AbstractContextManager:
    """Return a context that runs convolutions in bfloat16 if that is native; weights and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device))


def memory_format(device: torch.device) -> torch.memory_format:
    """Return the fastest layout of feature maps that can be relied on.

    Channels-last gives wrong results on Apple's GPUs in silence (PyTorch issues 180984 and 174345).
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def memory_gb(device: torch.device) -> tuple[float | None, float | None]:
    """Return total and free memory in GB (1e9 bytes), ``None`` if the system does not report it."""
    try:
        if device.type == "mps":  # shared with the CPU; the system recommends a limit
            total = torch.mps.recommended_max_memory()
            free = total - torch.mps.driver_allocated_memory()
        elif device.type != "cpu":
            free, total = _module(device).mem_get_info(device)
        else:
            page = os.sysconf("SC_PAGE_SIZE")
            total, free = (page * os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
            free = _available_bytes() or free
    except (AttributeError, ValueError, OSError, RuntimeError):  # Windows, macOS, some GPUs of Intel
        return None, None
    return round(total / 1e9, 1), round(free / 1e9, 1)


def device_name(device: torch.device) -> str:
    """Return the name of the hardware."""
    if device.type in ("cuda", "xpu"):
        return _module(device).get_device_name(device)
    return "Apple GPU" if device.type == "mps" else platform.processor() or "CPU"


def allowed_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all work."""
    if device.type in KINDS:
        _module(device).synchronize()


def release_memory() -> None:
    """Give memory that PyTorch keeps on GPUs for later use back to other programs."""
    for kind in {device.type for device in accelerators()}:
        _module(torch.device(kind)).empty_cache()


def _module(device: torch.device) -> Any:
    """Return the module of PyTorch for a kind of device."""
    return getattr(torch, device.type)


def _available_bytes() -> int:
    """Return the available memory on Linux: free memory plus the file cache. 0 on other systems."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), 0)


def peak_memory_mib(device: torch.device) -> int:
    """Return the peak memory of this process in MiB: GPU memory on a GPU, else resident memory; 0 if unknown."""
    if device.type in ("cuda", "xpu"):
        return _module(device).max_memory_allocated(device) >> 20
    if device.type == "mps":  # has no peak, but keeps what it once allocated
        return torch.mps.driver_allocated_memory() >> 20
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> 20 if sys.platform == "darwin" else peak >> 10

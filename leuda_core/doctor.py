"""Examine this machine: versions, a real kernel on each device, memory, missing packages. Changes nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

_PACKAGES = {  # distribution: (module, what needs it, requirement for pip)
    "numpy": ("numpy", "everything", "numpy"),
    "torch": ("torch", "training and segmentation", "torch"),
    "SimpleITK": ("SimpleITK", "compressed DICOM", "SimpleITK"),
    "nibabel": ("nibabel", "NIfTI volumes", "nibabel"),
    "pynrrd": ("nrrd", "NRRD volumes and segmentations", "pynrrd"),
    "pydicom": ("pydicom", "DICOM", "pydicom"),
    "scikit-image": ("skimage", "largest component, histogram matching", "scikit-image"),
    "monai": ("monai", "surface distances", "'monai>=1.4,<2'"),
    "msgspec": ("msgspec", "settings and dataset files", "msgspec"),
    "safetensors": ("safetensors", "models", "safetensors"),
    "tqdm": ("tqdm", "progress on a terminal", "tqdm"),
}
_OPTIONAL = {
    "matplotlib": ("matplotlib", "leuda report", "matplotlib"),
    "slicer-core": ("slicer_core", "the scene of leuda demo", "slicer-core"),
}


@dataclass(frozen=True)
class DeviceReport:
    """One device. ``problem`` is empty if the operations of a segmenter ran there and match those of the CPU; ``note``
    names those that ran on the CPU in its place.
    """

    device: str
    name: str
    problem: str = ""
    milliseconds: float | None = None
    bfloat16: bool = False
    memory_gb: float | None = None
    free_gb: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Health:
    """The result of an examination. ``missing`` maps a package to its purpose and the command that installs it."""

    works: bool
    versions: dict[str, str]
    devices: tuple[DeviceReport, ...]
    missing: dict[str, dict[str, Any]] = field(default_factory=dict)
    advice: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain, JSON-ready values under the same names."""
        return asdict(self)


def examine() -> Health:
    """Examine the packages and devices of this machine."""
    versions, missing = _packages()
    required = [name for name, entry in missing.items() if entry["required"]]
    devices: tuple[DeviceReport, ...] = ()
    advice = [f"{name} is missing ({entry['for']}): {entry['get']}" for name, entry in missing.items()]
    if not {"torch", "numpy"} & set(required):
        devices = _devices()
        advice += _device_advice(devices)
    works = not required and any(not device.problem for device in devices)
    return Health(works, versions, devices, missing, tuple(advice))


def _packages() -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    import leuda_core

    versions = {
        "leuda-core": leuda_core.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    missing: dict[str, dict[str, Any]] = {}
    for name, (module, purpose, source) in (_PACKAGES | _OPTIONAL).items():
        if importlib.util.find_spec(module) is None:
            command = f"{Path(sys.executable).name} -m pip install {source}"
            missing[name] = {"for": purpose, "get": command, "required": name in _PACKAGES}
            continue
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "unknown"
    return versions, missing


def _devices() -> tuple[DeviceReport, ...]:
    import torch

    from leuda_core.devices import accelerators

    return tuple(_probe(device) for device in (torch.device("cpu"), *accelerators()))


def _probe(device: Any) -> DeviceReport:
    """Run the kernels that a segmenter uses, forward and backward, and time them."""
    from leuda_core.devices import device_name, fallback_note, has_bf16, kernel_problem, memory_gb, small_gradient

    total, free = memory_gb(device)
    report = DeviceReport(str(device), device_name(device), kernel_problem(device), memory_gb=total, free_gb=free)
    if report.problem:
        return report
    start = time.perf_counter()  # not the first call, which compiles and loads the kernels
    small_gradient(device)
    milliseconds = round((time.perf_counter() - start) * 1000, 1)
    return replace(report, milliseconds=milliseconds, bfloat16=has_bf16(device), note=fallback_note(device))


def _device_advice(devices: tuple[DeviceReport, ...]) -> list[str]:
    import torch

    advice = [
        f"{device.device} ({device.name}) cannot be used: {device.problem}; install the PyTorch build for this card"
        for device in devices
        if device.problem
    ]
    advice += [device.note for device in devices if device.note]
    if len(devices) == 1 and torch.version.cuda is None and Path("/proc/driver/nvidia").exists():
        advice.append("there is an NVIDIA driver, but this PyTorch was built for the CPU only; install its CUDA build")
    return advice

"""Which device is used, and what is said of it. Other GPUs than this machine's are stand-ins: lists and answers."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest
import torch

from leuda_core import devices, doctor
from leuda_core.devices import accelerators, find_device, kernel_problem, memory_format, memory_gb, peak_memory_mib
from leuda_core.errors import DeviceError
from repository import ROOT

MPS, CUDA, XPU = torch.device("mps"), torch.device("cuda:0"), torch.device("xpu:0")


def list_gpus(monkeypatch: pytest.MonkeyPatch, cuda: int = 0, xpu: int = 0, mps: int = 0) -> None:
    for module, count in ((torch.cuda, cuda), (torch.xpu, xpu), (torch.mps, mps)):
        monkeypatch.setattr(module, "device_count", lambda count=count: count)


def answer(monkeypatch: pytest.MonkeyPatch, problems: dict[torch.device, str]) -> None:
    """Let devices have these problems; all others work."""
    monkeypatch.setattr(devices, "kernel_problem", lambda device: problems.get(device, ""))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, []),
        ({"mps": 1}, ["mps"]),
        ({"cuda": 2, "xpu": 1}, ["cuda:0", "cuda:1", "xpu:0"]),
    ],
)
def test_gpus_of_all_kinds_are_listed(monkeypatch, counts, expected):
    list_gpus(monkeypatch, **counts)
    assert [str(one) for one in accelerators()] == expected


@pytest.mark.parametrize(
    ("problems", "expected"),
    [
        ({}, "cuda:0"),
        ({CUDA: "no kernel image"}, "cuda:1"),
        ({CUDA: "no kernel image", torch.device("cuda:1"): "lost"}, "xpu:0"),
        ({CUDA: "no kernel image", torch.device("cuda:1"): "lost", XPU: "wrong"}, "cpu"),
    ],
)
def test_auto_takes_the_first_gpu_that_works_and_names_the_others(monkeypatch, problems, expected):
    list_gpus(monkeypatch, cuda=2, xpu=1)
    answer(monkeypatch, problems)
    device, note = find_device()
    assert str(device) == expected
    assert all(f"{one} does not work ({problem})" in note for one, problem in problems.items())
    assert bool(note) is bool(problems)


@pytest.mark.parametrize("name", ["cuda", "cuda:3", "xpu", "mps"])
def test_a_device_that_is_not_there_is_refused_with_what_is(monkeypatch, name):
    list_gpus(monkeypatch, cuda=1)
    answer(monkeypatch, {})
    if name == "cuda":
        assert find_device(name) == (CUDA, "")
        return
    monkeypatch.undo()
    list_gpus(monkeypatch, cuda=1)
    with pytest.raises(DeviceError, match=r"PyTorch finds no .*, only cuda:0; use --device cpu"):
        find_device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda0", "mps:0", "mps:1", "CPU", "cuda:-1", "tpu"])
def test_unknown_names_are_refused_with_those_that_exist(name):
    with pytest.raises(DeviceError, match=r"unknown; use auto, cpu, cuda, cuda:K, xpu, xpu:K or mps"):
        find_device(name)


def test_operations_that_run_on_the_cpu_instead_are_named_every_time(monkeypatch):
    """PyTorch says so once in a process, with these words."""
    list_gpus(monkeypatch, mps=1)
    monkeypatch.setattr(devices, "_fallbacks", {})
    said = iter(["aten::grid_sampler_2d_backward", "aten::upsample_bilinear2d.out"])

    def slowly(device: torch.device) -> torch.Tensor:
        if device.type == "mps":
            for name in said:
                words = f"The operator '{name}' is not currently supported on the MPS backend and will fall back"
                warnings.warn(f"{words} to run on the CPU. This may have performance implications.", stacklevel=1)
        return torch.ones(16, 8, 3, 3)

    monkeypatch.setattr(devices, "small_gradient", slowly)
    for _ in range(2):
        device, note = find_device()
        assert device == MPS
        assert note == "mps lacks operations, which run on the CPU: grid_sampler_2d_backward, upsample_bilinear2d.out"
    monkeypatch.setattr(devices, "memory_gb", lambda _device: (16.0, 12.0))
    report = doctor.examine()
    assert report.devices[1].note == note and note in report.advice and report.devices[1].name == "Apple GPU"


@pytest.mark.parametrize(
    ("gap", "problem"), [(0.0, ""), (1e-3, ""), (0.1, "gradients differ"), (float("nan"), "gradients differ")]
)
def test_a_gpu_that_computes_something_else_does_not_work(monkeypatch, gap, problem):
    list_gpus(monkeypatch, xpu=1)
    real = devices.small_gradient(torch.device("cpu"))
    monkeypatch.setattr(devices, "small_gradient", lambda device: real * (1 + gap) if device.type == "xpu" else real)
    assert kernel_problem(XPU).startswith(problem) and bool(kernel_problem(XPU)) is bool(problem)


def test_a_gpu_without_an_operation_does_not_work(monkeypatch):
    list_gpus(monkeypatch, mps=1)

    def fail(device: torch.device) -> torch.Tensor:
        raise NotImplementedError("The operator 'aten::x' is not currently implemented for the MPS device.\nMore words")

    monkeypatch.setattr(devices, "small_gradient", fail)
    assert kernel_problem(MPS) == "The operator 'aten::x' is not currently implemented for the MPS device."


def test_the_probe_tolerates_the_rounding_of_a_gpu_but_no_wrong_value(monkeypatch):
    """TF32 has 10 bits: an error of 5e-4 must not change which pixel of a pool gets a gradient."""
    exact, convolve = devices.small_gradient(torch.device("cpu")), devices.conv2d

    def rounded(*args, **kwargs):
        maps = convolve(*args, **kwargs)
        return maps * (1 + scale * torch.randn(maps.shape, generator=torch.Generator().manual_seed(3)))

    monkeypatch.setattr(devices, "conv2d", rounded)
    gaps = []
    for scale in (5e-4, 0.1):  # noqa: B007  read by the function above
        gaps.append(float((devices.small_gradient(torch.device("cpu")) - exact).abs().max() / exact.abs().max()))
    assert gaps[0] < devices.TOLERANCE < gaps[1]


def test_memory_of_gpus_is_what_their_kind_tells(monkeypatch):
    gib = 2**30
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 10 * gib)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 2 * gib)
    monkeypatch.setattr(torch.xpu, "mem_get_info", lambda _device: (3 * gib, 4 * gib))
    monkeypatch.setattr(torch.xpu, "max_memory_allocated", lambda _device: gib)
    assert memory_gb(MPS) == (10.7, 8.6) and peak_memory_mib(MPS) == 2048
    assert memory_gb(XPU) == (4.3, 3.2) and peak_memory_mib(XPU) == 1024

    def unknown(_device: torch.device) -> tuple[int, int]:
        raise RuntimeError("The device does not support querying the available free memory")

    monkeypatch.setattr(torch.xpu, "mem_get_info", unknown)
    assert memory_gb(XPU) == (None, None)


def test_feature_maps_have_the_usual_layout_on_apple_gpus_alone():
    assert memory_format(MPS) == torch.contiguous_format
    assert {memory_format(one) for one in (torch.device("cpu"), CUDA, XPU)} == {torch.channels_last}


def test_apple_gpus_may_fall_back_to_the_cpu_in_the_processes_of_this_package(tmp_path):
    script = (
        "import leuda_core.cli as c, os, sys; c.main(['--version']); print(os.environ['PYTORCH_ENABLE_MPS_FALLBACK'])"
    )
    for given, expected in ((None, "1"), ("0", "0")):
        environment = {name: value for name, value in os.environ.items() if name != "PYTORCH_ENABLE_MPS_FALLBACK"}
        environment |= {"PYTHONPATH": str(ROOT)} | ({"PYTORCH_ENABLE_MPS_FALLBACK": given} if given else {})
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.split()[-1] == expected

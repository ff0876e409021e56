"""Segmenting where memory or a device fails: with smaller batches, on the CPU, or a clear word; never a crash."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from leuda_core import devices
from leuda_core.devices import find_device, is_out_of_memory
from leuda_core.errors import Cancelled, DeviceError, MemoryShortage, as_leuda_error
from leuda_core.networks.unet import UNet
from leuda_core.prediction import runner
from leuda_core.prediction import segmenter as segmenter_module
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import Label, Task
from repository import ROOT
from stand_ins import AXIAL, NO_MEMORY, Hungry, Threshold, blob, expected_threshold, task


@pytest.mark.parametrize(
    "error", [RuntimeError(NO_MEMORY), MemoryError(), torch.cuda.OutOfMemoryError("CUDA out of memory")]
)
def test_out_of_memory_halves_the_batch_and_says_so(error: Exception) -> None:
    volume, network = blob((40, 36, 9), AXIAL), Hungry()
    network.error = error
    segmenter = SliceSegmenter(network, task(1.0), device="cpu", batch_size=4, precision="float32")
    prediction = segmenter(volume)
    assert np.array_equal(prediction.label_map.data > 0, expected_threshold(volume))
    assert [note for note in prediction.notes if "4 slices" in note] and "with 1" in prediction.notes[-1]


def test_no_memory_for_one_slice_is_a_clean_error() -> None:
    network = Hungry()
    network.limit = 0
    with pytest.raises(DeviceError, match=r"36 x 40"):
        SliceSegmenter(network, task(1.0), device="cpu", precision="float32")(blob((40, 36, 3), AXIAL))


def test_other_errors_are_not_swallowed() -> None:
    network = Hungry()
    network.limit, network.error = 0, RuntimeError("sizes do not match")
    with pytest.raises(RuntimeError, match="sizes do not match"):
        SliceSegmenter(network, task(1.0), device="cpu", precision="float32")(blob((40, 36, 3), AXIAL))


def test_a_gpu_that_fails_or_is_full_gives_way_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device stands in for a GPU: it accepts the work and cannot deliver a result."""
    monkeypatch.setattr("leuda_core.prediction.runner.find_device", lambda name: (torch.device("meta"), ""))
    monkeypatch.setitem(runner.PIXELS_AT_ONCE, "meta", 1024)
    volume = blob((40, 36, 3), AXIAL)
    segmenter = SliceSegmenter(Threshold(), task(1.0), precision="float32")
    prediction = segmenter(volume)
    assert prediction.device == "cpu"
    assert "meta failed" in prediction.notes[0] and "CPU" in prediction.notes[0]
    assert np.array_equal(prediction.label_map.data > 0, expected_threshold(volume))


def test_a_model_too_large_for_the_gpu_goes_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    placed, place = [], SliceSegmenter._place

    def full(self: SliceSegmenter) -> None:
        placed.append(str(self.device))
        if self.device.type != "cpu":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        place(self)

    monkeypatch.setattr("leuda_core.prediction.runner.find_device", lambda name: (torch.device("cuda:0"), ""))
    monkeypatch.setattr(SliceSegmenter, "_place", full)
    prediction = SliceSegmenter(Threshold(), task(1.0))(blob((40, 36, 3), AXIAL))
    assert placed == ["cuda:0", "cpu"] and prediction.device == "cpu"
    assert "not enough memory on cuda:0 for the model" in prediction.notes[0]


def test_a_gpu_without_kernels_is_passed_over_visibly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(devices, "kernel_problem", lambda device: "no kernel image is available")
    device, note = find_device("auto")
    assert device.type == "cpu" and "no kernel image" in note
    segmenter = SliceSegmenter(Threshold(), task(1.0))
    assert "no kernel image" in segmenter(blob((40, 36, 2), AXIAL)).notes[0]
    with pytest.raises(DeviceError, match="cuda"):
        SliceSegmenter(Threshold(), task(1.0), device="cuda:0")


@pytest.mark.parametrize(("change", "differs"), [(1.0, False), (1.02, False), (1.5, True), (float("nan"), True)])
def test_a_network_that_answers_otherwise_on_the_device_is_noticed(change: float, differs: bool) -> None:
    network = UNet(n_classes=3, base_channels=4)
    known = Task(labels=(Label(1, "a"), Label(2, "b")), spacing_mm=1.0, patch_size=48)
    segmenter = SliceSegmenter(network, known, device="cpu")
    for weights in segmenter._network.head.parameters():
        weights.data *= change
    assert segmenter._differs() is differs


def test_a_gpu_that_computes_wrong_values_gives_way_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leuda_core.prediction.runner.find_device", lambda name: (torch.device("meta"), ""))
    monkeypatch.setattr(SliceSegmenter, "_differs", lambda self: self.device.type == "meta")
    volume = blob((40, 36, 3), AXIAL)
    prediction = SliceSegmenter(Threshold(), task(1.0), precision="float32")(volume)
    assert prediction.device == "cpu"
    assert prediction.notes == ("meta computes something else than the CPU: the CPU was used",)
    assert np.array_equal(prediction.label_map.data > 0, expected_threshold(volume))


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16, None])
def test_half_precision_is_used_where_the_hardware_has_it(
    monkeypatch: pytest.MonkeyPatch, half: torch.dtype | None
) -> None:
    class Spy(Threshold):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)
            return super().forward(images)

    monkeypatch.setattr(runner, "half_precision", lambda device: half)
    monkeypatch.setattr(SliceSegmenter, "_differs", lambda self: False)
    seen: list[torch.dtype | None] = []
    SliceSegmenter(Spy(), task(1.0), device="cpu")(blob((40, 36, 3), AXIAL))
    assert seen and set(seen) == {half}


@pytest.mark.parametrize(
    ("kind", "bfloat16", "expected"),
    [
        ("cuda", True, torch.bfloat16),
        ("cuda", False, torch.float16),
        ("xpu", False, None),
        ("cpu", False, None),
        ("mps", False, None),
    ],
)
def test_only_gpus_of_nvidia_have_float16_instead(
    monkeypatch: pytest.MonkeyPatch, kind: str, bfloat16: bool, expected: torch.dtype | None
) -> None:
    monkeypatch.setattr(devices, "has_bf16", lambda device: bfloat16)
    assert devices.half_precision(torch.device(kind)) == expected


@pytest.mark.parametrize("overflows", [False, True])
def test_a_model_that_overflows_in_float16_segments_in_float32(
    monkeypatch: pytest.MonkeyPatch, overflows: bool
) -> None:
    network = UNet(n_classes=3, base_channels=4)
    if overflows:
        for weights in network.head.parameters():
            weights.data *= 1e6
    monkeypatch.setattr(runner, "half_precision", lambda device: torch.float16)
    known = Task(labels=(Label(1, "a"), Label(2, "b")), spacing_mm=1.0, patch_size=48)
    segmenter = SliceSegmenter(network, known, device="cpu")
    told = [note for note in segmenter.notes if note.startswith("float16 is too coarse")]
    assert bool(told) is overflows
    assert bool(torch.isfinite(segmenter.logits(torch.rand(1, 1, 48, 48))).all())


SHORTAGES = [
    "CUDA out of memory. Tried",
    NO_MEMORY,
    "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: not enough memory: you tried to allocate 7 bytes",
    "can't start new thread",
    "could not create a primitive",
    "Failed to allocate memory for image.",
    "CUDA error: cudaErrorMemoryAllocation",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "std::bad_alloc",
    "bad allocation",
]
OTHERS = ["oops", "could not create a primitive descriptor for a convolution", "sizes of tensors must match"]


@pytest.mark.parametrize("words", [*SHORTAGES, *OTHERS])
def test_out_of_memory_is_recognised(words: str) -> None:
    assert is_out_of_memory(RuntimeError(words)) is (words in SHORTAGES)
    assert not is_out_of_memory(ValueError(words))
    known = as_leuda_error(RuntimeError(words))
    assert known.kind == ("device" if words in SHORTAGES else "fault") and known.remedy


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (ImportError("libtorch.so: failed to map segment from shared object"), True),
        (OSError(errno.ENOENT, "out of memory.txt"), False),
    ],
)
def test_out_of_memory_of_the_system_is_recognised(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
    assert (as_leuda_error(error).kind == "device") is expected


@pytest.mark.parametrize("most", [0, 1])
def test_without_threads_it_goes_on_with_fewer(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        if thread.name.startswith("segment"):
            if sum(other.is_alive() for other in started) >= most:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    volume = blob((40, 36, 9), AXIAL)
    segmenter = SliceSegmenter(Threshold(), task(1.0), device="cpu", workers=3, batch_size=1, precision="float32")
    prediction = segmenter(volume)
    assert np.array_equal(prediction.label_map.data > 0, expected_threshold(volume))
    assert "thread" in prediction.notes[-1] and segmenter(volume, should_stop=lambda: False)
    with pytest.raises(Cancelled):
        segmenter(volume, should_stop=lambda: True)


def test_memory_for_the_volume_itself_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*args: object, **options: object) -> None:
        raise MemoryError("Unable to allocate 3 GiB")

    monkeypatch.setattr(segmenter_module, "SliceJob", short)
    with pytest.raises(MemoryShortage, match="to segment the volume"):
        SliceSegmenter(Threshold(), task(1.0), device="cpu")(blob((40, 36, 3), AXIAL))


# In a process of its own. Less address space is left than the arrays of the volume need: with more, the kernels of
# oneDNN or the threads of OpenMP may meet the limit first, and these libraries then end the process by themselves.
LIMITED = """
import resource
import numpy as np
from leuda_core.errors import MemoryShortage
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import Label, Task, Volume
task = Task((Label(1, "ring"),), spacing_mm=1.0, patch_size=32)
volume = Volume(np.random.default_rng(0).normal(size=(384, 384, 3)).astype(np.float32), np.eye(4))
network = Predictor(PredictorSpec(n_classes=2, base_channels=4))
segmenter = SliceSegmenter(network, task, device="cpu", workers=2, precision="float32")
size = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize"))
limit = (size << 10) + (1 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    segmenter(volume)
except MemoryShortage as error:
    print(error.remedy)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
def test_a_process_with_little_memory_ends_with_a_clear_error() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LIMITED]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "more memory" in done.stdout, done.stderr

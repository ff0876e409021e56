"""Segmenting where memory or a device fails: with smaller batches, on the CPU, or a clear word; never a crash."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from leuda_core import devices
from leuda_core.devices import find_device, is_out_of_memory
from leuda_core.errors import DeviceError
from leuda_core.prediction import segmenter as segmenter_module
from leuda_core.prediction.segmenter import SliceSegmenter
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
    monkeypatch.setattr("leuda_core.prediction.segmenter.find_device", lambda name: (torch.device("meta"), ""))
    monkeypatch.setitem(segmenter_module.PIXELS_AT_ONCE, "meta", 1024)
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

    monkeypatch.setattr("leuda_core.prediction.segmenter.find_device", lambda name: (torch.device("cuda:0"), ""))
    monkeypatch.setattr(SliceSegmenter, "_place", full)
    prediction = SliceSegmenter(Threshold(), task(1.0))(blob((40, 36, 3), AXIAL))
    assert placed == ["cuda:0", "cpu"] and prediction.device == "cpu"
    assert "not enough memory on cuda:0 for the model" in prediction.notes[0]


def test_a_gpu_without_kernels_is_passed_over_visibly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(devices, "kernel_problem", lambda device: "no kernel image is available")
    device, note = find_device("auto")
    assert device.type == "cpu" and "no kernel image" in note
    segmenter = SliceSegmenter(Threshold(), task(1.0))
    assert "no kernel image" in segmenter(blob((40, 36, 2), AXIAL)).notes[0]
    with pytest.raises(DeviceError, match="cuda"):
        SliceSegmenter(Threshold(), task(1.0), device="cuda:0")


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_used_where_the_hardware_has_it(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    class Spy(Threshold):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().forward(images)

    seen: list[bool] = []
    monkeypatch.setattr(segmenter_module, "has_bf16", lambda device: native)
    SliceSegmenter(Spy(), task(1.0), device="cpu")(blob((40, 36, 3), AXIAL))
    assert seen and set(seen) == {native}


@pytest.mark.parametrize(
    ("words", "expected"), [("CUDA out of memory. Tried", True), (NO_MEMORY, True), ("oops", False)]
)
def test_out_of_memory_is_recognised(words: str, expected: bool) -> None:
    assert is_out_of_memory(RuntimeError(words)) is expected
    assert not is_out_of_memory(ValueError(words))

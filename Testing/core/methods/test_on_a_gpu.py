"""Every step of every method on a stand-in for a GPU: PyTorch's ``meta`` device, which has tensors without values.

It refuses what makes a GPU wait (reading a value) and what mixes devices. What it computes is not seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from leuda_core.blocks.counters import Counting
from leuda_core.config import make_config
from leuda_core.methods import METHODS
from leuda_core.methods.base import Method
from leuda_core.methods.cyclegan import TranslatingMethod
from leuda_core.training.loop import to_device
from leuda_core.types import Batch
from tiny_data import tiny_loader, write_dataset

WAITS = {
    ("self_training", "train"): "it reads how many pixels of each structure were found, once",
    ("histogram_matching", "train"): "scikit-image matches histograms on the CPU",
    ("adabn", "statistics"): "batch norm without a momentum reads how many batches it has seen",
}


class Widest(TorchDispatchMode):
    """Notes the operations that return float64, which Apple's GPUs do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        many = result if isinstance(result, tuple | list) else [result]
        if any(isinstance(one, Tensor) and one.dtype == torch.float64 for one in many):
            self.found.add(str(func))
        return result


@pytest.fixture(scope="module", params=METHODS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Method, Batch]:
    """A method on the stand-in, and a batch as the loader draws it."""
    name = request.param
    kind = METHODS[name]
    small: dict[str, object] = {"base_channels": 4, "patch_size": 48, "batch_size": 2, "unlabelled_batch_size": 2}
    if issubclass(kind, TranslatingMethod):
        small |= {"translator_channels": 4, "translator_blocks": 1}
    small |= {key: 2 for key in kind.Config.__struct_fields__ if key.endswith("_steps")}
    settings = make_config(kind.Config, small)
    folder = tmp_path_factory.mktemp(name)
    loader, task = tiny_loader(write_dataset(folder), folder / "cache", settings)
    method = kind(task, settings)
    method.train().to("meta")
    method.teacher.eval()
    labels = {"target_labels": torch.zeros(2, 48, 48, dtype=torch.long)} if method.reads_target_labels else {}
    return name, method, replace(loader.batch(0), **labels)


def test_no_step_waits_for_the_gpu_or_needs_float64(
    made: tuple[str, Method, Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, method, batch = made
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _kind: False)  # unknown for the stand-in
    for phase in method.phases(3):
        with Widest() as widest:
            moved = to_device(batch, torch.device("meta"))
            if (name, phase.name) in WAITS:
                with pytest.raises((RuntimeError, NotImplementedError), match=r"meta tensor|aten::bincount"):
                    phase.step(moved, 0.5)
                continue
            losses = phase.step(moved, 0.9)
        assert losses and all(loss.device.type == "meta" for loss in losses.values())
        assert not widest.found


def test_counters_stay_on_the_cpu_and_count(made: tuple[str, Method, Batch]) -> None:
    _, method, _ = made
    counted = [one for module in method.modules() if isinstance(module, Counting) for one in module._buffers.values()]
    assert any(one is not None and one.device.type == "cpu" for one in counted)
    assert method.updates.device.type == "cpu" and method.updates.dtype == torch.long
    assert all(one.device.type == "meta" for one in method.parameters())

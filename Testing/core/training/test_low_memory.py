"""A training that runs out of memory says so, and goes on when there is more."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from leuda_core.cli import main
from leuda_core.errors import InputError, MemoryShortage
from leuda_core.methods.controls.source_only import SourceOnly
from leuda_core.runs.folder import Run
from leuda_core.runs.state import status
from leuda_core.training.run import resume, train
from stand_ins import NO_MEMORY

SMALL = {"base_channels": 4, "patch_size": 32, "batch_size": 1, "unlabelled_batch_size": 1}
SHORTAGES = [
    RuntimeError(NO_MEMORY),
    RuntimeError("could not create a primitive"),
    RuntimeError("can't start new thread"),
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    MemoryError(),
    OSError(12, "Cannot allocate memory"),
]


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda error: type(error).__name__)
def test_too_little_memory_is_told_and_the_run_stays(
    error: Exception, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object) -> None:
        raise error

    monkeypatch.setattr(SourceOnly, "training_step", short)
    run = Run(tmp_path / "run")
    with pytest.raises(MemoryShortage, match="not enough memory for the training") as caught:
        train(tiny_dataset, "source_only", run.path, steps=1, device="cpu", settings=SMALL)
    assert "leuda resume" in caught.value.remedy and caught.value.kind == "device"
    assert status(run).state == "failed" and "not enough memory" in status(run).message
    monkeypatch.undo()
    assert resume(run).bundle.is_dir()


def test_the_command_line_tells_it(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def short(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("leuda_core.training.loop.Training", short)
    monkeypatch.setattr("leuda_core.training.run.Training", short)
    words = ["train", str(tiny_dataset), "--method", "source_only", "--out", str(tmp_path / "run"), "--steps", "1"]
    assert main(words) == 2
    assert "not enough memory" in capsys.readouterr().err
    with pytest.raises(InputError):  # the run is there
        train(tiny_dataset, "source_only", tmp_path / "run", steps=1)

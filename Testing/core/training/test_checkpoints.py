"""Checkpoints: any damage is noticed, the one before serves, and what does not fit is refused."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import leuda_core
from leuda_core.errors import InputError
from leuda_core.methods.controls.source_only import SourceOnly
from leuda_core.runs.folder import Run
from leuda_core.runs.state import status
from leuda_core.training.checkpoints import read_checkpoint, restore_newest, save_checkpoint
from leuda_core.training.identity import take_state
from leuda_core.training.run import create_run, resume, train
from leuda_core.types import Label, Task
from stopped_runs import stop_at

CPU = torch.device("cpu")
SMALL = {"base_channels": 4, "patch_size": 32, "batch_size": 1, "unlabelled_batch_size": 1}
WEIGHTS = "model.safetensors"


def state(step: int) -> dict[str, Any]:
    return {"step": step, "networks": {"w": torch.full((8,), float(step))}, "optimizers": {}}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with the checkpoints of steps 1 and 2."""
    run = Run(tmp_path / "run")
    for step in (1, 2):
        save_checkpoint(run, state(step))
    return run


def restored(run: Run) -> tuple[int, str]:
    return restore_newest(run, lambda _: None, CPU)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# damage


def test_no_bit_and_no_cut_goes_unnoticed(run: Run) -> None:
    data = run.checkpoint.read_bytes()
    rng = random.Random(0)
    damaged = [data[:size] for size in (*range(0, 100, 7), *rng.sample(range(len(data)), 60))]
    damaged += [flipped(data, bit) for bit in (*range(0, 90 * 8, 5), *rng.sample(range(len(data) * 8), 200))]
    for content in [*damaged, data + b"\0"]:
        run.checkpoint.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read") as caught:
            read_checkpoint(run.checkpoint, CPU)
        assert "train again into a new folder" in caught.value.remedy


def test_damage_of_a_checkpoint_without_checksum_is_noticed_or_harmless(tmp_path: Path) -> None:
    """Version 0.1.0 wrote zip files, in which some bytes mean nothing."""
    path = tmp_path / "checkpoint-last.pt"
    torch.save(state(7), path)
    data = path.read_bytes()
    assert read_checkpoint(path, CPU)["step"] == 7
    rng = random.Random(0)
    damaged = [flipped(data, bit) for bit in rng.sample(range(len(data) * 8), 200)]
    damaged += [data[:size] for size in rng.sample(range(len(data)), 50)]
    noticed = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            found = read_checkpoint(path, CPU)
        except InputError:
            noticed += 1
        else:
            assert found["step"] == 7 and torch.equal(found["networks"]["w"], state(7)["networks"]["w"])
    assert noticed > 100


def _resaved(run: Run, content: object) -> None:
    torch.save(content, run.checkpoint)


def _as_folder(run: Run) -> None:
    run.checkpoint.unlink()
    run.checkpoint.mkdir()


DAMAGE: dict[str, Callable[[Run], object]] = {
    "empty": lambda run: run.checkpoint.write_bytes(b""),
    "text": lambda run: run.checkpoint.write_bytes(b"<html>" * 1000),
    "a folder": _as_folder,
    "a flipped bit": lambda run: run.checkpoint.write_bytes(flipped(run.checkpoint.read_bytes(), 4000)),
    "no weights": lambda run: _resaved(run, [1, 2]),
    "no step": lambda run: _resaved(run, {"networks": {}, "optimizers": {}}),
    "no networks": lambda run: _resaved(run, {"step": 2, "optimizers": {}}),
    "an object": lambda run: _resaved(run, {**state(2), "more": Path("x")}),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_newest_one_falls_back_to_the_one_before(run: Run, name: str) -> None:
    DAMAGE[name](run)
    step, problem = restored(run)
    assert step == 1 and str(run.checkpoint) in problem and "cannot be read" in problem
    assert restored(run) == (1, ""), "it has taken the place of the newest"
    save_checkpoint(run, state(3))
    assert read_checkpoint(run.checkpoint_before, CPU)["step"] == 1, "the damaged one did not replace it"
    assert (run.path / "checkpoint-damaged.pt").exists()


@pytest.mark.parametrize("name", DAMAGE)
def test_two_damaged_ones_are_refused_and_kept(run: Run, name: str) -> None:
    DAMAGE[name](run)
    run.checkpoint_before.write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="checkpoint-last"):
        restored(run)
    assert run.checkpoint.exists() and run.checkpoint_before.exists()


def test_a_missing_newest_one_is_replaced_by_the_one_before(run: Run) -> None:
    run.checkpoint.unlink()  # as after a kill between the two renames
    assert restored(run) == (1, "checkpoint-last.pt is missing")
    assert restored(run) == (1, "")


def test_no_more_than_two_are_kept(run: Run) -> None:
    for step in range(3, 9):
        save_checkpoint(run, state(step))
    assert sorted(path.name for path in run.path.iterdir()) == ["checkpoint-last.pt", "checkpoint-previous.pt"]
    assert restored(run) == (8, "")


# what does not fit


def method(**settings: Any) -> SourceOnly:
    task = Task((Label(1, "a"),), spacing_mm=1.0, patch_size=32)
    return SourceOnly(task, SourceOnly.Config(base_channels=4, **settings))


IDENTITY = {"method": "source_only", "seed": 0, "steps": 9, "settings": {"learning_rate": 0.1}, "data": "d"}


def whole_state() -> dict[str, Any]:
    return {"step": 3, "run": IDENTITY, **method().checkpoint()}


def _without(state: dict[str, Any], *keys: Any) -> None:
    *path, last = keys
    for key in path:
        state = state[key]
    del state[last]


def _set(state: dict[str, Any], value: object, *keys: Any) -> None:
    *path, last = keys
    for key in path:
        state = state[key]
    state[last] = value


GROUP = ("optimizers", "segmenter", "param_groups", 0)
MOMENT = {"step": torch.tensor(1.0), "exp_avg": torch.zeros(1), "exp_avg_sq": torch.zeros(1)}
NAME, WEIGHT = next(iter(method().segmenter.named_parameters(prefix="segmenter")))
WEIGHT = WEIGHT.detach()
COMPLEX = WEIGHT.to(torch.complex64)
MOMENTS = {"step": torch.tensor(1.0), "exp_avg": WEIGHT, "exp_avg_sq": WEIGHT**2}
MISFITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a later step": (lambda s: _set(s, 10, "step"), "step 10"),
    "a negative step": (lambda s: _set(s, -1, "step"), "step -1"),
    "a missing weight": (lambda s: s["networks"].popitem(), "does not fit"),
    "a missing optimiser": (lambda s: s["optimizers"].clear(), "does not fit"),
    "an optimiser without groups": (lambda s: _without(s, *GROUP[:3]), "does not fit"),
    "no learning rate": (lambda s: _without(s, *GROUP, "lr"), "does not fit"),
    "betas of another kind": (lambda s: _set(s, None, *GROUP, "betas"), "does not fit"),
    "betas of another method": (lambda s: _set(s, (0.5, 2.0), *GROUP, "betas"), "does not fit"),
    "an endless learning rate": (lambda s: _set(s, math.inf, *GROUP, "lr"), "does not fit"),
    "complex weights": (lambda s: _set(s, COMPLEX, "networks", NAME), "complex64"),
    "sparse weights": (lambda s: _set(s, WEIGHT.to_sparse(), "networks", NAME), "sparse"),
    "weights without values": (lambda s: _set(s, WEIGHT.to("meta"), "networks", NAME), "on meta"),
    "weights that share their memory": (lambda s: _set(s, WEIGHT[:1].expand_as(WEIGHT), "networks", NAME), "strides"),
    "complex moments": (lambda s: _set(s, {0: {**MOMENTS, "exp_avg": COMPLEX}}, *GROUP[:2], "state"), "complex64"),
    "a step for each weight": (
        lambda s: _set(s, {0: {**MOMENTS, "step": WEIGHT}}, *GROUP[:2], "state"),
        "does not fit",
    ),
    "a complex step": (lambda s: _set(s, {0: {**MOMENTS, "step": 1j}}, *GROUP[:2], "state"), "does not fit"),
    "a negative step of Adam": (lambda s: _set(s, {0: {**MOMENTS, "step": -1}}, *GROUP[:2], "state"), "'step' is -1"),
    "moments of another shape": (lambda s: _set(s, {0: MOMENT}, *GROUP[:2], "state"), "does not fit"),
    "half of the moments": (lambda s: _set(s, {0: {"exp_avg": 1}}, *GROUP[:2], "state"), "does not fit"),
    "another method": (lambda s: _set(s, {**IDENTITY, "method": "x"}, "run"), "method='x'"),
    "another seed": (lambda s: _set(s, {**IDENTITY, "seed": 7}, "run"), "seed=7"),
    "another length": (lambda s: _set(s, {**IDENTITY, "steps": 8}, "run"), "steps=8"),
    "another setting": (lambda s: _set(s, {**IDENTITY, "settings": {"learning_rate": 1}}, "run"), "learning_rate=1"),
    "other data": (lambda s: _set(s, {**IDENTITY, "data": "e"}, "run"), "other volumes"),
    "a setting that is a tensor": (lambda s: _set(s, {**IDENTITY, "seed": WEIGHT}, "run"), "seed=tensor"),
    "a step that is a truth": (
        lambda s: _set(s, {0: {**MOMENTS, "step": torch.tensor(True)}}, *GROUP[:2], "state"),
        "'step' is True",
    ),
    "no run": (lambda s: _set(s, 5, "run"), "does not name its run"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_checkpoint_of_another_run_is_refused(name: str) -> None:
    change, words = MISFITS[name]
    found = whole_state()
    take_state(method(), whole_state(), belongs_to=IDENTITY, total=9)
    change(found)
    with pytest.raises(InputError, match=words) as caught:
        take_state(method(), found, belongs_to=IDENTITY, total=9)
    assert "train again into a new folder" in caught.value.remedy


def test_networks_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="does not fit"):
        take_state(method(), {"step": 3, **method_of_8().checkpoint()}, belongs_to=IDENTITY, total=9)


def method_of_8() -> SourceOnly:
    return SourceOnly(method().task, SourceOnly.Config(base_channels=8))


# real runs


@pytest.fixture(scope="module")
def stopped(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped at step 4 of 6, with checkpoints of steps 2 and 4, and the weights of the whole run."""
    folder = tmp_path_factory.mktemp("runs")
    options = {"steps": 6, "settings": SMALL, "checkpoint_every": 2, "device": "cpu"}
    whole = train(tiny_dataset, "source_only", folder / "whole", **options)
    shutil.copy(whole.bundle / WEIGHTS, folder / WEIGHTS)
    run = create_run(tiny_dataset, "source_only", folder / "run", **options)
    stop_at(run, 4)
    return folder


@pytest.mark.slow
def test_after_a_fallback_the_weights_are_those_of_the_undisturbed_run(stopped: Path, tmp_path: Path) -> None:
    run = Run(shutil.copytree(stopped / "run", tmp_path / "run"))
    data = run.checkpoint.read_bytes()
    run.checkpoint.write_bytes(flipped(data, len(data) * 4))
    resume(run)
    assert (run.bundle / WEIGHTS).read_bytes() == (stopped / WEIGHTS).read_bytes()
    of_the_start = [one["message"] for one in status(run).warnings if not one["kind"]]  # not of the model
    assert len(of_the_start) == 1 and "of step 2" in of_the_start[0] and status(run).state == "finished"


@pytest.mark.slow
def test_a_run_without_its_checkpoints_starts_again_and_says_so(stopped: Path, tmp_path: Path) -> None:
    run = Run(shutil.copytree(stopped / "run", tmp_path / "run"))
    run.checkpoint.unlink()
    run.checkpoint_before.unlink()
    resume(run)
    assert (run.bundle / WEIGHTS).read_bytes() == (stopped / WEIGHTS).read_bytes()
    assert "starts again from the beginning" in status(run).warnings[0]["message"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), [("method", "mean_teacher"), ("seed", 3), ("base_channels", 8)])
def test_a_changed_run_file_is_refused(stopped: Path, tmp_path: Path, name: str, value: object) -> None:
    run = Run(shutil.copytree(stopped / "run", tmp_path / "run"))
    config = json.loads(run.config.read_text(encoding="utf-8"))
    (config["settings"] if name in config["settings"] else config)[name] = value
    run.config.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError, match=f"{name}="):
        leuda_core.resume(run)
    assert run.checkpoint.exists() and run.checkpoint_before.exists()

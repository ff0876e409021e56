"""Planning a training: figures from real steps, warnings that help, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from leuda_core.errors import DeviceError, InputError
from leuda_core.methods.base import Method
from leuda_core.training.plans import planning, probe
from leuda_core.training.plans.planning import Plan, make_plan
from refusals import Place, refuses, spoil
from repository import ROOT
from timing import allowed

TINY = {"base_channels": 4, "patch_size": 32, "batch_size": 2}


def plan(dataset: Path, method: str = "source_only", **options: object) -> Plan:
    settings = {**TINY, **options.pop("settings", {})}
    return make_plan(dataset, method, device="cpu", settings=settings, **options)


def messages(found: Plan) -> str:
    assert all(warning.message and warning.remedy for warning in found.warnings)
    return "\n".join(warning.message for warning in found.warnings)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_plan_counts_every_phase_and_leaves_nothing(tiny_dataset: Path, temporary: Path) -> None:
    before = sorted(tiny_dataset.parent.rglob("*"))
    told: list[tuple[int, int]] = []
    settings = {"translator_steps": 30, "translator_channels": 4, "translator_blocks": 1}
    found = plan(tiny_dataset, "le_uda", steps=20, settings=settings, on_step=lambda *x: told.append(x))
    assert found.device == "cpu" and found.steps == {"translate": 30, "train": 20}
    assert set(found.seconds_per_step) == {"translate", "train"} and min(found.seconds_per_step.values()) > 0
    work = sum(found.steps[name] * found.seconds_per_step[name] for name in found.steps)
    assert work <= found.seconds + 0.1 < work + 30
    assert found.labelled_slices == 12 and found.peak_memory_mib > 50
    assert told[0] == (1, 12) and told[-1] == (12, 12)
    assert not list(temporary.glob("leuda-*")) and sorted(tiny_dataset.parent.rglob("*")) == before
    assert json.loads(json.dumps(found.as_dict()))["warnings"] == []


def test_the_first_step_does_not_count(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It allocates and chooses kernels; here it takes a second longer."""
    step, calls = Method.training_step, []

    def slow_first(self: Method, batch: object, progress: float) -> object:
        calls.append(progress)
        time.sleep(1.0 if len(calls) == 1 else 0.02)
        return step(self, batch, progress)

    monkeypatch.setattr(Method, "training_step", slow_first)
    found = plan(tiny_dataset, steps=1000)
    assert len(calls) == 1 + len(probe.PLACES)
    assert 0.02 < found.seconds_per_step["train"] < 0.5 and found.seconds > 20


def test_losses_that_begin_late_count_for_their_share(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Method.training_step

    def slow_later(self: Method, batch: object, progress: float) -> object:
        time.sleep(0.5 if progress >= 0.4 else 0.0)
        return step(self, batch, progress)

    monkeypatch.setattr(Method, "training_step", slow_later)
    assert 0.3 < plan(tiny_dataset, steps=1000).seconds_per_step["train"] < 0.45


def test_preparing_all_volumes_is_counted(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = probe.SliceLoader

    def slow(dataset: object, *args: object, **options: object) -> object:
        assert [len(domain.cases) for domain in (dataset.source, dataset.target)] == [1, 1]
        time.sleep(0.5)
        return loader(dataset, *args, **options)

    monkeypatch.setattr(probe, "SliceLoader", slow)
    assert 1.25 < plan(tiny_dataset, steps=1).seconds < allowed(10)  # five cases like the two that were prepared


def test_a_plan_needs_a_labelled_case_even_if_it_is_not_the_first(place: Place) -> None:
    place.edit(lambda document: document["source"]["cases"].insert(0, document["source"]["cases"].pop()))
    assert plan(place.dataset).labelled_slices == 12


def test_target_labels_are_counted_where_they_are_learnt_from(place: Place) -> None:
    with pytest.raises(InputError, match="no target slice is labelled"):
        plan(place.dataset, "target_supervised")

    def label(document: dict) -> None:
        (case,) = document["test"].pop("target")
        document["target"]["cases"].append({**case, "labelled_slices": [2, 3]})

    place.edit(label)
    assert plan(place.dataset, "target_supervised").labelled_slices == 2
    assert plan(place.dataset, "source_only").labelled_slices == 12


# warnings


def test_few_labelled_slices(place: Place) -> None:
    def take_away(document: dict) -> None:
        first, second, _ = document["source"]["cases"]
        first["labelled_slices"] = [2, 3]
        del second["label"]

    place.edit(take_away)
    found = plan(place.dataset)
    assert found.labelled_slices == 2 and "only 2 slices are labelled" in messages(found)


@pytest.mark.parametrize(
    ("axes", "words"),
    [([0, 1], "pixels are 1.25 mm in size in the source and 3.75 mm in the target"), ([2], "slices are 8 mm apart")],
)
def test_spacing_far_apart(place: Place, axes: list[int], words: str) -> None:
    factors = np.ones(4)
    factors[axes] = 3.0
    for name in ("t0.nii.gz", "t1.nii.gz"):
        spoil(place.path(name), lambda data, affine: (data, affine * factors))
    assert words in messages(plan(place.dataset))


def test_long_without_a_gpu(tiny_dataset: Path) -> None:
    found = plan(tiny_dataset, steps=10_000_000)
    assert found.seconds > 3600 and "without a GPU this takes about" in messages(found)


def test_memory_close_to_what_is_free(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "memory_gb", lambda device: (1.0, 0.1))
    assert "0.1 GB are free" in messages(plan(tiny_dataset))
    monkeypatch.setattr(planning, "memory_gb", lambda device: (None, None))
    assert messages(plan(tiny_dataset)) == ""


def test_a_gpu_that_was_passed_over(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "find_device", lambda name: (torch.device("cpu"), "the GPU does not work (x)"))
    assert "the GPU does not work (x)" in messages(plan(tiny_dataset))


def test_a_step_that_does_not_fit_is_told(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(self: Method, batch: object, progress: float) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 12345 bytes")

    monkeypatch.setattr(Method, "training_step", hungry)
    with pytest.raises(DeviceError, match="not enough memory on cpu") as caught:
        plan(tiny_dataset)
    assert "batch_size" in caught.value.remedy


# the command


def test_the_command_tells_the_plan(place: Place) -> None:
    code, out, err = place.call([*place.command("plan"), "--json"])
    document = json.loads(out)
    assert code == 0 and document["steps"] == {"train": 1} and document["device"] == "cpu", err
    assert set(Plan.__dataclass_fields__) == set(document)
    code, out, _ = place.call(place.command("plan"))
    assert code == 0 and "12 labelled slices" in out and "train" in out


def _relabel(place: Place) -> None:
    spoil(place.path("s1_label.nii.gz"), lambda data, affine: (data + 7, affine))


WRONG: dict[str, tuple[Callable[[Place], object], list[str], tuple[str, ...]]] = {
    "method": (lambda place: None, ["--method", "magic"], ("'magic'",)),
    "setting": (lambda place: None, ["--set", "speed=1"], ("'speed'",)),
    "steps": (lambda place: None, ["--steps", "0"], ("steps=0",)),
    "device": (lambda place: None, ["--device", "tpu"], ("tpu",)),
    "no dataset": (lambda place: place.dataset.unlink(), [], ("dataset.json",)),
    "no volume": (lambda place: place.path("t1.nii.gz").unlink(), [], ("t1.nii.gz",)),
    "no label": (lambda place: place.path("s1_label.nii.gz").unlink(), [], ("s1_label.nii.gz",)),
    "unknown label": (_relabel, [], ("s1_label.nii.gz",)),
    "damaged volumes": (lambda place: [_damage(place, name) for name in ("s0", "s1")], [], ("s0.nii.gz",)),
}


def _damage(place: Place, name: str) -> None:
    place.path(f"{name}.nii.gz").write_bytes(b"no image")


@pytest.mark.parametrize("fault", WRONG)
def test_what_training_refuses_planning_does(fault: str, place: Place) -> None:
    spoilt, words, expected = WRONG[fault]
    spoilt(place)
    refuses(place, [*place.command("plan"), *words], expected)
    told = [place.call([*place.command(name), *words])[2] for name in ("plan", "train")]
    assert told[0] == told[1]


def test_a_case_that_the_training_leaves_out_is_a_warning(place: Place) -> None:
    _damage(place, "t0")
    code, out, _ = place.call(place.command("plan"))
    assert code == 0 and "case 't0'" in out and "leaves this case out" in out


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_terminated_in_the_middle_it_leaves_nothing(tiny_dataset: Path, tmp_path: Path) -> None:
    words = ["plan", str(tiny_dataset), "--method", "source_only", "--device", "cpu", "--set", "base_channels=64"]
    words += ["--set", "batch_size=64", "--set", "patch_size=256"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "leuda_core", *words]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("leuda-plan-*/*/image.npy")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(tmp_path.glob("leuda-*")), "it never began"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and out == b"" and b"cancelled" in err
    assert not list(tmp_path.glob("leuda-*"))


def test_the_warnings_of_a_plan_are_plain_values() -> None:
    found = Plan("cpu", 1.0, {"train": 1}, {"train": 1.0}, 1, 1)
    found = replace(found, warnings=(planning.PlanWarning("a", "b"),))
    assert found.as_dict()["warnings"] == ({"message": "a", "remedy": "b"},)

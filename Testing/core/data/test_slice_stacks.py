"""Slices with their neighbours: at the same distance in every volume, with their own labels, in either order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from leuda_core.config import MethodConfig
from leuda_core.data.batches import loaders
from leuda_core.data.batches.loaders import SliceLoader
from leuda_core.data.dataset import load_dataset
from leuda_core.data.geometry import plan_slices, stack_around
from leuda_core.data.tasks import make_task
from leuda_core.io.nifti import write_nifti
from leuda_core.types import IGNORE, Batch, Task
from tiny_data import tiny_loader

SETTINGS = MethodConfig(
    patch_size=32, batch_size=16, unlabelled_batch_size=16, augmentation="paper", spacing_mm=1.0, context=1
)
SLICES = 12

MEANS = [-0.3539, -0.216, -0.2377, -0.188, -0.2533, -0.1032, -0.1485, 0.2154]
RINGS = [272, 345, 331, 361]
"""Of a batch of version 0.1.0: mean intensities, and the pixels of a class in the labelled slices."""

Write = Callable[..., Path]


def write_case(path: Path, n_slices: int, step_mm: float, side: int = 32) -> None:
    """Write a volume whose slices are as bright as their number says, and labels with class 1 + number % 2."""
    numbers = np.arange(n_slices, dtype=np.uint8)
    affine = np.diag([1.0, 1.0, step_mm, 1.0])
    data = np.tile(numbers.astype(np.float32), (side, side, 1))
    data[0, 0] = n_slices  # a volume of one slice would be refused as constant
    write_nifti(data, affine, path)
    labels = np.broadcast_to(1 + numbers % 2, (side, side, n_slices))
    write_nifti(labels, affine, path.with_name(f"label_{path.name}"))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a dataset of volumes with the given numbers of slices and distances in mm."""

    def make(source: list[tuple[int, float]], target: list[tuple[int, float]], **first: object) -> Path:
        domains: dict[str, dict[str, list[dict[str, object]]]] = {}
        for role, volumes in (("source", source), ("target", target)):
            cases = domains.setdefault(role, {"cases": []})["cases"]
            for number, (n_slices, step_mm) in enumerate(volumes):
                name = f"{role}{number}.nii.gz"
                write_case(tmp_path / name, n_slices, step_mm)
                cases.append({"id": f"{role}{number}", "image": name, "label": f"label_{name}"})
        domains["source"]["cases"][0] |= first
        path = tmp_path / "dataset.json"
        path.write_text(json.dumps({"name": "d", "labels": {"1": "even", "2": "odd"}, **domains}), encoding="utf-8")
        return path

    return make


def make_loader(path: Path, settings: MethodConfig = SETTINGS, **options: bool) -> SliceLoader:
    dataset = load_dataset(path)
    return SliceLoader(dataset, make_task(dataset, settings), settings, path.parent / "prepared", **options)


def numbers(stacks: Tensor, n_slices: int) -> list[list[int]]:
    """Return which slices of ``write_case`` are in stacks."""
    centres = stacks[:, :, 16, 16]
    return ((centres + 1) / 2 * (n_slices - 1)).round().int().tolist()


def draw(loader: SliceLoader) -> Batch:
    torch.manual_seed(0)
    return loader.batch(0)


def test_neighbours_are_about_as_far_away_in_every_volume() -> None:
    thin, thick = (plan_slices((9, 9, 30), np.diag([1.0, 1.0, mm, 1.0])) for mm in (2.5, 7.7))
    assert thin.offsets(2, 7.7) == (-6, -3, 0, 3, 6)  # 7.5 mm
    assert thick.offsets(2, 7.7) == (-2, -1, 0, 1, 2)
    assert thick.offsets(1, 0.0) == thick.offsets(1, 3.0) == (-1, 0, 1)  # at least one slice
    assert thin.offsets(0, 7.7) == (0,)
    assert thin.offsets(1, 1e300) == (-30, 0, 30)


def test_beyond_the_ends_the_last_slice_is_repeated() -> None:
    assert stack_around(0, (-2, 0, 2), 5) == [0, 0, 2]
    assert stack_around(3, (-2, 0, 2), 5) == [1, 3, 4]
    assert stack_around(1, (-6, -3, 0, 3, 6), 3) == [0, 0, 1, 2, 2]
    assert stack_around(0, (-1, 0, 1), 1) == [0, 0, 0]


def test_the_distance_is_that_of_the_domain_with_thicker_slices(write: Write) -> None:
    dataset = load_dataset(write([(6, 5.0), (6, 4.0), (6, 5.0)], [(6, 7.7), (6, 7.7), (6, 20.0)]))

    def task(**settings: object) -> Task:
        return make_task(dataset, MethodConfig(**settings))

    assert (task(context=2).context, task(context=2).context_mm, task(context=2).in_channels) == (2, 7.7, 5)
    assert task(context=1, context_mm=3.0).context_mm == 3.0
    assert (task(context_mm=3.0).context, task(context_mm=3.0).context_mm, task().in_channels) == (0, 0.0, 1)


def test_a_stack_holds_the_neighbours_of_its_slice_in_either_order(write: Write) -> None:
    batch = draw(make_loader(write([(SLICES, 4.0)], [(SLICES, 8.0)])))
    orders = set()
    for step, stacks in ((2, batch.source), (2, batch.source_unlabelled), (1, batch.target)):  # 8 mm
        for first, middle, last in numbers(stacks, SLICES):
            around = [max(middle - step, 0), min(middle + step, SLICES - 1)]
            assert sorted((first, last)) == around
            orders.add(first < last)
    assert orders == {True, False}


def test_without_turning_all_stacks_are_as_stored(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "TURNED", 0.0)
    batch = draw(make_loader(write([(SLICES, 4.0)], [(SLICES, 8.0)])))
    assert all(first < last for first, _, last in numbers(torch.cat([batch.source, batch.target]), SLICES))


def test_every_slice_has_its_own_labels_and_those_of_the_central_one_are_learnt(write: Write) -> None:
    batch = draw(make_loader(write([(SLICES, 8.0)], [(SLICES, 8.0)]), target_labels=True, target_only=True))
    for stacks, structures, labels in (
        (batch.source, batch.source_structures, batch.source_labels),
        (batch.target, batch.target_structures, batch.target_labels),
    ):
        found = structures[:, :, 16, 16].tolist()
        assert found == [[1 + number % 2 for number in stack] for stack in numbers(stacks, SLICES)]
        assert labels is not None and torch.equal(labels, structures[:, 1])


def test_neighbours_that_nobody_labelled_are_ignored(write: Write) -> None:
    batch = draw(make_loader(write([(SLICES, 8.0)], [(SLICES, 8.0)], labelled_slices=[3, 4])))
    for stack, classes in zip(numbers(batch.source, SLICES), batch.source_structures[:, :, 16, 16], strict=True):
        assert classes.tolist() == [1 + number % 2 if number in (3, 4) else IGNORE for number in stack]
    assert (batch.source_labels[:, 16, 16] != IGNORE).all()


@pytest.mark.parametrize("n_slices", [1, 2, 3])
def test_volumes_with_fewer_slices_than_a_stack(write: Write, n_slices: int) -> None:
    settings = MethodConfig(patch_size=32, batch_size=4, unlabelled_batch_size=4, spacing_mm=1.0, context=4)
    batch = draw(make_loader(write([(n_slices, 8.0)], [(SLICES, 8.0), (n_slices, 2.0)]), settings))
    assert batch.source.shape == batch.source_structures.shape == (4, 9, 32, 32)
    assert batch.target.shape == (4, 9, 32, 32) and torch.isfinite(batch.target).all()


def test_without_neighbours_batches_are_those_of_earlier_versions(tiny_dataset: Path, tmp_path: Path) -> None:
    settings = MethodConfig(patch_size=32, batch_size=4, unlabelled_batch_size=2, augmentation="paper", spacing_mm=1.25)
    loader, _ = tiny_loader(tiny_dataset, tmp_path, settings, rules=2)
    torch.manual_seed(3)
    batch = loader.batch(7)
    means = [image.mean().item() for image in (*batch.source, *batch.source_unlabelled, *batch.target)]
    assert means == pytest.approx(MEANS, abs=2e-4)
    assert (batch.source_labels == 1).sum((1, 2)).tolist() == pytest.approx(RINGS, abs=2)
    assert torch.equal(batch.source_structures, batch.source_labels.unsqueeze(1))

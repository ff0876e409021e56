"""Training slices of a second look: the same ones, closer, as often as whole slices, around the structures."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from leuda_core.config import MethodConfig
from leuda_core.data.batches import loaders
from leuda_core.data.batches.loaders import SliceLoader
from leuda_core.data.batches.views import random_view
from leuda_core.data.dataset import load_dataset
from leuda_core.data.tasks import make_task
from leuda_core.types import IGNORE

ZOOMED = MethodConfig(patch_size=32, batch_size=4, unlabelled_batch_size=3, spacing_mm=2.0, zoom=2.0)


def make_loader(path: Path, folder: Path, settings: MethodConfig = ZOOMED, **options: object) -> SliceLoader:
    dataset = load_dataset(path)
    return SliceLoader(dataset, make_task(dataset, settings), settings, folder, **options)


def test_the_closer_slices_are_those_of_the_finer_spacing(tiny_dataset: Path, tmp_path: Path) -> None:
    fine = MethodConfig(patch_size=32, batch_size=4, unlabelled_batch_size=3, spacing_mm=1.0)
    found, expected = (make_loader(tiny_dataset, tmp_path / str(one.zoom), one) for one in (ZOOMED, fine))
    for one, other in zip((*found.labelled, *found.target), (*expected.labelled, *expected.target), strict=True):
        assert one.closer is not None and other.closer is None
        assert np.array_equal(np.load(one.closer.images.path), np.load(other.images.path))
        assert np.load(one.images.path).shape[1] == np.load(other.images.path).shape[1] / 2 == 30
        assert (one.closer.labelled, one.closer.showing) == (one.labelled, one.showing)
        if one.closer.labels and other.labels:
            assert np.array_equal(np.load(one.closer.labels.path), np.load(other.labels.path))
        assert (one.closer.labels is None) == (one.labels is None)


def test_half_of_the_views_are_closer(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[tuple[int, ...], bool]] = []

    def spy(
        rng: np.random.Generator, size: tuple[int, int], side: int, limits: object, around: object = None
    ) -> object:
        sizes.append((size, around is not None))
        return random_view(rng, size, side, limits, around)

    monkeypatch.setattr(loaders, "random_view", spy)
    wide = msgspec.structs.replace(ZOOMED, patch_size=48)  # slices of 60 pixels are not much larger than such a view
    loader = make_loader(tiny_dataset, tmp_path, wide)
    for step in range(40):
        loader.batch(step)
    closer = [around for size, around in sizes if size == (60, 60)]
    assert {size for size, _ in sizes} == {(30, 30), (60, 60)}
    assert len(closer) / len(sizes) == pytest.approx(0.5, abs=0.08)
    assert sum(closer) / len(closer) == pytest.approx(loaders.FOCUSED, abs=0.1)
    assert not any(around for size, around in sizes if size == (30, 30))


def test_a_closer_view_shows_structures_larger(tiny_dataset: Path, tmp_path: Path) -> None:
    """The disc has a radius of at most 14 x 1.25 mm: 240 of the pixels of 2 mm, four times as many of 1 mm."""
    loader, areas = make_loader(tiny_dataset, tmp_path), []
    for step in range(30):
        labels = loader.batch(step).source_labels
        areas += [int(((one > 0) & (one != IGNORE)).sum()) for one in labels]
    assert max(areas) > 500 and sum(100 < area < 400 for area in areas) > len(areas) / 4


def test_without_a_second_look_nothing_is_drawn_for_it(tiny_dataset: Path, tmp_path: Path) -> None:
    settings = MethodConfig(patch_size=32, batch_size=4, unlabelled_batch_size=3, spacing_mm=2.0)
    loader = make_loader(tiny_dataset, tmp_path, settings)
    assert all(case.closer is None for case in (*loader.source, *loader.target))
    assert not list(tmp_path.rglob("closer"))


def test_earlier_runs_have_no_second_look(tiny_dataset: Path) -> None:
    dataset = load_dataset(tiny_dataset)
    assert [make_task(dataset, ZOOMED, rules).zoom for rules in (1, 2, 3)] == [1.0, 1.0, 2.0]


def test_a_batch_is_a_function_of_seed_and_step(tiny_dataset: Path, tmp_path: Path) -> None:
    first, again = (make_loader(tiny_dataset, tmp_path / name, seed=3).batch(7) for name in "ab")
    assert torch.equal(first.source, again.source) and torch.equal(first.target, again.target)
    assert first.upright is not None and first.upright.shape == (6, 1, 32, 32)

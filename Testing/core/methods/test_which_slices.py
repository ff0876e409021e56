"""Which slices of a batch the methods learn from and compare."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from leuda_core.config import make_config
from leuda_core.methods import METHODS
from leuda_core.methods.adda import Adda
from leuda_core.methods.base import Method
from leuda_core.methods.controls.histogram_matching import match_slices
from leuda_core.methods.registration.voxelmorph import VoxelMorph
from leuda_core.types import STREAMS, Batch, Stream
from method_problems import SIDE, TASK, Problem


def make(name: str, **settings: object) -> Any:
    torch.manual_seed(0)
    kind = METHODS[name]
    small = {"base_channels": 4, "patch_size": SIDE, "augmentation": "paper"}
    method = kind(TASK, make_config(kind.Config, {**small, **settings}))
    method.train()
    method.teacher.eval()
    return method


@pytest.fixture
def batch() -> Batch:
    """A batch whose target is known as it is stored, too."""
    return with_upright(Problem().batch(0))


def with_upright(batch: Batch) -> Batch:
    return replace(batch, upright=torch.cat([batch.source_unlabelled, batch.target]))


def weights(network: torch.nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten().float() for value in network.state_dict().values()])


def test_adda_compares_all_slices_of_both_domains_without_dropout(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    method: Adda = make("adda")
    seen: list[tuple[Tensor, bool]] = []

    def watch(network: Any) -> None:
        encode = network.encode
        monkeypatch.setattr(network, "encode", lambda x, *a: (seen.append((x, network.training)), encode(x, *a))[1])

    watch(method.teacher)
    watch(method.adapted)
    method.alignment_step(batch, 0.5)
    (example, _), (features, dropout), (anchor, learning) = seen
    assert example is batch.source_unlabelled and features is batch.target and not dropout
    assert anchor is batch.source and learning


def test_voxelmorph_takes_no_labelled_patients_for_unlabelled_ones(batch: Batch) -> None:
    method: VoxelMorph = make("voxelmorph")
    alike = replace(batch, source_unlabelled=batch.source)
    assert torch.equal(method._pairs(alike)[1], batch.source)
    fixed = method._pairs(replace(alike, source_is_labelled=True))[1]
    assert all(any(torch.equal(one, other) for other in batch.target) for one in fixed)


def test_sifa_aligns_all_slices_and_not_the_labelled_ones(batch: Batch) -> None:
    def discriminator_loss(batch: Batch) -> Tensor:
        method: Method = make("sifa", generator_channels=4, generator_blocks=1)
        torch.manual_seed(0)
        return method.training_step(batch, 0.5)["discriminator"]

    first = discriminator_loss(batch)
    assert torch.equal(first, discriminator_loss(replace(batch, source=-batch.source)))
    assert not torch.equal(first, discriminator_loss(replace(batch, source_unlabelled=-batch.source_unlabelled)))


@pytest.mark.parametrize(("name", "step"), [("adabn", "statistics_step"), ("early_features", "refinement_step")])
def test_statistics_are_of_slices_as_they_are_segmented(name: str, step: str, batch: Batch) -> None:
    def adapted(batch: Batch) -> Tensor:
        method = make(name)
        torch.manual_seed(0)
        getattr(method, step)(batch, 0.5)
        return weights(method.teacher if name == "adabn" else method.adapted)

    first = adapted(batch)
    assert torch.equal(first, adapted(replace(batch, target=-batch.target)))
    assert not torch.equal(first, adapted(with_upright(replace(batch, target=-batch.target))))
    assert torch.equal(first, adapted(replace(batch, upright=None)))


def test_meta_hallucinator_trains_with_a_single_slice(batch: Batch) -> None:
    one = {name: getattr(batch, name)[:1] for name in ("source", "source_labels", "source_unlabelled", "target")}
    losses = make("meta_hallucinator").training_step(replace(batch, upright=None, **one), 0.5)
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_padding_does_not_count_in_histograms() -> None:
    images = torch.linspace(-0.5, 0.5, 400).view(1, 1, 20, 20)
    padded = torch.nn.functional.pad(images, (30, 30, 30, 30), value=-1.0)
    references = torch.linspace(0.2, 0.8, 400).view(1, 1, 20, 20)
    matched = match_slices(padded, references)
    assert torch.allclose(matched[..., 30:50, 30:50], references, atol=0.01)
    assert (matched[padded == -1] == -1).all()
    black = torch.full_like(references, -1.0)
    assert torch.equal(match_slices(padded, black), padded) and torch.equal(match_slices(black, references), black)


@pytest.mark.parametrize("progress", [0.0, 0.15, 0.5, 0.95])
@pytest.mark.parametrize("name", METHODS)
def test_slices_that_are_not_drawn_change_nothing(name: str, progress: float, batch: Batch) -> None:
    """For every phase: the same weights with a whole batch and with the slices alone that it says it uses."""
    settings: dict[str, Any] = {"augmentation": "strong"}
    if "translator_steps" in METHODS[name].Config.__struct_fields__:
        settings |= {"translator_steps": 1, "translator_channels": 4, "translator_blocks": 1}
    whole = replace(batch, target_labels=batch.source_labels, upright_matrices=torch.eye(3)[:2].repeat(8, 1, 1))

    def learnt(index: int, *, everything: bool) -> Tensor:
        method = make(name, **settings)
        phase = method.phases(100)[index]
        phase.begin()
        phase.step(whole if everything else only(whole, phase.streams(progress)), progress)
        return weights(method)

    for index in range(len(make(name, **settings).phases(100))):
        assert torch.equal(learnt(index, everything=True), learnt(index, everything=False))


def only(batch: Batch, streams: Set[Stream]) -> Batch:
    """Return a batch as the loader draws it for these streams."""
    kept = {name: getattr(batch, name)[: None if name in streams else 0] for name in STREAMS}
    labels = {name: getattr(batch, name)[: len(kept[name[:6]])] for name in ("source_labels", "target_labels")}
    assert batch.upright is not None and batch.upright_matrices is not None
    uprights = (
        torch.cat([one[: len(kept["source_unlabelled"])], one[len(batch.source_unlabelled) :][: len(kept["target"])]])
        for one in (batch.upright, batch.upright_matrices)
    )
    return replace(batch, **kept, **labels, **dict(zip(("upright", "upright_matrices"), uprights, strict=True)))


@pytest.mark.parametrize("name", ["mean_teacher", "tcsm", "mt_uda", "self_training"])
def test_unlabelled_slices_are_computed_only_once_they_are_learnt(
    name: str, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make(name, **({"translator_steps": 1} if name == "mt_uda" else {}))
    shown: list[int] = []
    segmenter, teacher = method.segmenter.forward, method.teacher.forward
    monkeypatch.setattr(method.segmenter, "forward", lambda x: (shown.append(len(x)), segmenter(x))[1])
    monkeypatch.setattr(method.teacher, "forward", lambda x: (shown.append(len(x)), teacher(x))[1])
    method.training_step(batch, 0.0)
    assert sum(shown) == len(batch.source) * (2 if name == "mt_uda" else 1)  # also translated there and back
    method.training_step(batch, 0.9)
    assert sum(shown[1:]) > sum(shown[:1]) + len(batch.target)

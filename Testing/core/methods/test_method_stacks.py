"""Every method with neighbouring slices: only the segmenter sees them, and all slices of a stack change alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from leuda_core.blocks.stacks import central
from leuda_core.bundle.model import load_bundle, save_bundle
from leuda_core.bundle.schema import BundleInfo, DomainSummary
from leuda_core.config import make_config
from leuda_core.methods import METHODS
from leuda_core.methods.base import Losses, Method
from leuda_core.methods.controls.histogram_matching import match_slices
from leuda_core.methods.cyclegan import TranslatingMethod
from leuda_core.methods.glua import Painter
from leuda_core.methods.registration.istn import Istn
from leuda_core.methods.registration.voxelmorph import VoxelMorph
from leuda_core.methods.sifa import Sifa
from leuda_core.methods.tcsm import partly_transformed
from leuda_core.networks.generator import Generator
from leuda_core.networks.registration import IntensityNet
from leuda_core.types import IGNORE, Batch, Label, Task

SIDE, DEPTH = 32, 3
TASK = Task((Label(1, "a"), Label(2, "b")), spacing_mm=1.0, patch_size=SIDE, context=1, context_mm=5.0)

every_method = pytest.mark.parametrize("name", METHODS)


def make(name: str, **settings: object) -> Method:
    torch.manual_seed(0)
    kind = METHODS[name]
    small: dict[str, object] = {"base_channels": 4, "patch_size": SIDE, "context": 1}
    if issubclass(kind, TranslatingMethod):
        small |= {"translator_channels": 4, "translator_blocks": 1}
    small |= {key: 1 for key in kind.Config.__struct_fields__ if key.endswith("_steps")}
    method = kind(TASK, make_config(kind.Config, {**small, **settings}))
    method.train()
    method.teacher.eval()
    return method


def random_images(count: int, seed: int) -> Tensor:
    return torch.rand(count, DEPTH, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def make_batch(*, target_labels: bool = False) -> Batch:
    structures = torch.randint(0, 3, (2, DEPTH, SIDE, SIDE), generator=torch.Generator().manual_seed(9))
    labels = structures[:, 1]
    return Batch(
        random_images(2, 0),
        labels,
        random_images(2, 1),
        random_images(2, 2),
        target_labels=labels if target_labels else None,
        source_stack_labels=structures,
        target_stack_labels=structures if target_labels else None,
    )


def with_other_neighbours(batch: Batch) -> Batch:
    """Return the batch with the same central slices among others."""

    def other(stacks: Tensor) -> Tensor:
        return torch.cat([-stacks[:, :1], central(stacks), stacks[:, :1]], dim=1)

    images = {name: other(getattr(batch, name)) for name in ("source", "source_unlabelled", "target")}
    return replace(batch, **images)


def take_steps(method: Method, batch: Batch, phases: int = 99) -> Losses:
    losses: Losses = {}
    for index, phase in enumerate(method.phases(1)[:phases]):
        torch.manual_seed(index)
        losses = phase.take(0, batch)
    return losses


def weights(network: torch.nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten() for value in network.state_dict().values()]).clone()


@pytest.mark.slow
@every_method
def test_every_method_learns_from_stacks_and_segments_their_central_slices(name: str, tmp_path: Path) -> None:
    method = make(name)
    before = weights(method.teacher)
    losses = take_steps(method, make_batch(target_labels=method.reads_target_labels))
    assert losses and all(torch.isfinite(loss) for loss in losses.values())
    assert not torch.equal(before, weights(method.teacher))
    images = random_images(2, 5)
    found = method.predict(images)
    assert found.shape == (2, 3, SIDE, SIDE) and torch.isfinite(found).all()
    changed = images.clone()
    changed[:, 0] = 0
    assert not torch.equal(method.predict(changed), found)  # the neighbours are seen

    domain = DomainSummary(name="d", modality="MR")
    info = BundleInfo(name="m", method=name, source=domain, target=domain)
    loaded = load_bundle(save_bundle(tmp_path / "bundle", method.predictor(), TASK, info))
    assert (loaded.task, loaded.spec.in_channels) == (TASK, 3)
    with torch.no_grad():
        assert torch.equal(loaded.predictor()(images), found)


@pytest.mark.parametrize("name", ["cyclegan", "glua", "istn", "voxelmorph"])
def test_other_networks_learn_from_central_slices_as_without_neighbours(name: str) -> None:
    batch = make_batch()
    plain, other = make(name), make(name)
    take_steps(plain, batch, phases=1)
    take_steps(other, with_other_neighbours(batch), phases=1)
    assert torch.equal(weights(plain), weights(other))


@pytest.mark.parametrize("network", [Generator(4, 1), IntensityNet()], ids=["generator", "intensities"])
def test_networks_of_single_slices_treat_every_slice_by_itself(network: torch.nn.Module) -> None:
    images = random_images(2, 0)
    if isinstance(network, IntensityNet):
        torch.nn.init.normal_(network.last.weight)  # else it is the identity
    with torch.no_grad():
        found = network(images)
        alone = torch.cat([network(images[:, place : place + 1]) for place in range(DEPTH)], dim=1)
    assert torch.allclose(found, alone, atol=1e-6) and not torch.allclose(found, images, atol=1e-3)


def test_all_slices_of_a_stack_are_painted_in_one_style() -> None:
    torch.manual_seed(0)
    painter, source, target = Painter(4, 4), random_images(3, 0), random_images(2, 1)
    source = source[:, :1].expand(-1, DEPTH, -1, -1)
    with torch.no_grad():
        painted = painter.to_target(source, target)
    assert painted.shape == source.shape
    assert torch.equal(painted[:, 0], painted[:, 1]) and torch.equal(painted[:, 0], painted[:, 2])


def test_histograms_are_those_of_whole_stacks() -> None:
    images, references = random_images(2, 0), random_images(2, 1) ** 2
    matched = match_slices(images, references)
    assert matched.shape == images.shape
    for found, wanted in zip(matched, references, strict=True):
        assert found.flatten().sort().values.numpy() == pytest.approx(wanted.flatten().sort().values.numpy(), abs=1e-3)


@pytest.mark.parametrize("name", ["voxelmorph", "istn"])
def test_all_slices_of_a_stack_are_moved_alike_with_their_labels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One displacement for a stack, estimated on its central slice."""
    method, batch = make(name, augmentation="paper"), make_batch()
    down = torch.zeros(2, 2, SIDE, SIDE)
    down[:, 0] = 3.0
    seen: list[tuple[Tensor, Tensor]] = []
    monkeypatch.setattr(method, "supervised_step", lambda images, structures: seen.append((images, structures)))
    if isinstance(method, VoxelMorph):
        monkeypatch.setattr(method.registration, "forward", lambda moving, fixed: (down[: len(moving)], moving))
    if isinstance(method, Istn):
        monkeypatch.setattr(method.stn, "forward", lambda images: down[: len(images)])
    method.training_step(batch, 0.5)
    images, structures = (part[-2:] for part in seen[0])
    assert torch.allclose(images[..., :-3, :], batch.source[..., 3:, :], atol=1e-3)
    assert torch.equal(structures[..., :-3, :], batch.source_structures[..., 3:, :])
    assert (structures[..., -3:, :] == IGNORE).all()


def test_tcsm_turns_all_slices_of_a_stack_alike() -> None:
    images, structures = random_images(4, 0), make_batch().source_structures.repeat(2, 1, 1, 1)
    torch.manual_seed(0)
    moved, moved_structures = partly_transformed(images, structures, 1.0, 1.5)
    for place in range(DEPTH):
        torch.manual_seed(0)
        alone, alone_labels = partly_transformed(
            images[:, place : place + 1], structures[:, place : place + 1], 1.0, 1.5
        )
        assert torch.allclose(moved[:, place : place + 1], alone, atol=1e-6)
        assert torch.equal(moved_structures[:, place : place + 1], alone_labels)


def test_sifa_translates_stacks_and_draws_their_central_slices() -> None:
    method, batch = make("sifa"), make_batch()
    assert isinstance(method, Sifa)
    with torch.no_grad():
        images = method.translate(batch.source, batch.target)
    assert images.painted.shape == (2, DEPTH, SIDE, SIDE)
    for name, single in images._asdict().items():
        assert name == "painted" or single.shape == (2, 1, SIDE, SIDE), name
    assert torch.equal(images.target, batch.target[:, 1:2])
    assert torch.equal(images.fake_target, images.painted[:, 1:2])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["source_only", "tcsm", "le_uda", "mt_uda", "meta_hallucinator", "sifa"])
def test_labels_of_neighbours_are_not_learnt(name: str) -> None:
    batch = make_batch()
    other = batch.source_structures.clone()
    other[:, [0, 2]] = IGNORE
    results = []
    for structures in (batch.source_structures, other):
        method = make(name, augmentation="paper")
        take_steps(method, replace(batch, source_stack_labels=structures))
        results.append(weights(method))
    assert torch.equal(*results)

"""Which pseudo-labels self-training learns from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from leuda_core.blocks.pseudo_labels import FEW, SLOWLY
from leuda_core.config import make_config
from leuda_core.data.batches.views import into_views
from leuda_core.methods.self_training import SelfTraining, learnt
from leuda_core.types import Batch, Label, Task

TASK = Task((Label(1, "wall"), Label(2, "room")), spacing_mm=1.0, patch_size=32)


def make(**settings: object) -> SelfTraining:
    return SelfTraining(TASK, make_config(SelfTraining.Config, {"base_channels": 4, "patch_size": 32, **settings}))


def batch() -> Batch:
    images = torch.zeros(1, 1, 32, 32)
    return Batch(images, torch.zeros(1, 32, 32, dtype=torch.long), images, images, upright=images)


def answer(wall: Tensor, room: Tensor) -> Tensor:
    """Return probabilities of one column: these for pixels of wall, then these for pixels of room, then background."""
    maps = torch.zeros(1, 3, 1, len(wall) + len(room) + 50)
    maps[0, 1, 0, : len(wall)] = wall
    maps[0, 2, 0, len(wall) : len(wall) + len(room)] = room
    maps[0, 0] = 1 - maps[0].sum(0)
    return maps


def test_the_surest_share_of_an_unsure_structure_is_learnt():
    method, unsure, sure = make(class_share=0.25), torch.linspace(0.51, 0.91, 41), torch.full((41,), 0.99)
    limits = method.thresholds(batch(), answer(unsure, sure))
    assert limits.tolist() == pytest.approx([0.95, 0.81, 0.95])
    assert int((unsure > limits[1]).sum()) == 10


def test_a_threshold_moves_slowly_and_not_for_a_few_pixels():
    method = make(class_share=0.25)
    first = method.thresholds(batch(), answer(torch.full((FEW,), 0.8), torch.zeros(0)))
    assert first.tolist() == pytest.approx([0.95, 0.8, 0.95])  # nothing is known of rooms
    few = method.thresholds(batch(), answer(torch.full((FEW - 1,), 0.6), torch.zeros(0)))
    assert few.tolist() == pytest.approx(first.tolist())
    more = method.thresholds(batch(), answer(torch.full((FEW,), 0.6), torch.zeros(0)))
    assert more[1].item() == pytest.approx(0.8 - 0.2 * SLOWLY)


def test_without_a_share_and_in_earlier_runs_there_is_one_threshold():
    maps = answer(torch.full((FEW,), 0.8), torch.full((FEW,), 0.8))
    assert make(class_share=0).thresholds(batch(), maps) == 0.95
    assert make().thresholds(replace(batch(), upright=None), maps) == 0.95


def test_thresholds_continue_from_a_checkpoint_and_earlier_ones_open():
    method, maps = make(), answer(torch.full((FEW,), 0.8), torch.zeros(0))
    method.thresholds(batch(), maps)
    state = method.checkpoint()
    other = make()
    other.restore(state)
    assert other.certainty.tolist() == pytest.approx([0, 0.8, 0])
    del state["networks"]["certainty"]
    earlier = make()
    earlier.restore(state)
    assert earlier.certainty.tolist() == [0, 0, 0]


def test_training_learns_from_the_surest_share_of_an_unsure_teacher():
    torch.manual_seed(0)
    images = torch.rand(2, 1, 32, 32) * 2 - 1
    labels = torch.randint(0, 3, (2, 32, 32))
    found = Batch(images, labels, images, images, upright=torch.cat([images, images]))
    losses = []
    for share in (0.0, 0.5):
        torch.manual_seed(0)
        method = make(class_share=share, ramp_start=0, augmentation="paper")
        losses.append(float(method.training_step(found, 0.5)["own"]))
    assert losses[0] == pytest.approx(0, abs=1e-6) and losses[1] > 0.1


def test_half_of_the_unlabelled_slices_are_of_the_source_unless_most_of_it_is_labelled():
    images = torch.zeros(5, 1, 32, 32)
    found = Batch(images[:1], torch.zeros(1, 32, 32), images, images, upright=torch.cat([images, images]))
    assert learnt(found) == [0, 1, 7, 8, 9]
    assert learnt(replace(found, source_is_labelled=True)) == [5, 6, 7, 8, 9]
    assert learnt(replace(found, upright=None)) == list(range(10))  # as earlier versions did


def test_what_is_learnt_is_what_the_student_sees():
    """The teacher is asked about the same slices, moved into the same views."""
    torch.manual_seed(0)
    images = torch.rand(4, 1, 32, 32) * 2 - 1
    matrices = torch.eye(2, 3).repeat(8, 1, 1)
    matrices[:, 0, 2] = torch.linspace(-0.5, 0.5, 8)
    found = Batch(
        images[:1],
        torch.zeros(1, 32, 32),
        images,
        -images,
        upright=torch.cat([images, -images]),
        upright_matrices=matrices,
    )
    method = make()
    chosen = learnt(found)
    answer = method.answer(found, ())
    probabilities = method.teacher(torch.cat([images, -images])[chosen]).softmax(1)
    assert torch.allclose(answer, into_views(probabilities, matrices[chosen]), atol=1e-5)

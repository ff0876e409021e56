"""Image and labels move together; appearances stay in range, and the anatomy in place."""

import torch

from leuda_core.data.batches.augment import random_affine, random_appearance
from leuda_core.types import IGNORE


def disks(count, side=48):
    grid = torch.linspace(-1, 1, side)
    inside = ((grid[:, None] - 0.2) ** 2 + grid[None] ** 2) < 0.2
    labels = inside.long().expand(count, side, side).contiguous()
    return torch.where(inside, 0.8, -0.6).expand(count, 1, side, side).contiguous(), labels


def test_image_and_labels_move_together():
    torch.manual_seed(0)
    images, labels = disks(16)
    moved, moved_labels = random_affine(images, labels)
    known = moved_labels != IGNORE
    agree = ((moved[:, 0] > 0.1) == (moved_labels == 1))[known].float().mean()
    assert agree > 0.99
    overlap = ((moved_labels == 1) & (labels == 1)).sum() / (labels == 1).sum()
    assert 0.8 < overlap < 0.999  # something did move


def test_what_comes_in_from_outside_is_dark_and_unlabelled():
    torch.manual_seed(1)
    images, labels = torch.ones(32, 1, 32, 32), torch.ones(32, 32, 32, dtype=torch.long)
    moved, moved_labels = random_affine(images, labels)
    outside = moved_labels == IGNORE
    assert outside.any()
    assert moved[:, 0][outside].mean() < 0
    assert set(moved_labels.unique().tolist()) == {1, IGNORE}


def test_strong_moves_further():
    torch.manual_seed(2)
    images, labels = torch.ones(64, 1, 32, 32), torch.ones(64, 32, 32, dtype=torch.long)
    outside = [(random_affine(images, labels, level)[1] == IGNORE).float().mean() for level in ("paper", "strong")]
    assert outside[1] > 2 * outside[0]


def test_ignored_pixels_stay_ignored():
    _, labels = random_affine(torch.zeros(4, 1, 16, 16), torch.full((4, 16, 16), IGNORE))
    assert (labels == IGNORE).all()


def test_appearance_stays_in_range_and_in_place():
    torch.manual_seed(0)
    images, _ = disks(64)
    changed = random_appearance(images)
    assert changed.shape == images.shape
    assert changed.min() >= -1 and changed.max() <= 1
    assert not torch.allclose(changed, images, atol=0.05)
    inside = images > 0
    difference = [(x[m].mean() - x[~m].mean()).item() for x, m in zip(changed, inside, strict=True)]
    inverted = sum(d < 0 for d in difference)
    assert 8 <= inverted <= 36  # by inversion, or by a curve that falls
    assert sum(abs(d) > 0.15 for d in difference) > 48  # most disks can still be seen


def test_each_slice_gets_its_own_appearance():
    torch.manual_seed(0)
    images, _ = disks(8)
    changed = random_appearance(images)
    means = changed.mean((1, 2, 3))
    assert means.std() > 0.05


def test_structures_of_one_contrast_get_contrasts_of_their_own_where_labels_tell_them_apart():
    images, labels = torch.full((64, 1, 48, 48), 0.2), torch.zeros(64, 48, 48, dtype=torch.long)
    labels[:, :, 24:] = 1
    labels[:, :4] = IGNORE

    def told_apart(*known):
        torch.manual_seed(0)
        changed = random_appearance(images, *known)
        return int(((changed[..., :24].mean((1, 2, 3)) - changed[..., 24:].mean((1, 2, 3))).abs() > 0.25).sum())

    assert told_apart() <= 3  # a bias field alone
    assert 10 < told_apart(labels, 2) < 32


def stacks(count):
    """Stacks of three slices: a disk, nothing, another disk; each with its labels."""
    disk, inside = disks(count)
    other, there = disk.flip(3), inside.flip(2)
    images = torch.cat([disk, torch.full_like(disk, -0.6), other], dim=1)
    return images, torch.stack([inside, torch.zeros_like(inside), there], dim=1)


def test_all_slices_of_a_stack_move_alike_with_their_labels():
    torch.manual_seed(0)
    images, labels = stacks(8)
    moved, moved_labels = random_affine(images, labels, "strong")
    torch.manual_seed(0)
    for place in range(3):
        alone, alone_labels = random_affine(images[:, place : place + 1], labels[:, place], "strong")
        assert torch.allclose(moved[:, place : place + 1], alone, atol=1e-6)
        assert torch.equal(moved_labels[:, place], alone_labels)
        torch.manual_seed(0)


def test_all_slices_of_a_stack_look_alike():
    torch.manual_seed(0)
    images, _ = disks(64)
    changed = random_appearance(images.expand(-1, 3, -1, -1).contiguous())
    assert (changed[:, 0] - changed[:, 2]).mean((1, 2)).abs().max() < 0.02  # noise alone
    assert changed.mean((1, 2, 3)).std() > 0.05


def test_structures_are_painted_in_their_own_slice_alone():
    """The outline of a slice must not show in its neighbours, which would give the answer away."""
    torch.manual_seed(0)
    images, labels = torch.full((64, 3, 48, 48), 0.2), torch.zeros(64, 3, 48, 48, dtype=torch.long)
    labels[:, 1, :, 24:] = 1
    changed = random_appearance(images, labels, 2)
    halves = changed.unflatten(3, (2, 24)).mean((2, 4))
    told_apart = ((halves[..., 0] - halves[..., 1]).abs() > 0.25).sum(0)
    assert 10 < told_apart[1] < 32
    assert max(told_apart[0], told_apart[2]) <= 3  # a bias field alone

"""One golden number a loss, worked out by hand, and the properties that training relies on."""

import math

import pytest
import torch

from leuda_core.blocks import losses
from leuda_core.blocks.ema import averaged_copy, update_average
from leuda_core.blocks.schedules import delayed_ramp, sigmoid_ramp
from leuda_core.types import IGNORE


def maps(*pixels):
    """Return ``(1, C, 1, len(pixels))`` from one tuple of class values a pixel."""
    return torch.tensor(pixels, dtype=torch.float64).T[None, :, None, :]


def labels(*values):
    return torch.tensor(values)[None, None, :]


def test_dice_of_two_pixels():
    probabilities = maps((0.8, 0.2), (0.4, 0.6))
    # class 0: 2 * 0.8 / (0.64 + 0.16 + 1), class 1: 2 * 0.6 / (0.04 + 0.36 + 1)
    expected = 1 - 0.5 * (1.6 / 1.8 + 1.2 / 1.4)
    assert losses.dice_loss(probabilities, labels(0, 1)).item() == pytest.approx(expected, abs=1e-5)


def test_dice_is_zero_for_a_perfect_map_also_with_an_absent_class():
    probabilities = maps((1, 0, 0), (0, 1, 0))
    assert losses.dice_loss(probabilities, labels(0, 1)).item() == pytest.approx(0, abs=1e-5)


def test_segmentation_loss_is_half_cross_entropy_half_dice():
    logits = maps((math.log(0.8), math.log(0.2)), (math.log(0.4), math.log(0.6))).float()
    cross_entropy = -(math.log(0.8) + math.log(0.6)) / 2
    dice = 1 - 0.5 * (1.6 / 1.8 + 1.2 / 1.4)
    assert losses.segmentation_loss(logits, labels(0, 1)).item() == pytest.approx(
        0.5 * (cross_entropy + dice), abs=1e-5
    )


def test_ignored_pixels_change_neither_loss_nor_gradient():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    truth = torch.randint(0, 3, (2, 4, 4))
    truth[:, :2] = IGNORE
    loss = losses.segmentation_loss(logits, truth)
    loss.backward()
    assert logits.grad[:, :, :2].abs().max() == 0
    assert logits.grad[:, :, 2:].abs().max() > 0
    changed = logits.detach().clone()
    changed[:, :, :2] += 5
    assert losses.segmentation_loss(changed, truth).item() == pytest.approx(loss.item(), abs=1e-6)


def test_nothing_labelled_is_no_loss():
    logits = torch.randn(1, 3, 4, 4)
    value = losses.segmentation_loss(logits, torch.full((1, 4, 4), IGNORE))
    assert value.item() == pytest.approx(0, abs=1e-6)


def test_consistency_is_the_mean_over_pixels_and_classes():
    student, teacher = maps((math.log(0.9), math.log(0.1))), maps((math.log(0.6), math.log(0.4)))
    assert losses.consistency_loss(student, teacher).item() == pytest.approx(0.09, abs=1e-6)


def test_structure_loss_compares_self_information():
    student, teacher = maps((math.log(0.5), math.log(0.5))), maps((math.log(0.75), math.log(0.25)))
    # p log2 p: -0.5, -0.5 against 0.75 log2 0.75 and 0.25 log2 0.25 = -0.5
    expected = (-0.5 - 0.75 * math.log2(0.75)) ** 2
    assert losses.structure_loss(student, teacher).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("loss", [losses.consistency_loss, losses.structure_loss])
def test_no_gradient_reaches_a_teacher(loss):
    student, teacher = (torch.randn(1, 3, 4, 4, requires_grad=True) for _ in range(2))
    loss(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_pseudo_labels_that_are_certain_are_labels():
    logits, truth = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    certain = torch.nn.functional.one_hot(truth, 3).movedim(-1, 1).float()
    expected = losses.segmentation_loss(logits, truth).item()
    assert losses.pseudo_label_loss(logits, certain, 0.5).item() == pytest.approx(expected, abs=1e-6)


def test_unsure_pseudo_labels_teach_nothing_and_their_teacher_learns_nothing():
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    teacher = torch.full((1, 2, 4, 4), 0.5)
    teacher[:, :, 2:] = torch.tensor([0.9, 0.1]).view(2, 1, 1)
    teacher.requires_grad_()
    losses.pseudo_label_loss(logits, teacher, 0.7).backward()
    assert logits.grad[:, :, :2].abs().max() == 0
    assert logits.grad[:, :, 2:].abs().min() > 0
    assert teacher.grad is None
    assert losses.pseudo_label_loss(logits, teacher, 0.95).item() == pytest.approx(0, abs=1e-6)


def test_pseudo_labels_may_need_another_confidence_for_each_class():
    logits, teacher = torch.randn(1, 2, 1, 2, requires_grad=True), torch.tensor([[[[0.9, 0.3]], [[0.1, 0.7]]]])
    losses.pseudo_label_loss(logits, teacher, torch.tensor([0.95, 0.6])).backward()
    assert logits.grad[..., 0].abs().max() == 0
    assert logits.grad[..., 1].abs().min() > 0


def test_adversarial_losses():
    real, fake = torch.tensor([0.8, 1.0]), torch.tensor([0.5, 0.1])
    judged = 0.5 * ((0.04 + 0) / 2 + (0.25 + 0.01) / 2)
    assert losses.discriminator_loss(real, fake).item() == pytest.approx(judged, abs=1e-6)
    assert losses.adversarial_loss(fake).item() == pytest.approx((0.25 + 0.81) / 2, abs=1e-6)


def test_cycle_loss_is_the_mean_absolute_difference():
    assert losses.cycle_loss(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.0])).item() == pytest.approx(0.75)


def test_ramps():
    assert sigmoid_ramp(0) == pytest.approx(0.0067, abs=1e-4)
    assert sigmoid_ramp(0.6) == pytest.approx(math.exp(-0.8))
    assert sigmoid_ramp(1) == 1
    assert delayed_ramp(0.19, 0.2) == 0
    assert delayed_ramp(0.2, 0.2) == pytest.approx(sigmoid_ramp(0.2))


def test_moving_average_copies_first_and_then_lags():
    network = torch.nn.Linear(1, 1)
    average = averaged_copy(network)
    with torch.no_grad():
        network.weight.fill_(2.0)
    update_average(average, network, 0.9, updates=0)
    assert average.weight.item() == 2
    with torch.no_grad():
        network.weight.fill_(4.0)
    update_average(average, network, 0.9, updates=1)  # 1 - 1/2 is still below 0.9
    assert average.weight.item() == pytest.approx(3)
    update_average(average, network, 0.9, updates=1000)
    assert average.weight.item() == pytest.approx(3.1)
    assert not average.weight.requires_grad

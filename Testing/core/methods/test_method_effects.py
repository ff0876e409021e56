"""Each method's own effect, on a small problem made for it, and its absence once the key term is switched off."""

import pytest
import torch

from leuda_core.blocks.losses import consistency_loss, structure_loss
from leuda_core.methods.mean_teacher import with_noise
from leuda_core.types import Batch
from method_problems import BRIDGE, Problem, darker, dice, inverted, train

pytestmark = pytest.mark.slow


def test_cyclegan_repaints_the_target_as_the_source():
    problem = Problem(inverted)
    translator = {"translator_channels": 8, "translator_blocks": 1, "translator_learning_rate": 2e-3}

    def score(steps: int) -> float:
        method = train("cyclegan", problem, translator_steps=steps, cycle_weight=1.0, **translator)
        return dice(method, *problem.target(8, 1))

    assert score(150) > score(0) + 0.3


def test_mean_teacher_answers_a_noisy_target_slice_as_a_clean_one():
    problem = Problem(darker)

    @torch.no_grad()
    def disagreement(weight: float) -> float:
        with torch.enable_grad():
            method = train("mean_teacher", problem, consistency_weight=weight, ramp_start=0.0)
        images = problem.target(16, 3)[0]
        torch.manual_seed(0)
        return float(consistency_loss(method.teacher(images), method.teacher(with_noise(images))))

    assert disagreement(100.0) < 0.5 * disagreement(0.0)


@torch.no_grad()
def distances_to_teachers(**settings: object) -> tuple[float, float]:
    """Return how far a student is from its intra- and its inter-domain teacher on slices it has not seen."""
    problem = Problem(darker)
    with torch.enable_grad():
        method = train("mt_uda", problem, **BRIDGE, **settings)
    torch.manual_seed(0)
    views = method.views(problem.batch(5_000, 16))
    student, intra, inter = map(method.segmenter, (views.student, with_noise(views.intra), with_noise(views.inter)))
    agreement = consistency_loss(views.intra_pairs(student), intra)
    return float(agreement), float(structure_loss(*views.inter_pairs(student, inter)))


def test_mt_uda_agrees_with_either_teacher_by_its_own_term():
    alone = distances_to_teachers(intra_weight=0.0, inter_weight=0.0)
    intra = distances_to_teachers(intra_weight=100.0, inter_weight=0.0)
    inter = distances_to_teachers(intra_weight=0.0, inter_weight=10.0)
    assert intra[0] < 0.6 * alone[0]
    assert inter[1] < 0.6 * alone[1]


def test_le_uda_makes_the_students_maps_pass_for_the_teachers():
    problem = Problem(inverted)

    @torch.no_grad()
    def gap(weight: float) -> float:
        with torch.enable_grad():
            method = train("le_uda", problem, **BRIDGE, adversarial_weight=weight, auxiliary_adversarial_weight=weight)
        torch.manual_seed(0)
        views = method.views(problem.batch(5_000, 16))
        real = method.teacher(with_noise(views.inter)).softmax(1)
        fake = views.inter_pairs(method.segmenter(views.student), real)[0].softmax(1)
        discriminator = method.inter_discriminators[0]
        return float((discriminator(real).mean() - discriminator(fake).mean()).abs())

    assert gap(1.0) < 0.5 * gap(0.0)


def test_self_training_gives_both_looks_of_a_slice_one_answer():
    problem = Problem(darker)

    @torch.no_grad()
    def disagreement(weight: float) -> float:
        with torch.enable_grad():
            method = train("self_training", problem, **BRIDGE, pseudo_label_weight=weight, confidence=0.5)
        batch = Batch(*problem.source(1, 1), problem.source(1, 1)[0], problem.target(16, 3)[0])
        looks = method.looks(batch, torch.cat([batch.source_unlabelled, batch.target]))
        first, second = map(method.teacher, looks)
        return float(consistency_loss(first[1:], second[1:]))

    assert disagreement(10.0) < 0.5 * disagreement(0.0)

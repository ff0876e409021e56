"""Effects of the methods that work on features, shapes and registration, as in ``test_method_effects``."""

import pytest
import torch
from torch import Tensor

from leuda_core.blocks.warp import warp_labels
from leuda_core.methods.tcsm import partly_transformed, random_transform
from leuda_core.networks.unet import batch_norms
from leuda_core.types import IGNORE
from method_problems import Problem, darker, dice, discs, inverted, noisier, striped, train

pytestmark = pytest.mark.slow


def test_adabn_takes_on_the_contrast_of_the_target():
    problem = Problem(darker)
    with_it, without = (dice(train("adabn", problem, statistics_steps=n), *problem.target(8, 1)) for n in (10, 0))
    assert with_it > 0.9
    assert without < 0.6


def test_adda_makes_target_features_pass_for_source_features():
    problem = Problem(striped)

    @torch.no_grad()
    def gap(weight: float) -> float:
        with torch.enable_grad():
            method = train("adda", problem, adversarial_weight=weight, align_steps=80, align_learning_rate=1e-3)
        real = method.discriminator(method.teacher.encode(problem.source(32, 1)[0])[-1])
        fake = method.discriminator(method.adapted.encode(problem.target(32, 1)[0])[-1])
        return float(real.mean() - fake.mean())

    assert gap(1.0) < 0.3 * gap(0.0)


def test_tcsm_answers_a_turned_slice_with_a_turned_segmentation():
    problem = Problem(darker)

    def disagreement(weight: float) -> float:
        method = train("tcsm", problem, consistency_weight=weight, ramp_start=0.0, turned_labels=0.0)
        images = problem.target(16, 3)[0]
        torch.manual_seed(0)
        transform = random_transform(16, 1.1, images.device)
        with torch.no_grad():
            straight = method.teacher(images).softmax(1)
            back, seen = transform.undo(method.teacher(transform.apply(images, -1.0)).softmax(1))
        return float(((straight - back).square() * seen).mean())

    assert disagreement(30.0) < 0.5 * disagreement(0.0)


def test_tcsm_transforms_labels_like_their_slices():
    images, labels = discs(32, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    moved, stack_labels = partly_transformed(images, labels.unsqueeze(1), 1.0, 1.5)
    moved_labels = stack_labels.squeeze(1)
    inside = moved_labels != IGNORE
    assert not inside.all() and (moved[~inside.unsqueeze(1)] == -1).float().mean() > 0.8  # it blends at the border
    assert ((moved.squeeze(1) > 0) == (moved_labels == 1))[inside].float().mean() > 0.99
    assert (moved_labels != labels).flatten(1).any(1).float().mean() > 0.9


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_tcsm_transforms_the_share_of_labelled_slices_that_was_asked_for(share):
    images, labels = discs(64, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    moved, _ = partly_transformed(images, labels.unsqueeze(1), share, 1.1)
    changed = (moved != images).flatten(1).any(1).float().mean()
    assert changed == share if share == 0 else abs(changed - share) < 0.15


def test_tcsm_learns_turned_slices_with_labels_turned_likewise():
    problem = Problem(darker)
    method = train("tcsm", problem, consistency_weight=0.0, turned_labels=1.0)
    assert dice(method, *problem.source(16, 1)) > 0.9


def test_istn_takes_source_intensities_to_the_target():
    problem = Problem(lambda images: images - 0.4)

    def gap(**settings: float) -> float:
        method = train("istn", problem, steps=1, transformer_steps=250, **settings)
        with torch.no_grad():
            fake = method.transform(problem.source(16, 1)[0])[0]
        return float((fake.mean() - problem.target(16, 1)[0].mean()).abs())

    assert gap(identity_weight=0.1) < 0.2
    assert gap(identity_weight=1000.0) > 0.3


def test_voxelmorph_moves_labels_onto_the_other_slice():
    problem = Problem(target_radius=0.65, spread=0.1)
    method = train("voxelmorph", problem, steps=1, registration_steps=150, references="target")
    fixed, expected = problem.target(8, 5)
    moving, labels = problem.source(8, 5)
    with torch.no_grad():
        displacement, _ = method.registration(moving, fixed)
    moved = warp_labels(labels, displacement)

    def overlap(a: Tensor) -> float:
        return float(2 * ((a == 1) & (expected == 1)).sum() / ((a == 1).sum() + (expected == 1).sum()))

    assert overlap(moved) > overlap(labels) + 0.1


def test_voxelmorph_without_registration_learns_the_slices_as_they_are():
    method = train("voxelmorph", Problem(), steps=1, registration_steps=0)
    moving, fixed = Problem().source(4, 0)[0], Problem().target(4, 0)[0]
    with torch.no_grad():
        assert method.registration(moving, fixed)[0].abs().max() < 0.01


@torch.no_grad()
def early_disagreement(**settings: object) -> float:
    """Return how far the early head is from the final output, on noisier slices than it learnt from."""
    problem = Problem(noisier)
    with torch.enable_grad():
        method = train("early_features", problem, head_steps=100, **settings)
    encoded = method.adapted.encode(problem.target(16, 2)[0])
    final = method.adapted.head(method.adapted.decode(encoded)[-1])
    return float((method.head(encoded[0]).softmax(1) - final.softmax(1)).abs().mean())


def test_early_features_make_the_early_head_agree_on_the_target():
    refined = early_disagreement(refine_steps=100, refine_learning_rate=3e-4)
    # Without moving weights; statistics follow the target in both.
    assert refined < 0.85 * early_disagreement(refine_steps=100, refine_learning_rate=1e-9)


def test_early_features_let_batch_norm_follow_the_target():
    def moved(**settings: object) -> bool:
        method = train("early_features", Problem(darker), 10, head_steps=1, refine_learning_rate=1e-9, **settings)
        before, after = (batch_norms(network)[0].running_mean for network in (method.teacher, method.adapted))
        return not torch.equal(before, after)

    assert moved()
    assert not moved(adapt_statistics=False)


def test_glua_draws_source_content_in_target_style():
    problem = Problem(darker)

    def gap(steps: int) -> float:
        method = train("glua", problem, steps=1, style_steps=steps, style_channels=4, style_learning_rate=3e-3)
        source, target = problem.source(16, 1)[0], problem.target(16, 1)[0]
        torch.manual_seed(0)
        with torch.no_grad():
            painted = method.painter.to_target(source, target)
        return float((painted.mean() - target.mean()).abs() + (painted.std() - target.std()).abs())

    assert gap(150) < 0.5 * gap(0)


def test_glua_masks_by_the_gap_of_a_class():
    method = train("glua", Problem(), steps=1, style_steps=0)
    method.prototypes[:] = 1.0
    method.prototypes[0, 1] = 3.0
    classes = torch.tensor([[[0, 1]]])
    assert method.local_mask(classes).flatten().tolist() == [1.0, 2.0]
    method.prototypes[0, 0] = 9.0
    method.prototypes[1, 0] = 0.0  # never seen on the target: its gap is unknown and does not count
    assert method.local_mask(classes).flatten().tolist() == [1.0, 2.0]
    plain = train("glua", Problem(), steps=1, style_steps=0, local_mask=False)
    assert plain.local_mask(classes).flatten().tolist() == [1.0, 1.0]


def test_sifa_segments_the_contrast_it_translated_to():
    problem = Problem(inverted)
    settings = {"generator_channels": 8, "generator_blocks": 1, "gan_learning_rate": 3e-3, "cycle_weight": 1.0}
    method = train("sifa", problem, steps=150, **settings)
    plain = train("source_only", problem)
    assert dice(method, *problem.target(8, 1)) > dice(plain, *problem.target(8, 1)) + 0.2


def test_meta_hallucinator_reaches_shapes_that_nobody_labelled():
    problem = Problem(target_radius=0.8)

    def score(**settings: object) -> float:
        return dice(train("meta_hallucinator", problem, steps=80, **settings), *problem.target(16, 1))

    assert score() > score(transformation_weight=0.0, meta=False, consistency_weight=0.0)


@pytest.mark.parametrize("second_order", [True, False])
def test_meta_hallucinator_takes_a_real_inner_step(second_order):
    method = train("meta_hallucinator", Problem(), steps=2, second_order=second_order)
    theta, psi = dict(method.segmenter.named_parameters()), dict(method.hallucinator.named_parameters())
    loss = sum(weight.square().sum() for weight in [*theta.values(), *psi.values()])
    stepped, _ = method._inner_step(loss, theta, psi)
    change = sum((stepped[n] - w).square().sum() for n, w in theta.items()).sqrt()
    assert change / sum(w.square().sum() for w in theta.values()).sqrt() > 1e-4
    assert all(weight.requires_grad for weight in stepped.values())
    gradient = torch.autograd.grad(sum(w.sum() for w in stepped.values()), list(theta.values()))
    curved = any((g - 1).abs().max() > 1e-6 for g in gradient)  # the inner gradient's own derivative
    assert curved == second_order

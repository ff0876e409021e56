"""Each method's own effect, on a small problem made for it, and its absence once the key term is switched off."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from leuda_core.blocks.losses import consistency_loss, structure_loss
from leuda_core.blocks.warp import warp_labels
from leuda_core.config import make_config
from leuda_core.methods import METHODS
from leuda_core.methods.base import Method
from leuda_core.methods.mean_teacher import with_noise
from leuda_core.methods.tcsm import partly_transformed, random_transform
from leuda_core.networks.unet import batch_norms
from leuda_core.types import IGNORE, Batch, Label, Task

pytestmark = pytest.mark.slow

SIDE = 32
TASK = Task(labels=(Label(1, "disc"),), spacing_mm=1.0, patch_size=SIDE)
Looks = Callable[[Tensor], Tensor]


def discs(count: int, generator: torch.Generator, radius: float = 0.45, spread: float = 0.5) -> tuple[Tensor, Tensor]:
    """Return noisy slices ``(count, 1, 32, 32)`` of a bright disc somewhere, and their labels."""
    grid = torch.linspace(-1, 1, SIDE)
    centre = spread * (2 * torch.rand(count, 2, 1, 1, generator=generator) - 1)
    labels = ((grid[:, None] - centre[:, 0]) ** 2 + (grid[None] - centre[:, 1]) ** 2 < radius**2).long()
    noise = 0.05 * torch.randn(count, 1, SIDE, SIDE, generator=generator)
    return (labels.unsqueeze(1) - 0.5 + noise).clamp(-1, 1), labels


class Problem:
    """Discs in the source, and discs that look otherwise (and may be of another size) in the target."""

    def __init__(self, looks: Looks = lambda x: x, target_radius: float = 0.45, spread: float = 0.5) -> None:
        self._looks, self._target_radius, self._spread = looks, target_radius, spread

    def source(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        return discs(count, torch.Generator().manual_seed(seed), spread=self._spread)

    def target(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed + 10_000)
        images, labels = discs(count, generator, self._target_radius, self._spread)
        return self._looks(images), labels

    def batch(self, step: int, count: int = 4) -> Batch:
        images, labels = self.source(count, 2 * step)
        return Batch(images, labels, self.source(count, 2 * step + 1)[0], self.target(count, step)[0])


def train(name: str, problem: Problem, steps: int = 60, **settings: object) -> Method:
    """Train a small method on a problem; the same weights and batches whatever the settings."""
    kind = METHODS[name]
    torch.manual_seed(0)
    small = {"base_channels": 4, "patch_size": SIDE, "augmentation": "paper", "learning_rate": 5e-3, "ema_decay": 0.9}
    method = kind(TASK, make_config(kind.Config, {**small, **settings}))
    method.train()
    method.teacher.eval()
    index = 0
    for phase in method.phases(steps):
        for step in range(phase.steps):
            torch.manual_seed(index)
            phase.take(step, problem.batch(index))
            index += 1
    return method.eval()


def dice(method: Method, images: Tensor, labels: Tensor) -> float:
    found = method.predict(images).argmax(1) == 1
    return float(2 * (found & (labels == 1)).sum() / (found.sum() + (labels == 1).sum()).clamp(min=1))


def darker(images: Tensor) -> Tensor:
    return 0.4 * images - 0.5


def inverted(images: Tensor) -> Tensor:
    return -images


def striped(images: Tensor) -> Tensor:
    return images + 0.4 * torch.arange(SIDE).mul(2.0).sin()


def noisier(images: Tensor) -> Tensor:
    return images + 0.4 * torch.randn(images.shape, generator=torch.Generator().manual_seed(5))


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


BRIDGE = {"translator_channels": 4, "translator_blocks": 1, "translator_steps": 30, "ramp_start": 0.0}


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
    problem = Problem(darker)

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
    method.prototypes[:] = 0
    method.prototypes[0, 1] = 3.0
    classes = torch.tensor([[[0, 1]]])
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

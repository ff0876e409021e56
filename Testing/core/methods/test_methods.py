"""The contract every method keeps, in one parametrised test each."""

import msgspec
import pytest
import torch

from leuda_core.bundle.model import load_bundle, save_bundle
from leuda_core.bundle.schema import BundleInfo, DomainSummary
from leuda_core.config import MethodConfig, config_schema, make_config
from leuda_core.errors import InputError
from leuda_core.methods import METHODS
from leuda_core.methods.cyclegan import TranslatingMethod
from leuda_core.types import Batch, Label, Task

SIDE = 32
TASK = Task(labels=(Label(1, "a"), Label(2, "b")), spacing_mm=1.0, patch_size=SIDE)

every_method = pytest.mark.parametrize("name", METHODS)


def make(name, **settings):
    torch.manual_seed(0)
    kind = METHODS[name]
    small = {"base_channels": 4, "patch_size": SIDE}
    if issubclass(kind, TranslatingMethod):
        small |= {"translator_channels": 4, "translator_blocks": 1}
    small |= {key: 2 for key in kind.Config.__struct_fields__ if key.endswith("_steps")}
    method = kind(TASK, make_config(kind.Config, {**small, **settings}))
    method.train()
    method.teacher.eval()
    return method


def make_batch(seed=0, target_labels=False):
    generator = torch.Generator().manual_seed(seed)

    def images(count):
        return torch.rand(count, 1, SIDE, SIDE, generator=generator) * 2 - 1

    labels = torch.randint(0, 3, (2, SIDE, SIDE), generator=generator)
    return Batch(images(2), labels, images(2), images(2), labels if target_labels else None)


def take_steps(method, first, last):
    """Run steps ``first`` to ``last`` of a run of three main steps, seeded step by step as training does."""
    steps = [(phase, i) for phase in method.phases(3) for i in range(phase.steps)]
    losses = {}
    for index in range(first, min(last, len(steps))):
        torch.manual_seed(index)
        phase, step = steps[index]
        losses = phase.take(step, make_batch(index, method.reads_target_labels))
    return losses


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_second_update_in_a_step_sees_the_weights_of_the_first():
    """Autocast keeps copies of weights in half precision until its context ends, which is that of the step."""
    methods = [make("source_only", augmentation="strong") for _ in range(2)]
    batches = [make_batch(seed) for seed in range(2)]
    for method, contexts in zip(methods, (1, 2), strict=True):
        for context in range(contexts):
            with torch.autocast("cpu", torch.bfloat16):
                for number in (0, 1) if contexts == 1 else (context,):
                    torch.manual_seed(number)
                    method.training_step(batches[number], 0.5)
    assert same(*(weights(method.segmenter) for method in methods))


@pytest.mark.slow
@every_method
def test_steps_are_finite_detached_and_change_the_teacher(name):
    method = make(name)
    before = weights(method.teacher)
    losses = take_steps(method, 0, 99)
    assert losses
    assert all(torch.isfinite(loss) and not loss.requires_grad for loss in losses.values())
    assert not same(before, weights(method.teacher))


@pytest.mark.slow
@every_method
def test_each_optimizer_moves_its_own_networks_and_nothing_else(name):
    method = make(name)
    owned = {key: {id(p) for g in o.param_groups for p in g["params"]} for key, o in method.optimizers.items()}
    for key, mine in owned.items():
        assert not any(mine & others for other, others in owned.items() if other != key)
    assert not {id(p) for p in method.teacher.parameters()} & set().union(*owned.values())
    for key, mine in owned.items():
        if key == "segmenter":
            continue
        # Only this optimiser may have moved its parameters: put it to sleep and they must stay.
        sleeping = make(name)
        still = [p for g in sleeping.optimizers[key].param_groups for p in g["params"]]
        before = [p.detach().clone() for p in still]
        sleeping.optimizers[key].step = lambda: None
        take_steps(sleeping, 0, 99)
        # A network that is adapted may begin as a copy of the teacher.
        teacher = list(sleeping.teacher.parameters())
        for earlier, now in zip(before, still, strict=True):
            assert torch.equal(earlier, now) or any(torch.equal(p, now) for p in teacher if p.shape == now.shape)
        assert len(mine) == len(still)


@pytest.mark.slow
@every_method
def test_every_trained_network_moves(name):
    method = make(name)
    before = {
        key: [p.detach().clone() for g in o.param_groups for p in g["params"]] for key, o in method.optimizers.items()
    }
    take_steps(method, 0, 99)
    for key, optimizer in method.optimizers.items():
        after = [p for g in optimizer.param_groups for p in g["params"]]
        assert any(not torch.equal(a, b) for a, b in zip(before[key], after, strict=True)), key


@pytest.mark.slow
@every_method
def test_a_restored_method_goes_on_bit_for_bit(name, tmp_path):
    method = make(name)
    take_steps(method, 0, 3)
    torch.save(method.checkpoint(), tmp_path / "checkpoint.pt")
    take_steps(method, 3, 99)
    resumed = make(name)
    resumed.restore(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    take_steps(resumed, 3, 99)
    assert same(weights(method), weights(resumed))


@pytest.mark.slow
@every_method
def test_prediction_has_one_channel_a_class_and_is_repeatable(name):
    method = make(name)
    take_steps(method, 0, 99)
    images = make_batch(7).target
    first, second = method.predict(images), method.predict(images)
    assert first.shape == (2, 3, SIDE, SIDE)
    assert torch.equal(first, second)
    shipped = method.predictor()
    assert not any(p.requires_grad for p in shipped.parameters()) or not shipped.training


@pytest.mark.slow
@every_method
def test_the_shipped_model_predicts_like_the_method(name, tmp_path):
    method = make(name)
    take_steps(method, 0, 99)
    domain = DomainSummary(name="d", modality="MR")
    info = BundleInfo(name="m", method=name, source=domain, target=domain)
    shipped = load_bundle(save_bundle(tmp_path / "bundle", method.predictor(), TASK, info)).predictor()
    images = make_batch(7).target
    with torch.no_grad():
        assert torch.equal(shipped(images), method.predict(images))


@pytest.mark.slow
@every_method
def test_target_labels_reach_no_method_but_the_upper_bound(name):
    kind = METHODS[name]
    assert kind.reads_target_labels == (name == "target_supervised")
    if kind.reads_target_labels:
        return
    plain, told = make(name), make(name)
    take_steps(plain, 0, 99)
    told.reads_target_labels = True  # hands it a batch with target labels, which must change nothing
    take_steps(told, 0, 99)
    assert same(weights(plain), weights(told))


@every_method
def test_settings_are_described_and_checked(name):
    kind = METHODS[name].Config
    fields = config_schema(kind)["properties"]
    assert fields.keys() >= config_schema(MethodConfig)["properties"].keys()
    assert all(field.get("description") for field in fields.values()), name
    assert msgspec.convert(msgspec.to_builtins(kind()), kind) == kind()
    with pytest.raises(InputError, match="did you mean 'batch_size'"):
        make_config(kind, {"batchsize": "4"})
    with pytest.raises(InputError, match="learning_rate='-1'"):
        make_config(kind, {"learning_rate": "-1"})
    assert METHODS[name].title and METHODS[name].summary and METHODS[name].paper


def test_strong_augmentation_alone_differs_between_the_levels():
    batch = make_batch()
    assert torch.equal(make("source_only", augmentation="paper").appearance(batch.source), batch.source)
    assert not torch.equal(make("source_only", augmentation="strong").appearance(batch.source), batch.source)


def test_mt_uda_student_never_sees_a_target_looking_slice():
    method, batch = make("mt_uda"), make_batch()
    seen = []
    method.segmenter.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.settings = msgspec.structs.replace(method.settings, augmentation="paper")
    method.training_step(batch, 0.5)
    streams = method.translator.streams(torch.cat([batch.source, batch.source_unlabelled]), batch.target)
    shown = torch.cat(seen)
    for hidden in (batch.target, streams.source_to_target, streams.target_cycled):
        for image in hidden:
            assert not any(torch.equal(image, other) for other in shown)
    assert any(torch.equal(streams.target_to_source[0], other) for other in shown)


def test_mt_uda_compares_student_and_teachers_on_the_same_slices():
    method, batch = make("mt_uda"), make_batch()
    views = method.views(batch)
    x_s, x_t, translator = batch.source_unlabelled, batch.target, method.translator
    x_st, x_ts = translator.to_target(x_s), translator.to_source(x_t)
    assert torch.equal(views.intra_pairs(views.student), views.intra)
    assert torch.equal(views.intra, torch.cat([x_s, x_ts]))
    student, teacher = views.inter_pairs(views.student, views.inter)
    assert torch.equal(student, torch.cat([x_s, translator.to_source(x_st), x_ts, x_ts]))
    assert torch.equal(teacher, torch.cat([x_st, x_st, x_t, translator.to_target(x_ts)]))


@pytest.mark.parametrize(("weight", "term"), [("intra_weight", "intra"), ("inter_weight", "inter")])
@pytest.mark.parametrize("name", ["mt_uda", "le_uda"])
def test_a_teacher_without_weight_has_no_effect(name, weight, term):
    """Each consistency term changes the student, and switched off it does not: the weights really weigh."""

    def student(value):
        method = make(name, **{weight: value})
        method.training_step(make_batch(), 0.9)
        return weights(method.segmenter)

    assert not same(student(0.0), student(50.0)), term


@pytest.mark.slow
def test_le_uda_without_its_own_terms_is_mt_uda():
    off = {"adversarial_weight": 0, "auxiliary_adversarial_weight": 0, "auxiliary_weight": 0}
    plain, special = make("mt_uda"), make("le_uda", **off)
    special.load_state_dict({**special.state_dict(), **plain.state_dict()})
    for method in (plain, special):
        torch.manual_seed(1)
        method.training_step(make_batch(), 0.9)
    assert same(weights(plain.segmenter), weights(special.segmenter))


@pytest.mark.parametrize("name", [name for name in METHODS if issubclass(METHODS[name], TranslatingMethod)])
def test_without_steps_of_the_translator_slices_stay_as_they_are(name):
    method = make(name, translator_steps=0)
    assert [phase.name for phase in method.phases(3)] == ["train"]
    take_steps(method, 0, 3)
    batch = make_batch()
    streams = method.translator.streams(batch.source, batch.target)
    assert streams.source_to_target is streams.source_cycled is batch.source
    assert streams.target_to_source is streams.target_cycled is batch.target
    with torch.no_grad():
        assert torch.equal(method.predict(batch.target), method.teacher(batch.target))
    assert method.predictor_spec().translator_channels == 0


def test_a_translator_is_shared_by_path(tmp_path):
    first = make("cyclegan")
    take_steps(first, 0, 2)
    first.write_files(tmp_path)
    second = make("le_uda", translator=str(tmp_path))
    assert [phase.name for phase in second.phases(3)] == ["train"]
    assert same(weights(first.translator), weights(second.translator))
    with pytest.raises(InputError, match="networks of a different size"):
        make("le_uda", translator=str(tmp_path), translator_blocks=2)
    with pytest.raises(InputError, match="does not exist"):
        make("le_uda", translator=str(tmp_path / "nowhere"))


@pytest.mark.slow
def test_translation_brings_the_modalities_together():
    """On a problem made for it, negated grey values, CycleGAN's cycle closes and its translator inverts contrast."""
    torch.manual_seed(0)
    method = make("cyclegan", translator_channels=8, translator_steps=60, translator_learning_rate=2e-3)

    def disks(count):
        grid = torch.linspace(-1, 1, SIDE)
        centres = torch.rand(count, 2, 1, 1) - 0.5
        inside = (grid[:, None] - centres[:, 0]) ** 2 + (grid[None] - centres[:, 1]) ** 2 < 0.15
        return torch.where(inside, 0.7, -0.7)[:, None]

    phase = method.phases(1)[0]
    first = None
    for step in range(phase.steps):
        source, target = disks(4), -disks(4)
        losses = phase.take(step, Batch(source, None, source, target))
        first = first or losses
    assert losses["cycle"] < 0.35 * first["cycle"]


def test_views_cost_no_gradient():
    views = make("le_uda").views(make_batch())
    assert not views.labelled.requires_grad and not views.student.requires_grad and not views.inter.requires_grad

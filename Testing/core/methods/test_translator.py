"""The CycleGAN of the translating methods: where it begins, what it remembers, and what earlier versions wrote."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from leuda_core.blocks.pool import POOL_SIZE, ImagePool
from leuda_core.config import make_config
from leuda_core.earlier import stored_settings
from leuda_core.methods.cyclegan import CycleGan, Translator
from leuda_core.networks.generator import Generator, ImageDecoder
from leuda_core.networks.predictor import Predictor, PredictorSpec
from method_problems import BRIDGE, SIDE, TASK, Problem, train

SMALL = {"base_channels": 4, "patch_size": SIDE, **{name: BRIDGE[name] for name in BRIDGE if name != "ramp_start"}}


def make(**settings: object) -> CycleGan:
    torch.manual_seed(0)
    return CycleGan(TASK, make_config(CycleGan.Config, {**SMALL, **settings}))


def without_change(network: Any) -> Any:
    """Return a network whose last layer says that nothing changes."""
    torch.nn.init.zeros_(network.layers[-1].weight)
    torch.nn.init.zeros_(network.layers[-1].bias)
    return network


def test_no_change_is_the_identity_and_was_not_in_version_0_1() -> None:
    images = torch.linspace(-1, 1, 2 * SIDE * SIDE).view(2, 1, SIDE, SIDE)
    assert torch.allclose(without_change(Generator(4, 1))(images), images, atol=1e-5)
    assert torch.equal(without_change(Generator(4, 1, "sum"))(images), images.tanh())
    features = torch.rand(2, 16, SIDE // 4, SIDE // 4)
    assert torch.allclose(without_change(ImageDecoder(16))(features, images), images, atol=1e-5)
    assert torch.equal(without_change(ImageDecoder(16, form="sum"))(features, images), images.tanh())


def test_air_stays_black_and_tissue_can_change_to_either_end() -> None:
    images = torch.full((1, 1, SIDE, SIDE), -1.0)
    images[..., 8:16, 8:16] = 0.0
    for bias, end in ((9.0, 1.0), (-9.0, -1.0)):
        network = without_change(Generator(4, 1))
        torch.nn.init.constant_(network.layers[-1].bias, bias)
        changed = network(images)
        assert torch.equal(changed[..., 20:, :], images[..., 20:, :])
        assert changed[0, 0, 12, 12].item() == pytest.approx(end, abs=0.04)


def test_a_pool_shows_what_it_was_given_until_it_is_full() -> None:
    pool = ImagePool(2)
    given = torch.arange(POOL_SIZE + 40.0).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    torch.manual_seed(0)
    assert torch.equal(pool(given[:POOL_SIZE]), given[:POOL_SIZE])
    shown, late = pool(given[POOL_SIZE:]), given[POOL_SIZE:]
    earlier = [not torch.equal(one, new) for one, new in zip(shown, late, strict=True)]
    assert 10 <= sum(earlier) <= 30
    everything = torch.cat([shown, pool.images])[:, 0, 0, 0]
    assert sorted(everything.tolist()) == given[:, 0, 0, 0].tolist()  # nothing is lost or shown twice
    assert "images" in pool.state_dict() and "count" in pool.state_dict()


def test_the_averages_translate_after_the_phase() -> None:
    method = train("cyclegan", Problem(), steps=1, **SMALL)
    for generator, average in zip(method.translator.generators, method.averages, strict=True):
        for name, value in average.state_dict().items():
            assert torch.equal(generator.state_dict()[name], value)
    method = make()
    batch = Problem().batch(0)
    for index in range(3):
        method.translation_step(batch, index / 30)
    assert isinstance(method.translator, Translator)
    weight, average = (net.layers[0].weight for net in (method.translator.to_target, method.averages[0]))
    assert not torch.equal(weight, average) and torch.allclose(weight, average, atol=1e-2)


def test_a_checkpoint_of_before_averages_and_pools_opens() -> None:
    method = make()
    method.translation_step(Problem().batch(0), 0.0)
    state = method.checkpoint()
    state["networks"] = {
        name: value for name, value in state["networks"].items() if not name.startswith(("averages.", "pools."))
    }
    other = make()
    other.restore(state)
    for generator, average in zip(method.translator.generators, other.averages, strict=True):
        assert torch.equal(generator.layers[0].weight, average.layers[0].weight)
    assert int(other.pools[0].count) == 0
    other.translation_step(Problem().batch(1), 0.1)


def test_what_version_0_1_stored_means_the_form_of_then() -> None:
    assert stored_settings({"translator_channels": 16})["translator_form"] == "sum"
    assert stored_settings({"generator_channels": 16})["generator_form"] == "sum"
    assert stored_settings({"translator_channels": 16, "translator_form": "change"})["translator_form"] == "change"
    assert stored_settings({"batch_size": 4}) == {"batch_size": 4}
    spec = PredictorSpec(n_classes=2, base_channels=4, translator_channels=4, translator_blocks=1)
    translator = Predictor(spec).translator
    assert isinstance(translator, Generator) and translator.form == "sum"
    assert make().predictor_spec().translator_form == "change"

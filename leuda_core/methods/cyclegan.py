"""CycleGAN: unpaired image translation between the modalities, then segmentation of translated target slices.

Zhu et al., ICCV 2017, used for domain adaptation as in MT-UDA: the segmenter is trained on source slices, and target
slices are translated to the source domain before they are segmented.

The discriminators also see earlier translations, as in the paper. Our choice: the moving averages of the generators
translate.

    L_G = (D_t(G_t(x_s)) - 1)^2 + (D_s(G_s(x_t)) - 1)^2 + 10 (|G_s(G_t(x_s)) - x_s| + |G_t(G_s(x_t)) - x_t|)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from msgspec import Meta
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from leuda_core.blocks.ema import averaged_copy, update_average
from leuda_core.blocks.losses import adversarial_loss, cycle_loss, discriminator_loss
from leuda_core.blocks.pool import ImagePool
from leuda_core.blocks.schedules import decayed
from leuda_core.blocks.stacks import central
from leuda_core.config import MethodConfig
from leuda_core.earlier import present_weights
from leuda_core.errors import InputError
from leuda_core.io.files import atomic_path
from leuda_core.methods.base import Losses, Method, Phase, detached
from leuda_core.networks.discriminators import PatchDiscriminator
from leuda_core.networks.generator import Form, Generator
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.types import Batch

TRANSLATOR_FILE = "translator.safetensors"


class TranslatorConfig(MethodConfig, frozen=True):
    """Settings of the methods that train or load an image translator."""

    unlabelled_batch_size: Annotated[
        int, Meta(ge=1, le=256, description="unlabelled slices of each domain per step")
    ] = 2
    translator_steps: Annotated[
        int, Meta(ge=0, description="training steps of the image translator; 0: no translation")
    ] = 1000
    translator_channels: Annotated[
        int, Meta(ge=4, le=128, description="channels in the first layer of the generators")
    ] = 16
    translator_blocks: Annotated[int, Meta(ge=1, le=12, description="residual blocks of the generators")] = 4
    translator_form: Annotated[
        Form,
        Meta(
            description="how generators change an image; change: from none on, and not in air; sum: as in version 0.1"
        ),
    ] = "change"
    translator_halvings: Annotated[
        int, Meta(ge=1, le=4, description="layers of the translator's discriminators that halve the size of an image")
    ] = 2
    translator_learning_rate: Annotated[float, Meta(gt=0, le=1, description="learning rate of the translator")] = 4e-4
    cycle_weight: Annotated[float, Meta(ge=0, description="weight of the cycle-consistency loss")] = 10.0
    translator: Annotated[str, Meta(description="run folder with a translator to use; empty: train a new one")] = ""


class Translator(nn.Module):
    """Two generators and their discriminators."""

    def __init__(self, channels: int, blocks: int, halvings: int = 2, form: Form = "change") -> None:
        super().__init__()
        self.to_target = Generator(channels, blocks, form)
        self.to_source = Generator(channels, blocks, form)
        self.discriminator_target = PatchDiscriminator(1, channels, halvings)
        self.discriminator_source = PatchDiscriminator(1, channels, halvings)

    @property
    def generators(self) -> list[nn.Module]:
        return [self.to_target, self.to_source]

    @property
    def discriminators(self) -> list[nn.Module]:
        return [self.discriminator_target, self.discriminator_source]

    @torch.no_grad()
    def streams(self, source: Tensor, target: Tensor) -> Streams:
        """Return all translations of ``source`` and ``target`` slices."""
        source_to_target = self.to_target(source)
        target_to_source = self.to_source(target)
        return Streams(
            source_to_target=source_to_target,
            source_cycled=self.to_source(source_to_target),
            target_to_source=target_to_source,
            target_cycled=self.to_target(target_to_source),
        )


class NoTranslator(nn.Module):
    """Returns slices unchanged: stands in for a translator in methods that train without one."""

    def __init__(self) -> None:
        super().__init__()
        self.to_target = self.to_source = nn.Identity()

    def streams(self, source: Tensor, target: Tensor) -> Streams:
        return Streams(source_to_target=source, source_cycled=source, target_to_source=target, target_cycled=target)


@dataclass(frozen=True, eq=False)
class Streams:
    """Translated slices, each ``(B, C, H, W)`` and aligned with its original."""

    source_to_target: Tensor
    source_cycled: Tensor
    target_to_source: Tensor
    target_cycled: Tensor


class TranslatingMethod(Method):
    """Base of the methods with a CycleGAN, which is trained in their first phase or loaded from an earlier run."""

    Config = TranslatorConfig

    settings: TranslatorConfig
    translator: Translator | NoTranslator

    @property
    def translates(self) -> bool:
        return bool(self.settings.translator or self.settings.translator_steps)

    def build(self) -> None:
        if self.translates:
            self.translator = self._new_translator()
        else:
            self.translator = NoTranslator()
        super().build()

    def _new_translator(self) -> Translator:
        s = self.settings
        translator = Translator(s.translator_channels, s.translator_blocks, s.translator_halvings, s.translator_form)
        lr, betas = s.translator_learning_rate, (0.5, 0.999)
        self.add_optimizer("generators", translator.generators, lr=lr, betas=betas)
        self.add_optimizer("discriminators", translator.discriminators, lr=lr, betas=betas)
        if s.translator:
            _load(translator, Path(s.translator) / TRANSLATOR_FILE)
        else:
            self.averages = nn.ModuleList(averaged_copy(generator) for generator in translator.generators)
            self.pools = nn.ModuleList(ImagePool(s.patch_size) for _ in translator.discriminators)
        return translator

    @property
    def trains_translator(self) -> bool:
        return self.translates and not self.settings.translator

    def restore(self, state: dict[str, Any]) -> None:
        networks = state["networks"]
        if self.trains_translator and not any(name.startswith("averages.") for name in networks):
            networks = {**networks, **self._without_history(networks)}
        super().restore({**state, "networks": networks})

    def _without_history(self, networks: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return averages and empty pools for a checkpoint of an earlier version, which had none."""
        found = {f"pools.{name}": value for name, value in self.pools.state_dict().items()}
        for index, generator in enumerate(("to_target", "to_source")):
            prefix = f"translator.{generator}."
            weights = {name.removeprefix(prefix): x for name, x in networks.items() if name.startswith(prefix)}
            found |= {f"averages.{index}.{name}": value for name, value in weights.items()}
        return found

    def write_files(self, folder: Path) -> None:
        """Write the translator, so that other runs on the same dataset can load it."""
        if self.translates:
            with atomic_path(folder / TRANSLATOR_FILE, private=True) as temporary:
                save_file({name: x.contiguous() for name, x in self.translator.state_dict().items()}, temporary)

    def plan(self, steps: int) -> list[Phase]:
        first, *others = super().plan(steps)
        if not self.trains_translator:
            return [first, *others]
        translate = Phase("translate", self.settings.translator_steps, self.translation_step)
        return [translate, first._replace(begin=self.use_averages), *others]

    def use_averages(self) -> None:
        """Translate with the moving averages of the generators from now on."""
        assert isinstance(self.translator, Translator)
        for generator, average in zip(self.translator.generators, self.averages, strict=True):
            generator.load_state_dict(average.state_dict())

    def translation_step(self, batch: Batch, progress: float) -> Losses:
        t, source, target = self.translator, central(batch.source_unlabelled), central(batch.target)
        assert isinstance(t, Translator)  # without one there are no steps
        rate = decayed(self.settings.translator_learning_rate, progress)
        self.set_learning_rate(rate, "generators", "discriminators")
        fake_target, fake_source = t.to_target(source), t.to_source(target)
        d_target, d_source = t.discriminator_target, t.discriminator_source
        cycle = cycle_loss(source, t.to_source(fake_target)) + cycle_loss(target, t.to_target(fake_source))
        adversarial = adversarial_loss(d_target(fake_target)) + adversarial_loss(d_source(fake_source))
        self.minimize(adversarial + self.settings.cycle_weight * cycle, "generators")
        earlier_target, earlier_source = self.pools[0](fake_target), self.pools[1](fake_source)
        discrimination = discriminator_loss(d_target(target), d_target(earlier_target))
        discrimination = discrimination + discriminator_loss(d_source(source), d_source(earlier_source))
        self.minimize(discrimination, "discriminators")
        done = round(progress * self.settings.translator_steps)
        for average, generator in zip(self.averages, t.generators, strict=True):
            update_average(average, generator, self.settings.ema_decay, done)
        return detached(cycle=cycle, adversarial=adversarial, discriminator=discrimination)

    @torch.no_grad()
    def as_segmented(self, images: Tensor) -> Tensor:
        return self.translator.to_source(images)

    def predictor_spec(self) -> PredictorSpec:
        spec = super().predictor_spec()
        if not self.translates:
            return spec
        return msgspec.structs.replace(
            spec,
            translator_channels=self.settings.translator_channels,
            translator_blocks=self.settings.translator_blocks,
            translator_form=self.settings.translator_form,
        )

    def predictor(self) -> Predictor:
        predictor = super().predictor()
        predictor.translator.load_state_dict(self.translator.to_source.state_dict())
        return predictor


def _load(translator: Translator, path: Path) -> None:
    if not path.is_file():
        raise InputError(f"translator: {path} does not exist", "give the folder of a run that trained a translator")
    try:
        translator.load_state_dict(present_weights(load_file(path)))
    except RuntimeError as error:
        raise InputError(
            f"translator: {path} has networks of a different size", "use its settings that begin with translator_"
        ) from error


class CycleGan(TranslatingMethod):
    """Supervised learning on source slices; target slices are translated to the source domain before segmentation."""

    title = "CycleGAN"
    summary = "Translates target slices to the source modality and segments the result."
    paper = "Zhu et al., ICCV 2017"

    class Config(TranslatorConfig, frozen=True):
        unlabelled_batch_size: Annotated[
            int, Meta(ge=1, le=256, description="unlabelled slices of each domain per step")
        ] = 4

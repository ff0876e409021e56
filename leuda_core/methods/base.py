"""The base of all methods: a segmenter, its moving average, and optimisers that each update only their own networks.

A method is an ``nn.Module`` that owns its networks, teachers, discriminators and optimisers, so that every checkpoint
is complete. The file of a method declares its networks in ``build`` and implements the paper in ``training_step``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from leuda_core.blocks.counters import Counting
from leuda_core.blocks.ema import averaged_copy, update_average
from leuda_core.blocks.losses import segmentation_loss
from leuda_core.blocks.stacks import central
from leuda_core.config import DEFAULT_STEPS, MethodConfig
from leuda_core.data.batches.augment import random_appearance
from leuda_core.data.slices import in_padding
from leuda_core.earlier import present_weights
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.networks.unet import UNet
from leuda_core.types import STREAMS, Batch, Stream, Task

Losses = dict[str, Tensor]


class Phase(NamedTuple):
    """A part of a run: ``step(batch, progress)`` is called ``steps`` times, with ``progress`` from 0 to 1.

    ``begin()`` is called before the first step, but not again when a run resumes within the phase. Slices that are not
    in ``streams(progress)`` are not drawn for a step.
    """

    name: str
    steps: int
    step: Callable[[Batch, float], Losses]
    begin: Callable[[], object] = lambda: None
    streams: Callable[[float], Set[Stream]] = lambda _progress: STREAMS

    def take(self, index: int, batch: Batch) -> Losses:
        """Take step ``index`` of the phase and return its detached losses."""
        if index == 0:
            self.begin()
        return self.step(batch, index / self.steps)


class Method(Counting):
    """Base of all methods: supervised learning on source slices, which subclasses replace or add to."""

    Config: ClassVar[type[MethodConfig]] = MethodConfig
    """The method's settings. A subclass with its own ``Config`` also narrows the type of ``settings``."""
    title: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    reads_target_labels: ClassVar[bool] = False
    """Whether all target slices of a batch are labelled ones; true only for ``target_supervised``."""
    default_steps: ClassVar[int] = DEFAULT_STEPS
    """Default training steps of the segmenter."""
    draws_episodes: ClassVar[bool] = False
    """Whether the two halves of every batch must come from different volumes."""

    fixed_steps: ClassVar[frozenset[str]] = frozenset()
    """Settings that are the steps of a phase, but do not become larger when a plan has time for more."""

    settings: MethodConfig
    segmenter: UNet
    teacher: UNet
    updates: Tensor

    def __init__(self, task: Task, settings: MethodConfig) -> None:
        super().__init__()
        self.task = task
        self.settings = settings
        self.optimizers: dict[str, Optimizer] = {}
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        self.segmenter = self.new_segmenter()
        self.build()
        self.teacher = averaged_copy(self.segmenter)

    def new_segmenter(self) -> UNet:
        """Return an untrained segmenter; its architecture is the same for all methods."""
        spec = self.predictor_spec()
        return UNet(spec.n_classes, spec.base_channels, spec.norm, spec.in_channels)

    @classmethod
    def learns_target_labels(cls, settings: MethodConfig) -> bool:
        """Return whether a run with these settings reads the labels of target cases."""
        return cls.reads_target_labels or settings.target_labels

    def build(self) -> None:
        """Declare the networks and their optimisers. By default, there is only the segmenter."""
        self.add_optimizer("segmenter", [self.segmenter])

    def main_step(self, batch: Batch, progress: float) -> Losses:
        """Take one step of the main phase: that of the method, then one on labelled target slices if there are any."""
        losses = self.training_step(batch, progress)
        if batch.labelled_target is None or batch.labelled_target_structures is None:
            return losses
        return losses | self.target_step(batch.labelled_target, batch.labelled_target_structures)

    def target_step(self, images: Tensor, structures: Tensor) -> Losses:
        """Learn from labelled target slices as prediction will show them to the segmenter.

        Shape:
            as for ``supervised_step``.
        """
        logits = self.segmenter(self.appearance(self.as_segmented(images), structures))
        loss = segmentation_loss(logits, central(structures).squeeze(1))
        self.minimize(loss, "segmenter")
        return detached(target_segmentation=loss)

    @torch.no_grad()
    def as_segmented(self, images: Tensor) -> Tensor:
        """Return target slices as prediction passes them to the segmenter; by default unchanged."""
        return images

    def training_step(self, batch: Batch, progress: float) -> Losses:
        """Take one step of the main phase and return the detached losses. By default, learn only from source labels.

        ``progress`` rises from 0 to 1 over the phase.
        """
        return self.supervised_step(batch.source, batch.source_structures)

    def supervised_step(self, images: Tensor, structures: Tensor) -> Losses:
        """Learn from labelled slices.

        Shape:
            images: ``(B, C, H, W)``; structures: the same, class indices of all slices of the stacks.
        """
        labels = central(structures).squeeze(1)
        loss = segmentation_loss(self.segmenter(self.appearance(images, structures)), labels)
        self.minimize(loss, "segmenter")
        self.update_teacher()
        return detached(segmentation=loss)

    def streams(self, progress: float) -> Set[Stream]:
        """Return the slices that ``training_step`` uses at this part of the run; all, unless it is the default one."""
        return {"source"} if type(self).training_step is Method.training_step else STREAMS

    def plan(self, steps: int) -> list[Phase]:
        """Declare the phases of a run in order; ``steps`` is the number of training steps of the segmenter."""
        return [Phase("train", steps, self.main_step, streams=self.streams)]

    def phases(self, steps: int) -> list[Phase]:
        """Return the phases of the plan that have steps."""
        return [phase for phase in self.plan(steps) if phase.steps]

    def predictor(self) -> Predictor:
        """Return the predictor: the moving average of the segmenter, so no checkpoint has to be selected."""
        predictor = Predictor(self.predictor_spec())
        predictor.segmenter.load_state_dict(self.final_weights())
        return predictor.eval()

    def final_weights(self) -> dict[str, Tensor]:
        """Return the weights of the final segmenter."""
        return self.teacher.state_dict()

    def predictor_spec(self) -> PredictorSpec:
        return PredictorSpec(
            n_classes=self.task.n_classes,
            base_channels=self.settings.base_channels,
            in_channels=self.task.in_channels,
        )

    def write_files(self, folder: Path) -> None:
        """Write files that other runs can use into the folder of the finished run; by default none."""

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Return the logits that the current predictor computes for target slices of any size.

        Shape:
            images: ``(B, C, H, W)`` in [-1, 1]; result ``(B, n_classes, H, W)``.
        """
        return in_padding(self.predictor().to(images.device), images, self.task.patch_size)

    def add_optimizer(
        self,
        name: str,
        networks: Iterable[nn.Module],
        *,
        lr: float | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        """Add an Adam optimiser ``name`` for the parameters of ``networks``."""
        parameters = [p for network in networks for p in network.parameters()]
        self.optimizers[name] = Adam(parameters, lr=lr or self.settings.learning_rate, betas=betas)

    def set_learning_rate(self, rate: float, *names: str) -> None:
        """Set the learning rate of the named optimisers for the next step."""
        for name in names:
            for group in self.optimizers[name].param_groups:
                group["lr"] = rate

    def minimize(self, loss: Tensor, name: str) -> None:
        """Take one step of the optimiser ``name`` on ``loss``; no other network gets a gradient."""
        self.minimize_together({name: loss})

    def minimize_together(self, losses: dict[str, Tensor]) -> None:
        """Take one step of each named optimiser on its own loss; the losses share one forward pass."""
        last = len(losses) - 1
        for index, (name, loss) in enumerate(losses.items()):
            parameters = [p for group in self.optimizers[name].param_groups for p in group["params"]]
            self.optimizers[name].zero_grad()
            loss.backward(inputs=parameters, retain_graph=index < last)
        for name in losses:  # after all gradients: a step changes weights that the other gradients need
            self.optimizers[name].step()
        torch.clear_autocast_cache()  # it has copies of the weights of before in half precision

    def update_teacher(self) -> None:
        """Move the teacher towards the segmenter."""
        update_average(self.teacher, self.segmenter, self.settings.ema_decay, int(self.updates))
        self.updates += 1

    def appearance(self, images: Tensor, structures: Tensor | None = None) -> Tensor:
        """Return training slices with a random appearance if ``augmentation`` is ``strong``, else unchanged."""
        if self.settings.augmentation != "strong":
            return images
        return random_appearance(images, structures, self.task.n_classes)

    def checkpoint(self) -> dict[str, Any]:
        """Return everything needed to continue: networks and optimisers."""
        return {
            "networks": self.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``checkpoint()``."""
        self.load_state_dict(present_weights(state["networks"]))
        # Matched by order: version 0.1 used other names for some of them.
        for optimizer, values in zip(self.optimizers.values(), state["optimizers"].values(), strict=True):
            optimizer.load_state_dict(values)


def detached(**losses: Tensor) -> Losses:
    """Return the losses without their computation graphs, for the log."""
    return {name: loss.detach() for name, loss in losses.items()}

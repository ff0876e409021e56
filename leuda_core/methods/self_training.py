"""Self-training: the student learns in random views and appearances what its moving average says of slices as they are.

Our combination of known methods: mean teacher (Tarvainen and Valpola, NeurIPS 2017), and pseudo-labels above a
confidence threshold that go from a weak to a strong augmentation (FixMatch, Sohn et al., NeurIPS 2020).

    L = L_seg(f(a(v(x_s))), y_s) + w(t) L_pseudo(f(a(v(x_u))), v(p)),   p = sg f'(x_u)

``v`` is a random view (turned, scaled, shifted) and ``a`` a random appearance. The teacher ``f'`` sees unlabelled
slices ``x_u`` upright and without augmentation, where it is best; its answer is moved into the view. ``x_u`` are target
slices; half are source slices, unless most of these are labelled.

Pseudo-labels are pixels above a high threshold. Thin structures rarely reach it and would shrink, since only what
surrounds them is learnt; so the most certain share of each structure is learnt in any case, similar to class-balanced
self-training (Zou et al., ECCV 2018).

With ``translator_steps``, a CycleGAN translates every slice to the other domain, so that it has two looks: the student
learns from either at random, the teacher's answer is the mean of both, and target slices are translated to the source
domain before they are segmented.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor

from leuda_core.blocks.losses import pseudo_label_loss, segmentation_loss
from leuda_core.blocks.pseudo_labels import class_thresholds
from leuda_core.blocks.schedules import delayed_ramp, sigmoid_ramp
from leuda_core.data.batches.views import into_views
from leuda_core.methods.base import Losses, detached
from leuda_core.methods.cyclegan import TranslatingMethod, TranslatorConfig
from leuda_core.types import STREAMS, Batch, Stream

RAMP = 0.1  # of the run


class SelfTraining(TranslatingMethod):
    """Supervised learning on labelled slices, and self-training on unlabelled slices."""

    title = "Self-training"
    summary = "Learns from its own confident answers on unlabelled slices, in random positions and appearances."
    paper = "our combination of mean teacher and FixMatch"

    default_steps = 1500  # its gain over random contrasts alone comes late

    class Config(TranslatorConfig, frozen=True):
        unlabelled_batch_size: Annotated[int, Meta(ge=1, le=256, description="unlabelled slices per step")] = 8
        translator_steps: Annotated[
            int, Meta(ge=0, description="training steps of the image translator; 0: no translation")
        ] = 0
        pseudo_label_weight: Annotated[float, Meta(ge=0, description="weight of the pseudo-label loss")] = 1.0
        confidence: Annotated[float, Meta(ge=0, lt=1, description="minimum probability of a pseudo-label")] = 0.95
        class_share: Annotated[
            float,
            Meta(ge=0, le=1, description="share of each structure, its surest pixels, that is learnt in any case"),
        ] = 0.25
        ramp_start: Annotated[float, Meta(ge=0, le=1, description="fraction of the run before pseudo-labels start")] = (
            0.4
        )

    settings: Config
    certainty: Tensor

    def build(self) -> None:
        super().build()
        self.register_buffer("certainty", torch.zeros(self.task.n_classes))  # of ``class_thresholds``

    def restore(self, state: dict[str, Any]) -> None:
        networks = {"certainty": self.certainty, **state["networks"]}  # earlier versions had none
        super().restore({**state, "networks": networks})

    def streams(self, progress: float) -> Set[Stream]:
        return STREAMS if progress >= self.settings.ramp_start else {"source"}

    def training_step(self, batch: Batch, progress: float) -> Losses:
        labels, count = batch.source_labels, len(batch.source)
        with torch.no_grad():
            painted = self.translator.to_target(batch.source)
        shown = [self.appearance(one_of(batch.source, painted), batch.source_structures)]
        weight = self.settings.pseudo_label_weight * self.ramp(batch, progress)
        if weight:
            looks = self.looks(batch, torch.cat([batch.source_unlabelled, batch.target]))
            answer = self.answer(batch, looks)
            shown.append(self.appearance(one_of(looks[0], looks[-1])))
        logits = self.segmenter(torch.cat(shown))

        segmentation = segmentation_loss(logits[:count], labels)
        own = logits.new_zeros(())
        if weight:
            own = pseudo_label_loss(logits[count:], answer, self.thresholds(batch, answer))
        self.minimize(segmentation + weight * own, "segmenter")
        self.update_teacher()
        return detached(segmentation=segmentation, own=own)

    def ramp(self, batch: Batch, progress: float) -> float:
        """Return the share of the weight of pseudo-labels: 0 before ``ramp_start``, then rising to 1 in ``RAMP``."""
        start = self.settings.ramp_start
        if batch.upright is None:  # as a run of an earlier version began
            return delayed_ramp(progress, start)
        return sigmoid_ramp((progress - start) / RAMP) if progress >= start else 0.0

    def thresholds(self, batch: Batch, answer: Tensor) -> float | Tensor:
        """Return the minimum probability of a pseudo-label, for each class, and learn from ``answer`` how sure it is.

        Shape:
            answer: ``(B, n_classes, H, W)``; result ``(n_classes,)``, or a number for all classes.
        """
        limit, share = self.settings.confidence, self.settings.class_share
        if not share or batch.upright is None:  # without upright slices: as a run of an earlier version began
            return limit
        return class_thresholds(self.certainty, answer, share=share, limit=limit)

    @torch.no_grad()
    def answer(self, batch: Batch, looks: tuple[Tensor, ...]) -> Tensor:
        """Return the teacher's probabilities for unlabelled slices, from ``looks`` or from the upright slices."""
        if batch.upright is not None:
            looks = self.looks(batch, batch.upright)
        maps = self.teacher(torch.cat(looks)).float().softmax(1).unflatten(0, (len(looks), -1)).mean(0)
        if batch.upright_matrices is None:
            return maps
        return into_views(maps, batch.upright_matrices[learnt(batch)])

    @torch.no_grad()
    def looks(self, batch: Batch, slices: Tensor) -> tuple[Tensor, ...]:
        """Return those of source and then target slices that are learnt, and the same translated if there is a way."""
        looks: tuple[Tensor, ...] = (slices,)
        if self.translates:
            source, target = slices.tensor_split([len(batch.source_unlabelled)])
            looks = slices, torch.cat([self.translator.to_target(source), self.translator.to_source(target)])
        return tuple(look[learnt(batch)] for look in looks)


def learnt(batch: Batch) -> list[int]:
    """Return which unlabelled slices are learnt, of all source and then all target slices of a batch.

    Half are of the source, unless most source slices are labelled: then the others bring little that is new.
    """
    source, target = len(batch.source_unlabelled), len(batch.target)
    if batch.upright is None:  # as a run of an earlier version began
        return list(range(source + target))
    first = 0 if batch.source_is_labelled else source // 2
    return [*range(first), *range(source + first, source + target)]


def one_of(first: Tensor, second: Tensor) -> Tensor:
    """Pick one of the two looks of each slice at random."""
    return torch.where(torch.rand(len(first), 1, 1, 1, device=first.device) < 0.5, first, second)

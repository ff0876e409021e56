"""Going on from a finished model: it learns from corrected target slices, and from its own answers on the others.

    L = L_seg(f(a(v(x_c))), y_c) + r L_seg(f(a(v(x_s))), y_s) + w L_pseudo(f(a(v(x_u))), v(p)),   p = sg f'(x_u)

``x_c`` are corrected and ``x_u`` any target slices, ``x_s`` labelled source slices, which are replayed so that nothing
is forgotten (docs/METHODS.md says how their weight ``r`` was chosen). Without source slices, the second term is left
out: the model and target volumes are enough (source-free adaptation). ``v``, ``a``, the teacher ``f'`` and the
pseudo-labels are those of ``self_training``; the teacher begins as the given model.

Target slices are learnt as they are as often as in a random appearance: what is corrected is what they look like.

A model with a translator in front of its segmenter keeps it as it is.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
from msgspec import Meta
from torch import Tensor

from leuda_core.blocks.losses import pseudo_label_loss, segmentation_loss, total
from leuda_core.blocks.pseudo_labels import class_thresholds
from leuda_core.blocks.stacks import central
from leuda_core.config import MethodConfig
from leuda_core.data.batches.views import into_views
from leuda_core.errors import InputError
from leuda_core.methods.base import Losses, Method, Phase, detached
from leuda_core.methods.self_training import one_of
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.networks.unet import batch_norms
from leuda_core.types import Batch, Task

ESTABLISHED = 1000  # updates: the teacher is an average from the beginning


class Adaptation(Method):
    """Supervised learning on corrected target and replayed source slices, and self-training on target slices."""

    title = "Adaptation of a model"
    summary = "Goes on from a model: learns from corrected target slices and from its own confident answers."
    paper = "our combination of fine-tuning, replay and self-training"
    default_steps = 300

    class Config(MethodConfig, frozen=True):
        target_labels: Annotated[bool, Meta(description="learn from corrected target slices, if there are any")] = True
        batch_size: Annotated[int, Meta(ge=1, le=256, description="replayed source slices per step")] = 4
        labelled_target_batch_size: Annotated[
            int, Meta(ge=1, le=256, description="corrected target slices per step")
        ] = 4
        unlabelled_batch_size: Annotated[int, Meta(ge=1, le=256, description="unlabelled target slices per step")] = 4
        learning_rate: Annotated[float, Meta(gt=0, le=1, description="learning rate of the segmenter")] = 3e-4
        source_weight: Annotated[float, Meta(ge=0, description="weight of the replayed source slices")] = 2.0
        pseudo_label_weight: Annotated[float, Meta(ge=0, description="weight of the pseudo-label loss")] = 1.0
        confidence: Annotated[float, Meta(ge=0, lt=1, description="minimum probability of a pseudo-label")] = 0.95
        class_share: Annotated[
            float,
            Meta(ge=0, le=1, description="share of each structure, its surest pixels, that is learnt in any case"),
        ] = 0.25

    settings: Config
    certainty: Tensor

    def __init__(self, task: Task, settings: Config, start: Predictor) -> None:
        self._spec = msgspec.structs.replace(start.spec, reference=False)
        super().__init__(task, settings)
        self.translator = start.translator.requires_grad_(False)
        for network in (self.segmenter, self.teacher):
            network.load_state_dict(start.segmenter.state_dict())
        self.updates.fill_(ESTABLISHED)

    def predictor_spec(self) -> PredictorSpec:
        return self._spec

    def build(self) -> None:
        super().build()
        self.register_buffer("certainty", torch.zeros(self.task.n_classes))

    def plan(self, steps: int) -> list[Phase]:
        return [Phase("adapt", steps, self.training_step)]

    def train(self, mode: bool = True) -> Adaptation:
        """Switch the segmenter, except batch norm: few slices have other statistics than those of the model."""
        super().train(mode)
        self.translator.eval()
        for norm in batch_norms(self.segmenter):
            norm.eval()
        return self

    @torch.no_grad()
    def as_segmented(self, images: Tensor) -> Tensor:
        return self.translator(images)

    def training_step(self, batch: Batch, progress: float) -> Losses:
        """Take one step on all slices together; a loss is left out where the batch has no slices for it."""
        known: dict[str, tuple[Tensor, Tensor]] = {}
        if batch.labelled_target is not None and batch.labelled_target_structures is not None:
            known["corrected"] = self.as_segmented(batch.labelled_target), batch.labelled_target_structures
        if len(batch.source) and self.settings.source_weight:
            known["source"] = batch.source, batch.source_structures
        shown = {name: self.appearance(images, structures) for name, (images, structures) in known.items()}
        if "corrected" in shown:
            shown["corrected"] = one_of(known["corrected"][0], shown["corrected"])
        own = bool(self.settings.pseudo_label_weight)
        if own:
            images = self.as_segmented(batch.target)
            shown["own"] = one_of(images, self.appearance(images))
        if not shown:
            what = "nothing to learn from: no corrected slice, no source slice, and no self-training"
            raise InputError(what, "correct a slice, or leave out source_weight=0 and pseudo_label_weight=0")
        parts = self.segmenter(torch.cat(list(shown.values()))).split([len(images) for images in shown.values()])
        logits = dict(zip(shown, parts, strict=True))

        weights = {"corrected": 1.0, "source": self.settings.source_weight, "own": self.settings.pseudo_label_weight}
        losses = {
            name: segmentation_loss(logits[name], central(structures).squeeze(1))
            for name, (_, structures) in known.items()
        }
        if own:
            losses["own"] = self.own_loss(batch, logits["own"])
        self.minimize(total(weights[name] * loss for name, loss in losses.items()), "segmenter")
        self.update_teacher()
        return detached(**losses)

    def own_loss(self, batch: Batch, logits: Tensor) -> Tensor:
        """Return the loss of target views with the teacher's confident answers on the upright slices."""
        with torch.no_grad():
            maps = self.teacher(self.as_segmented(batch.upright_target)).float().softmax(1)
        assert batch.upright_matrices is not None, "these runs draw views"
        answer = into_views(maps, batch.upright_matrices[len(batch.source_unlabelled) :])
        share, limit = self.settings.class_share, self.settings.confidence
        return pseudo_label_loss(logits, answer, class_thresholds(self.certainty, answer, share=share, limit=limit))

    def predictor(self) -> Predictor:
        predictor = super().predictor()
        predictor.translator.load_state_dict(self.translator.state_dict())
        return predictor

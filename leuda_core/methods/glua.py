"""GLUA ("Mind the Gap"): reduce the global domain gap by style transfer and the local gap by feature alignment.

Su et al., arXiv 2205.11888. Globally, content and style are disentangled, and source content is rendered in target
style. Locally, features are aligned with a mask that gives more weight to the features with the largest domain gap.

    phase disentangle: 10 (|D(c_s, z_s) - x_s| + |D(c_t, z_t) - x_t|) + 10 cycles + |c' - c| + |z' - z| + LSGANs
    phase train:       L_seg(x_st, y_s) + w_align mean( mask (D_f(features of x_t) - 1)^2 )
                       mask of a pixel = 1 + g_c / max g,  g_c = || mu_c(x_st) - mu_c(x_t) ||, c its (pseudo-)class

Only the abstract was available. The style transfer follows the first authors' DAR-UNet at a small size, with a
learning rate that falls to 0 instead of an average of its weights; each source slice gets the style of a random target
slice of the batch. The mask, computed from moving averages of class prototypes of the last decoder features, is our
choice. Target slices are segmented without translation.
"""

from __future__ import annotations

from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn.functional import l1_loss, one_hot

from leuda_core.blocks.losses import adversarial_loss, cycle_loss, discriminator_loss, segmentation_loss
from leuda_core.blocks.schedules import decayed, delayed_ramp
from leuda_core.blocks.stacks import central, slice_by_slice
from leuda_core.config import MethodConfig
from leuda_core.methods.base import Losses, Method, Phase, detached
from leuda_core.networks.discriminators import FeatureDiscriminator, PatchDiscriminator
from leuda_core.networks.style import ContentEncoder, StyledDecoder, StyleEncoder
from leuda_core.types import IGNORE, Batch

PROTOTYPE_DECAY = 0.99


class Painter(nn.Module):
    """One content encoder and one decoder for both domains, and one style encoder per domain."""

    def __init__(self, channels: int, style_size: int) -> None:
        super().__init__()
        self.content = ContentEncoder(channels)
        self.source_style = StyleEncoder(channels, style_size)
        self.target_style = StyleEncoder(channels, style_size)
        self.draw = StyledDecoder(channels, style_size)

    def to_target(self, source: Tensor, target: Tensor) -> Tensor:
        """Render stacks of source slices, each in the style of a random target slice."""
        styles = self.target_style(central(target))
        chosen = styles[torch.randint(len(styles), (len(source),))]
        return slice_by_slice(lambda slices: self.draw(self.content(slices), chosen), source)


class Glua(Method):
    """Supervised learning on source slices in target style, with features aligned where the domain gap is large."""

    title = "GLUA"
    summary = "Renders source slices in target style and aligns the features that differ most between the domains."
    paper = "Su et al., arXiv 2205.11888"

    class Config(MethodConfig, frozen=True):
        style_steps: Annotated[int, Meta(ge=0, description="training steps of the style transfer")] = 1000
        style_channels: Annotated[
            int, Meta(ge=4, le=64, description="channels in the first layer of the style transfer")
        ] = 12
        style_size: Annotated[int, Meta(ge=2, le=64, description="length of a style vector")] = 8
        style_learning_rate: Annotated[float, Meta(gt=0, le=1, description="learning rate of the style transfer")] = (
            4e-4
        )
        local_mask: Annotated[
            bool, Meta(description="weight the feature alignment by the domain gap of each class")
        ] = True
        align_weight: Annotated[float, Meta(ge=0, description="weight of the feature alignment loss")] = 1e-3
        ramp_start: Annotated[
            float, Meta(ge=0, le=1, description="fraction of the run before the alignment starts")
        ] = 0.2

    settings: Config
    prototypes: Tensor

    def build(self) -> None:
        super().build()
        s, channels = self.settings, self.settings.base_channels
        self.painter = Painter(s.style_channels, s.style_size)
        self.discriminators = nn.ModuleDict(
            {
                "source": PatchDiscriminator(),
                "target": PatchDiscriminator(),
                "content": FeatureDiscriminator(4 * s.style_channels),
            }
        )
        betas = (0.5, 0.9)
        self.add_optimizer("painter", [self.painter], lr=s.style_learning_rate, betas=betas)
        self.add_optimizer("discriminators", [self.discriminators], lr=s.style_learning_rate, betas=betas)
        self.feature_discriminator = FeatureDiscriminator(channels)
        self.add_optimizer("feature_discriminator", [self.feature_discriminator], lr=1e-4)
        self.register_buffer("prototypes", torch.zeros(2, self.task.n_classes, channels))  # of x_st, of x_t

    def plan(self, steps: int) -> list[Phase]:
        return [Phase("disentangle", self.settings.style_steps, self.disentangling_step), *super().plan(steps)]

    def disentangling_step(self, batch: Batch, progress: float) -> Losses:
        p, source, target = self.painter, central(batch.source_unlabelled), central(batch.target)
        count = min(len(source), len(target))
        source, target = source[:count], target[:count]
        content_s, content_t = p.content(source), p.content(target)
        style_s, style_t = p.source_style(source), p.target_style(target)
        fake_t, fake_s = p.draw(content_s, style_t), p.draw(content_t, style_s)
        content_st, content_ts = p.content(fake_t), p.content(fake_s)
        restyle_t, restyle_s = p.target_style(fake_t), p.source_style(fake_s)

        same = cycle_loss(source, p.draw(content_s, style_s)) + cycle_loss(target, p.draw(content_t, style_t))
        cycle = cycle_loss(source, p.draw(content_st, restyle_s)) + cycle_loss(target, p.draw(content_ts, restyle_t))
        codes = l1_loss(content_st, content_s) + l1_loss(content_ts, content_t)
        codes = codes + l1_loss(restyle_t, style_t) + l1_loss(restyle_s, style_s)
        d = self.discriminators
        adversarial = adversarial_loss(d["target"](fake_t)) + adversarial_loss(d["source"](fake_s))
        adversarial = adversarial + discriminator_loss(d["content"](content_t), d["content"](content_s))
        self.set_learning_rate(decayed(self.settings.style_learning_rate, progress), "painter", "discriminators")
        self.minimize(10 * (same + cycle) + codes + adversarial, "painter")
        discrimination = discriminator_loss(d["target"](target), d["target"](fake_t.detach()))
        discrimination = discrimination + discriminator_loss(d["source"](source), d["source"](fake_s.detach()))
        contents = discriminator_loss(d["content"](content_s.detach()), d["content"](content_t.detach()))
        discrimination = discrimination + contents
        self.minimize(discrimination, "discriminators")
        return detached(
            reconstruction=same, cycle=cycle, codes=codes, adversarial=adversarial, discriminator=discrimination
        )

    def training_step(self, batch: Batch, progress: float) -> Losses:
        with torch.no_grad():
            painted = self.painter.to_target(batch.source, batch.target)
        images = torch.cat([self.appearance(painted, batch.source_structures), self.appearance(batch.target)])
        features = self.segmenter.features(images)[-1]
        logits = self.segmenter.head(features)
        count = len(painted)
        segmentation = segmentation_loss(logits[:count], batch.source_labels)

        source_features, target_features = features[:count].float(), features[count:].float()
        pseudo = logits[count:].detach().argmax(1)
        self._update_prototypes(source_features.detach(), batch.source_labels, target_features.detach(), pseudo)
        mask = self.local_mask(pseudo)
        alignment = (mask * (self.feature_discriminator(target_features).float() - 1).square()).mean()
        weight = self.settings.align_weight * delayed_ramp(progress, self.settings.ramp_start)
        self.minimize(segmentation + weight * alignment, "segmenter")
        discrimination = discriminator_loss(
            self.feature_discriminator(source_features.detach()), self.feature_discriminator(target_features.detach())
        )
        self.minimize(discrimination, "feature_discriminator")
        self.update_teacher()
        return detached(segmentation=segmentation, alignment=alignment, discriminator=discrimination)

    def local_mask(self, classes: Tensor) -> Tensor:
        """Return the weight of each pixel, ``(B, 1, H, W)``: larger for classes with a larger domain gap."""
        seen = self.prototypes.norm(dim=2).min(0).values > 0  # in both domains; of other classes no gap is known
        gaps = (self.prototypes[0] - self.prototypes[1]).norm(dim=1) * seen
        weights = 1 + gaps / gaps.max().clamp(min=1e-6) if self.settings.local_mask else torch.ones_like(gaps)
        return weights[classes].unsqueeze(1)

    @torch.no_grad()
    def _update_prototypes(self, source: Tensor, labels: Tensor, target: Tensor, pseudo: Tensor) -> None:
        """Update the mean feature of each class in this batch, separately for each domain."""
        for index, (features, classes) in enumerate(((source, labels), (target, pseudo))):
            members = one_hot(torch.where(classes == IGNORE, self.task.n_classes, classes), self.task.n_classes + 1)
            members = members[..., :-1].to(features.dtype)
            counts = members.sum((0, 1, 2)).unsqueeze(1)
            means = torch.einsum("bhwk,bchw->kc", members, features) / counts.clamp(min=1)
            moved = self.prototypes[index].lerp(means, 1 - PROTOTYPE_DECAY)
            self.prototypes[index] = torch.where(counts > 0, moved, self.prototypes[index])

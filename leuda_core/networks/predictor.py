"""The part of a trained method that prediction needs: a segmenter, for some methods preceded by a translator.

A bundle stores the spec and the weights of a predictor. The predictor is rebuilt from the spec, so a shipped model does
not depend on the code of the method that trained it.
"""

from __future__ import annotations

import msgspec
from torch import Tensor, nn

from leuda_core.networks.generator import Form, Generator
from leuda_core.networks.unet import Norm, UNet


class PredictorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Network sizes of a ``Predictor``; ``translator_channels`` 0 means that there is no translator.

    ``translator_form`` is that of ``networks.generator``; models of version 0.1 have ``sum`` and do not name it.
    ``in_channels`` is the number of slices that the segmenter sees at once: a slice, and as many on each side of it.
    """

    in_channels: int = 1
    n_classes: int
    base_channels: int
    translator_channels: int = 0
    translator_blocks: int = 0
    translator_form: Form = "sum"
    norm: Norm = "group"


class Predictor(nn.Module):
    """Segment the central slices of stacks of target slices; some methods translate all to the source appearance first.

    Shape:
        input: ``(B, in_channels, H, W)`` in [-1, 1], multiples of 16; output: logits ``(B, n_classes, H, W)``.
    """

    def __init__(self, spec: PredictorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.segmenter = UNet(spec.n_classes, spec.base_channels, spec.norm, spec.in_channels)
        sizes = (spec.translator_channels, spec.translator_blocks)
        self.translator = Generator(*sizes, spec.translator_form) if spec.translator_channels else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        return self.segmenter(self.translator(images))

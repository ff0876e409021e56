"""Without adaptation: supervised learning on labelled source slices. The lower bound of every comparison.

Also the control ``contrast_randomization``: the same with random appearances, as in single-source domain generalisation
(Ouyang et al., IEEE TMI 2022). Neither method sees a target image.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from leuda_core.config import MethodConfig
from leuda_core.methods.base import Method


class SourceOnly(Method):
    """Supervised learning on labelled source slices."""

    title = "Without adaptation"
    summary = "Learns only from the labelled source slices."
    paper = "U-Net, Ronneberger et al., MICCAI 2015"


class ContrastRandomization(SourceOnly):
    """Supervised learning on source slices with a new random contrast in each step."""

    title = "Contrast randomization"
    summary = "Learns from labelled source slices with random contrasts; uses no target images."
    paper = "in the spirit of Ouyang et al., IEEE TMI 2022"

    class Config(MethodConfig, frozen=True):
        augmentation: Annotated[
            Literal["strong"], Meta(description="always strong: this augmentation is the method")
        ] = "strong"

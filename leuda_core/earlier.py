"""Names that earlier versions wrote into files, and what they are called now. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

_SETTINGS = {"unlabeled_batch_size": "unlabelled_batch_size"}  # version 0.1.0


_FORMS = {"translator_channels": "translator_form", "generator_channels": "generator_form"}


def present_settings(settings: Mapping[str, T]) -> dict[str, T]:
    """Return a method's settings under their present names."""
    return {_SETTINGS.get(name, name): value for name, value in settings.items()}


def stored_settings(settings: Mapping[str, object]) -> dict[str, object]:
    """Return the settings of a stored run or model under their present names, with what they then meant.

    All of version 0.1 had translators of the form ``sum``, before this was a setting.
    """
    found = present_settings(settings)
    return {form: "sum" for size, form in _FORMS.items() if size in found} | found


def present_weights(weights: Mapping[str, T]) -> dict[str, T]:
    """Return the weights of a checkpoint or a translator under their present names.

    Version 0.1.0 called discriminators judges.
    """
    return {name.replace("judge", "discriminator"): value for name, value in weights.items()}

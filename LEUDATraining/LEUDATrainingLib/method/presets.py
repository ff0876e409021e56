"""Presets of the training length: they scale every number of steps of a method, and nothing else.

They state no times, which depend on the computer; "Estimate time and memory" measures them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slicer.i18n import tr as _

from LEUDATrainingLib.method_catalog import MethodInfo

STEPS_SUFFIX = "_steps"
"""Suffix of the settings that are numbers of steps. Presets do not change sizes: a smaller patch is not a shorter
training but a different one."""


@dataclass(frozen=True)
class Preset:
    """A named factor of the default numbers of steps of a method."""

    key: str
    title: str
    description: str
    factor: float

    def values(self, method: MethodInfo) -> dict[str, int]:
        """Return ``steps`` and the settings of the method that are numbers of steps."""
        numbers = {"steps": method.default_steps}
        numbers |= {name: field["default"] for name, field in method.properties.items() if name.endswith(STEPS_SUFFIX)}
        return {name: round(number * self.factor) for name, number in numbers.items()}


def all_presets() -> tuple[Preset, ...]:
    """Return the presets from the shortest to the longest, in the language of the user."""
    return (
        Preset("quick", _("Quick look"), _("a quarter of the steps: shows whether it works, not how well"), 0.25),
        Preset("standard", _("Standard"), _("the defaults: enough for most data"), 1),
        Preset("thorough", _("Thorough"), _("three times the steps: for the model that you will use"), 3),
    )


def matching_preset(values: Mapping[str, int], method: MethodInfo) -> str:
    """Return the key of the preset with exactly these ``values``; ``""`` if there is none."""
    return next((preset.key for preset in all_presets() if preset.values(method) == values), "")

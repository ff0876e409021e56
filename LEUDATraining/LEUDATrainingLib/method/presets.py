"""How much to train: presets that scale every number of steps a method has, and nothing else.

Times are never promised here: they depend on the machine, and "Estimate time and memory" measures them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slicer.i18n import tr as _

from LEUDATrainingLib.method_catalog import MethodInfo

STEPS_SUFFIX = "_steps"
"""Ends the names of the settings that count steps. Sizes stay alone: a smaller patch would be another experiment, not
a shorter one."""


@dataclass(frozen=True)
class Preset:
    """A named share of a method's default numbers of steps."""

    key: str
    title: str
    description: str
    factor: float

    def values(self, method: MethodInfo) -> dict[str, int]:
        """Return ``steps`` and what else the method counts in steps."""
        numbers = {"steps": method.default_steps}
        numbers |= {name: field["default"] for name, field in method.properties.items() if name.endswith(STEPS_SUFFIX)}
        return {name: round(number * self.factor) for name, number in numbers.items()}


def all_presets() -> tuple[Preset, ...]:
    """Return the presets from the shortest to the longest, in the user's language."""
    return (
        Preset("quick", _("Quick look"), _("a quarter of the steps: shows whether it works, not how well"), 0.25),
        Preset("standard", _("Standard"), _("the defaults: enough for most data"), 1),
        Preset("thorough", _("Thorough"), _("three times the steps: for the model that you will use"), 3),
    )


def matching_preset(values: Mapping[str, int], method: MethodInfo) -> str:
    """Return the key of the preset that gives exactly ``values``, or ``""`` when none does."""
    return next((preset.key for preset in all_presets() if preset.values(method) == values), "")

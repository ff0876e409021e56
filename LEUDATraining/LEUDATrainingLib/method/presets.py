"""How long a training may take: times to choose from. The core chooses sizes and steps that fit, when it starts."""

from __future__ import annotations

from dataclasses import dataclass

from slicer.i18n import tr as _

from leuda_core.durations import DEFAULT_BUDGET


@dataclass(frozen=True)
class Preset:
    """A time in minutes, as it is listed."""

    minutes: float
    title: str
    description: str


def all_presets() -> tuple[Preset, ...]:
    """Return the times from the shortest to the longest, in the language of the user."""
    return (
        Preset(10.0, _("10 minutes"), _("a first look: shows whether it works, not how well")),
        Preset(DEFAULT_BUDGET, _("25 minutes"), _("enough for most data")),
        Preset(60.0, _("1 hour"), _("for large volumes or small structures")),
        Preset(180.0, _("3 hours"), _("for the model that you will use")),
    )


def preset_of(minutes: float) -> Preset:
    """Return the preset of a time; one of its own for a time that is not listed."""
    found = next((preset for preset in all_presets() if preset.minutes == minutes), None)
    return found or Preset(minutes, _("{minutes:g} minutes").format(minutes=minutes), "")

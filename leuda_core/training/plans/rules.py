"""The rules of a plan: from the fingerprint of the data, the machine and a budget to settings and steps.

Each rule is one function, with the measurement that earns it. All are pure functions, so the same data on the same
class of machine give the same plan. Spacing, patch and rotation depend on the method only where memory is short.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from leuda_core.config import MethodConfig
from leuda_core.data.geometry import LARGEST_SLICE
from leuda_core.data.survey import Survey
from leuda_core.training.plans.costs import peak_mib, step_mib
from leuda_core.training.plans.machine import Machine

SIZES_OF_TRANSLATOR = ("translator_channels", "translator_blocks", "translator_halvings")
PLANNED = (
    "spacing_mm",
    "patch_size",
    "zoom",
    "base_channels",
    "batch_size",
    "unlabelled_batch_size",
    "rotation_deg",
    "scaling",
    *SIZES_OF_TRANSLATOR,
    *(name.replace("translator", "generator") for name in SIZES_OF_TRANSLATOR),
)
"""The settings that a plan chooses, besides the numbers of steps."""

ACROSS, ACROSS_GPU = 6, 10
"""Pixels across the thinnest structure. Measured on a CPU: a myocardium of 9 mm at 1.46 mm; with kidneys of 18 mm, 3.75
mm were better than 2.5 mm by 0.1 Dice on CT to MR in the same number of steps. A GPU has time for finer pixels; its
value is our choice."""
LEAST_ACROSS = 2
"""Pixels across the thinnest structure down to which whole slices are preferred to a finer part of them. Measured on
whole cardiac slices, with 500 steps of source_only and patches of 96 pixels: 0.56 with whole slices of 3.5 mm, 0.29
with parts of 1.5 mm, in which the network does not know where it is."""
ADJUSTED = 1.12  # a spacing this much coarser is accepted for a whole slice in the patch; our choice
SURROUNDINGS = 1.3  # a patch is this much longer than all structures of a slice; our choice
LEAST_ZOOM, MOST_ZOOM = 1.5, 8.0
"""A second look is planned from the first of these on. Measured on whole cardiac slices with source_only in 1,000
steps, twice as close: 0.71 after the second look, 0.58 after the first one, which was as good as a network that knows
whole slices only (0.59)."""
SMALLEST_PATCH, MULTIPLE, COARSEST_MM = 48, 16, 20.0

SMALL_IMAGE, LARGE_IMAGE = 112, 256
"""Up to the first of these patches, translators are smaller than CycleGAN's for 128 and 256 pixels; our choice."""

ALIKE_DEG, OBLIQUE_DEG = 20.0, 45.0
"""Largest rotation in training. Measured on CT to MR, where all slices are axial, in 1,000 steps: 20 degrees gave a
mean Dice of 0.69, 45 degrees 0.59."""
ALIKE_SCALING, OBLIQUE_SCALING = 1.6, 1.25
"""Largest scaling in training. Measured with source_only, one seed: on CT to MR, where bodies of one domain look a
quarter smaller, 1.6 gave 0.690 after 1,000 steps, 1.25 gave 0.675; on hearts, 0.73 and 0.77 after 500 steps."""

USED = 0.7  # of the free memory; the rest is for other programs; our choice

FEWEST_STEPS, MOST_STEPS = 300, 20_000
RESERVE = 0.1  # of a budget, for checkpoints and previews
SIDE_SHARE, SIDE_FACTOR, USUAL_STEPS = 0.3, 5.0, 1000
"""Phases such as that of a translator: what they get at most of a budget, and of their default numbers of steps; and
from how many given steps of the segmenter on they become longer in proportion. Our choice."""


@dataclass(frozen=True)
class Choice:
    """What a plan chose: settings by name, a reason for each, and what the user should know."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[tuple[str, str], ...] = ()


def choose_sizes(survey: Survey, machine: Machine, method: str, start: MethodConfig, given: Set[str]) -> Choice:
    """Choose everything except steps; ``start`` has the defaults and the values of the settings that are ``given``.

    The largest network, patch and batch are taken whose training fits into the memory.
    """
    limit = USED * machine.memory_gb * 1e9 / 2**20
    tiers = list(_tiers(machine))
    for tier in tiers:
        chosen = _sizes(survey, machine, start, given=given, tier=tier, largest=tiers[0])
        settings = msgspec.structs.replace(start, **chosen.settings)
        if step_mib(method, settings, survey, machine) <= limit:
            break
    needed = peak_mib(method, settings, survey, machine)
    if needed <= limit:
        return chosen
    what = f"training needs about {needed / 1024:.1f} GB of memory; about {machine.memory_gb:g} GB are free"
    return replace(chosen, warnings=((what, "close other programs, or use smaller volumes or settings"),))


@dataclass(frozen=True)
class _Tier:
    """Largest patch, width of the network and batch that are tried together."""

    patch: int
    channels: int
    batch: int


_SIZES = ((256, 48), (192, 32), (96, 16), (48, 16), (48, 8))
_BATCHES = (16, 8, 4, 2)


def _tiers(machine: Machine) -> Iterator[_Tier]:
    """Yield sizes from the largest that suits the machine to the smallest; our choice, no GPU is measured yet."""
    first = 2
    if machine.kind != "cpu":
        first = 0 if machine.memory_gb >= 40 else 1 if machine.memory_gb >= 8 else 2
    for patch, channels in _SIZES[first:]:
        for batch in _BATCHES:
            if machine.kind != "cpu" or batch <= 8:
                yield _Tier(patch, channels, batch)


def _sizes(
    survey: Survey, machine: Machine, start: MethodConfig, *, given: Set[str], tier: _Tier, largest: _Tier
) -> Choice:
    across = ACROSS if machine.kind == "cpu" else ACROSS_GPU
    found = _geometry(survey, start, given, cap=tier.patch, across=across) | _views(survey, start)
    spacing, _ = found.get("spacing_mm", (start.spacing_mm, ""))
    patch, _ = found.get("patch_size", (start.patch_size, ""))
    found["zoom"] = _zoom(survey, spacing, patch, across)
    place = "on a CPU" if machine.kind == "cpu" else f"on a GPU with {machine.memory_gb:g} GB of free memory"
    cut = ", reduced to fit into the memory"
    found["base_channels"] = (tier.channels, f"{place}{cut if tier.channels < largest.channels else ''}")
    found["batch_size"] = (tier.batch, f"{place}{cut if tier.batch < largest.batch else ''}")
    usual = largest.batch if "batch_size" in given else type(start)().batch_size
    unlabelled = max(1, round(start.unlabelled_batch_size * tier.batch / usual))
    found["unlabelled_batch_size"] = (unlabelled, "in the usual proportion to labelled slices")
    found |= _generators(start, tier.channels, patch)
    kept = {name: value for name, value in found.items() if name in PLANNED and name not in given}
    return Choice({name: value for name, (value, _) in kept.items()}, {name: why for name, (_, why) in kept.items()})


Found = dict[str, tuple[Any, str]]


def _geometry(survey: Survey, start: MethodConfig, given: Set[str], *, cap: int, across: int) -> Found:
    """Choose spacing and patch together: whole slices if they fit, else enough around the structures."""
    side, whole = survey.target.side_mm, "holds a typical target slice"
    if "spacing_mm" in given:
        if not start.spacing_mm:  # as in earlier versions: chosen for the patch when the run begins
            return {"patch_size": (start.patch_size, "the default, as spacing_mm is 0")}
        pixels = side / start.spacing_mm
        patch = min(cap, max(SMALLEST_PATCH, _multiple_above(pixels)))
        return {"patch_size": (patch, whole if patch >= pixels - 1 else "the largest for this machine")}
    spacing, why = _wished_spacing(survey, across)
    if "patch_size" in given:
        patch = cap = start.patch_size
    else:
        patch = _patch_for(side / spacing, cap)
    if side / spacing <= ADJUSTED * patch:
        filled = max(side / patch, _finest(survey))
        return {
            "spacing_mm": (_rounded(filled), f"{why}, adjusted so that slices fill the patch"),
            "patch_size": (patch, whole),
        }
    if _shows(survey, side / cap, closer=_zoom(survey, side / cap, cap, across)[0] > 1):
        reason = "as fine as the largest patch for this machine allows, if it holds whole slices"
        return {"spacing_mm": (_rounded(side / cap), reason), "patch_size": (cap, whole)}
    wider = SURROUNDINGS * survey.extent_mm / cap
    if wider > spacing:
        spacing, why = min(wider, side / cap), f"all structures of a slice, {survey.extent_mm:.3g} mm, fit into a patch"
    return {"spacing_mm": (_rounded(spacing), why), "patch_size": (cap, "the largest for this machine")}


def _generators(start: MethodConfig, channels: int, patch: int) -> Found:
    """Choose the sizes of the networks that translate images; blocks and halvings are those of CycleGAN's code."""
    settings = msgspec.to_builtins(start)
    if settings.get("translator") or settings.get("translator_steps") == 0:
        return {}
    small, why = patch <= SMALL_IMAGE, f"for slices of {patch} pixels"
    sizes = (channels, "as many as the segmenter's"), (4 if small else 6 if patch < LARGE_IMAGE else 9, why)
    found = dict(zip(SIZES_OF_TRANSLATOR, (*sizes, (2 if small else 3, why)), strict=True))
    found |= {name.replace("translator", "generator"): value for name, value in found.items()}
    return {name: value for name, value in found.items() if name in settings}


def _shows(survey: Survey, spacing: float, *, closer: bool) -> bool:
    """Return whether pixels are small enough for all structures, or to find the widest one for a closer look."""
    widths = [one.width_mm for one in survey.structures if one.width_mm > 0]
    return not widths or spacing <= (max(widths) if closer else min(widths)) / LEAST_ACROSS


def _zoom(survey: Survey, spacing: float, patch: int, across: int) -> tuple[float, str]:
    """Choose how much closer a second look is, if a patch of whole slices is much larger than all structures."""
    wished, why = _wished_spacing(survey, across)
    if not survey.extent_mm or not spacing or survey.target.side_mm > ADJUSTED * patch * spacing:
        return 1.0, "patches do not show whole slices"
    room = patch * spacing / (SURROUNDINGS * survey.extent_mm)
    zoom = min(spacing / wished, room, MOST_ZOOM)
    if zoom < LEAST_ZOOM:
        return 1.0, "whole slices show the structures closely enough"
    if zoom == room:
        why = f"all structures of a slice, {survey.extent_mm:.3g} mm, then fill a patch"
    return float(f"{zoom:.3g}"), f"a second look, where structures were found: {why}"


def _wished_spacing(survey: Survey, across: int) -> tuple[float, str]:
    finest, thin = _finest(survey), survey.thinnest
    if thin is None or thin.width_mm / across <= finest:
        return finest, "as fine as the finer domain"
    why = f"{thin.name!r}, the thinnest structure with {thin.width_mm:.3g} mm, spans {across} pixels"
    return thin.width_mm / across, why


def _finest(survey: Survey) -> float:
    """Return the smallest useful spacing: typical pixels of the finer domain, and no slice beyond the limit."""
    domains = (survey.source, survey.target)
    within = max(one.largest_side_mm / max(math.sqrt(LARGEST_SLICE), one.largest_side_pixels) for one in domains)
    return max(within, min(one.pixel_mm for one in domains))


def _patch_for(pixels: float, cap: int) -> int:
    """Return the patch that a slice of this many pixels fills best; the largest if none does."""
    below = int(pixels) // MULTIPLE * MULTIPLE
    fitting = [one for one in (below, below + MULTIPLE) if one >= SMALLEST_PATCH and pixels <= ADJUSTED * one]
    best = min(fitting, key=lambda one: abs(math.log(pixels / one)), default=SMALLEST_PATCH)
    return min(best, cap)


def _views(survey: Survey, start: MethodConfig) -> Found:
    if start.augmentation != "strong":
        return {}
    if survey.one_plane:
        why, values = "all volumes are cut in the same anatomical plane", (ALIKE_DEG, ALIKE_SCALING)
    else:
        why, values = "volumes are cut in oblique or different planes", (OBLIQUE_DEG, OBLIQUE_SCALING)
    return {name: (value, why) for name, value in zip(("rotation_deg", "scaling"), values, strict=True)}


def _multiple_above(pixels: float) -> int:
    return math.ceil((pixels - 0.5) / MULTIPLE) * MULTIPLE


def _rounded(spacing: float) -> float:
    return float(f"{min(spacing, COARSEST_MM):.4g}")


@dataclass(frozen=True)
class Pace:
    """Measured seconds: to prepare the volumes, of one step of the segmenter, and of all phases with fixed steps.

    ``side`` maps the settings that are the steps of other phases to their default and the seconds of one step.
    """

    prepare: float
    step: float
    fixed: float = 0.0
    side: Mapping[str, tuple[int, float]] = field(default_factory=dict)


def choose_steps(minutes: float, pace: Pace, least: int = 0) -> Choice:
    """Choose the number of steps that fit into a budget, not below ``least``; ``steps`` are those of the segmenter."""
    least = max(least, FEWEST_STEPS)
    left = 60 * minutes * (1 - RESERVE) - pace.prepare - pace.fixed
    usual = sum(steps * seconds for steps, seconds in pace.side.values())
    factor = min(SIDE_FACTOR, max(0.0, SIDE_SHARE * left / usual)) if usual else 0.0
    found = {name: max(min(steps, FEWEST_STEPS), _tens(factor * steps)) for name, (steps, _) in pace.side.items()}
    left -= sum(found[name] * seconds for name, (_, seconds) in pace.side.items())
    fitting = left / pace.step
    steps = min(MOST_STEPS, max(least, _tens(fitting)))
    reasons = {name: _why_side(factor, minutes) for name in found}
    ends = {least: "the fewest that are planned", MOST_STEPS: "the most that are planned"}
    reasons["steps"] = ends.get(steps, f"what fits into {minutes:g} minutes on this machine")
    warnings: tuple[tuple[str, str], ...] = ()
    if fitting < least:
        needed = (60 * minutes * (1 - RESERVE) - left + least * pace.step) / (1 - RESERVE) / 60
        what = f"{minutes:g} minutes are too short for {least} steps, which take about {needed:.3g} minutes"
        warnings = ((what, "allow more time, or give the number of steps"),)
    return Choice({**found, "steps": steps}, reasons, warnings)


def side_steps(usual: Mapping[str, int], steps: int) -> Choice:
    """Choose the steps of other phases for given steps of the segmenter, from their ``usual`` numbers."""
    factor = min(SIDE_FACTOR, steps / USUAL_STEPS)
    if factor <= 1:
        return Choice()
    reason = f"in proportion to {steps:,} steps of the segmenter"
    found = {name: _tens(factor * number) for name, number in usual.items() if number}
    return Choice(found, dict.fromkeys(found, reason))


def _why_side(factor: float, minutes: float) -> str:
    if factor == SIDE_FACTOR:
        return f"{SIDE_FACTOR:g} times the default, as there is time"
    return f"at most {SIDE_SHARE:.0%} of {minutes:g} minutes, but not fewer than {FEWEST_STEPS} or the default"


def _tens(steps: float) -> int:
    return max(0, int(min(steps, 1e9)) // 10 * 10)

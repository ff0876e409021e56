"""Plans a training: chooses what the caller left open, and estimates what it costs by running a few of its steps."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from leuda_core.config import MethodConfig, RunConfig, make_config, read_run_config
from leuda_core.data.dataset import load_dataset
from leuda_core.data.survey import Surveyed, take_survey
from leuda_core.data.tasks import make_task, readable_part
from leuda_core.devices import find_device, has_bf16, memory_gb, peak_memory_mib
from leuda_core.durations import DEFAULT_BUDGET, budget_minutes
from leuda_core.earlier import present_settings
from leuda_core.errors import InputError
from leuda_core.io.leftovers import temporary_folder
from leuda_core.methods import METHODS
from leuda_core.runs.folder import Run
from leuda_core.training.call import make_run_config
from leuda_core.training.plans.costs import peak_mib
from leuda_core.training.plans.machine import Machine
from leuda_core.training.plans.plan import Plan, PlanWarning, likely_problems
from leuda_core.training.plans.probe import OnStep, Timing, time_steps
from leuda_core.training.plans.rules import (
    PLANNED,
    SIZES_OF_TRANSLATOR,
    Choice,
    Pace,
    choose_sizes,
    choose_steps,
    side_steps,
)
from leuda_core.types import Task

STEPS_SUFFIX = "_steps"  # of the settings that are the steps of a phase


def make_plan(
    dataset: Path | str,
    method: str,
    *,
    steps: int | None = None,
    budget: str | float | None = None,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    on_step: OnStep | None = None,
) -> Plan:
    """Choose what is left open, run a few steps of each phase and estimate the total cost. Nothing is left behind.

    Args:
        dataset, method, steps, budget, device, settings: as for ``training.train``.
        on_step: called with the number of finished probe steps and their total.

    Raises:
        InputError: the call or a volume is unusable. DeviceError: the device does not work or has too little memory.
    """
    draft = _Draft(dataset, method, steps=steps, budget=budget, device=device, settings=settings)
    draft.look(intensities=True)
    timing = draft.time(on_step)
    draft.choose_steps(timing)
    numbers = draft.phase_steps(timing)
    survey, config = draft.surveyed.survey, draft.config
    plan = Plan(
        device=str(draft.device),
        seconds=round(timing.prepare + sum(numbers[name] * timing.per_step[name] for name in numbers), 1),
        steps=numbers,
        seconds_per_step={name: round(seconds, 5) for name, seconds in timing.per_step.items()},
        peak_memory_mib=peak_memory_mib(draft.device),
        labelled_slices=survey.labelled_slices,
        segmenter_steps=config.steps,
        settings=config.settings,
        reasons=config.reasons,
        budget_minutes=config.budget_minutes,
        predicted_memory_mib=peak_mib(method, draft.chosen, survey, draft.machine),
        survey=survey.as_dict(),
    )
    left_out = [
        PlanWarning(f"{error.message}: the training leaves this case out", error.remedy)
        for error in (*draft.unreadable, *draft.surveyed.unreadable)
    ]
    own = [PlanWarning(*warning) for warning in draft.warnings]
    return replace(
        plan, warnings=(*left_out, *own, *likely_problems(plan, draft.device, free_gb=draft.free_gb, note=draft.note))
    )


def planned_config(
    dataset: Path | str,
    method: str,
    *,
    steps: int | None = None,
    budget: str | float | None = None,
    **options: Any,
) -> tuple[RunConfig, list[PlanWarning]]:
    """Return the config of a run, with what the caller left open chosen, and what the user should know.

    With ``steps``, no clock is read: the choice depends only on the data and on the class of the machine. If all
    settings and steps are given, no volume is opened.

    Raises: as ``make_plan``.
    """
    draft = _Draft(dataset, method, steps=steps, budget=budget, **options)
    open_settings = set(PLANNED) & draft.config.settings.keys() - draft.given
    if draft.minutes is not None or open_settings:
        draft.look()
        if draft.minutes is not None:
            draft.choose_steps(draft.time(None))
    return draft.config, [PlanWarning(*warning) for warning in draft.warnings]


class _Draft:
    """A call whose open values are chosen one after another: first ``look``, then ``time`` and ``choose_steps``."""

    surveyed: Surveyed
    side: Mapping[str, str]
    """The settings that are the steps of a phase, each with this phase."""

    def __init__(
        self,
        dataset: Path | str,
        method: str,
        *,
        steps: int | None,
        budget: str | float | None,
        settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if steps is not None and budget is not None:
            raise InputError(f"both {steps} steps and the budget {budget!r} are given", "give one of them")
        self.minutes = None if steps is not None else budget_minutes(DEFAULT_BUDGET if budget is None else budget)
        self.hurries = budget is not None
        self.config = make_run_config(dataset, method, steps=steps, settings=settings, **options)
        self.kind = METHODS[method]
        self.given = frozenset(present_settings(settings or {}))
        self.warnings: list[tuple[str, str]] = []
        self._take(self._sizes_of_translator())
        if self.minutes is None:
            self._take(side_steps(self._usual_side_steps(), self.config.steps))

    @property
    def chosen(self) -> MethodConfig:
        """All settings as they are now."""
        return make_config(self.kind.Config, self.config.settings)

    @property
    def _learns_target_labels(self) -> bool:
        return self.kind.learns_target_labels(self.chosen)

    def _sizes_of_translator(self) -> Choice:
        """Choose the sizes of the translator that is to be loaded, if there is one."""
        folder = self.config.settings.get("translator")
        run = Run(Path(folder)) if folder else None
        if run is None or not run.config.exists():
            return Choice()
        theirs, names = read_run_config(run.config).settings, (*SIZES_OF_TRANSLATOR, "translator_form")
        found = {name: theirs[name] for name in names if name in theirs and name not in self.given}
        return Choice(found, dict.fromkeys(found, "those of the given translator"))

    def _usual_side_steps(self) -> dict[str, int]:
        """Return the steps of other phases than the segmenter's which a plan may change, with their usual numbers."""
        settings = self.config.settings
        fixed = self.given | self.kind.fixed_steps | ({"translator_steps"} if settings.get("translator") else set())
        return {name: settings[name] for name in settings if name.endswith(STEPS_SUFFIX) and name not in fixed}

    def _task(self) -> Task:
        return make_task(self.data, self.chosen, self.config.rules, target_labels=self._learns_target_labels)

    def look(self, *, intensities: bool = False) -> None:
        """Read the data set, look at data and machine, and choose all sizes."""
        data = load_dataset(self.config.dataset)
        self.device, self.note = find_device(self.config.device)
        self.free_gb = memory_gb(self.device)[1]
        self.data, self.unreadable = readable_part(data)
        self.surveyed = take_survey(
            self.data,
            self._task(),
            target_labels=self._learns_target_labels,
            target_only=self.kind.reads_target_labels,
            intensities=intensities,
        )
        self.machine = Machine.of(self.device.type, self.free_gb, bfloat16=has_bf16(self.device))
        self._take(choose_sizes(self.surveyed.survey, self.machine, self.config.method, self.chosen, self.given))

    def time(self, on_step: OnStep | None) -> Timing:
        """Take a few steps at the chosen sizes."""
        with temporary_folder(Path(tempfile.gettempdir()), prefix="leuda-plan-") as folder:
            timing = time_steps(
                self.data,
                self._task(),
                self.kind,
                self.chosen,
                self.surveyed,
                device=self.device,
                folder=folder,
                on_step=on_step or (lambda done, total: None),
            )
        self.side = _side_phases(self.config.settings, timing)
        return timing

    def choose_steps(self, timing: Timing) -> None:
        """Choose the steps for the budget, if there is one."""
        if self.minutes is None:
            return
        free = {setting: self.side[setting] for setting in self._usual_side_steps() if setting in self.side}
        constant = {name: steps for name, (steps, _) in timing.phases.items() if name not in free.values()}
        pace = Pace(
            prepare=timing.prepare,
            step=sum(share * timing.per_step[name] for name, (_, share) in timing.phases.items()),
            fixed=sum(steps * timing.per_step[name] for name, steps in constant.items()),
            side={setting: (timing.phases[name][0], timing.per_step[name]) for setting, name in free.items()},
        )
        # A machine that is busy must not make a poor model of a run for which nobody asked to hurry.
        least = 0 if self.hurries else self.kind.default_steps
        self._take(choose_steps(self.minutes, pace, least))
        seconds = {name: list(places) for name, places in timing.course.items()}
        self.config = msgspec.structs.replace(self.config, budget_minutes=self.minutes, step_seconds=seconds)

    def phase_steps(self, timing: Timing) -> dict[str, int]:
        """Return the steps of each phase as they were chosen."""
        side = {phase: self.config.settings[setting] for setting, phase in self.side.items()}
        return timing.phase_steps(self.config.steps) | side

    def _take(self, choice: Choice) -> None:
        """Put what was chosen into the config."""
        values = dict(choice.settings)
        self.warnings += choice.warnings
        self.config = msgspec.structs.replace(
            self.config,
            steps=values.pop("steps", self.config.steps),
            settings={**self.config.settings, **values},
            reasons={**self.config.reasons, **choice.reasons},
        )


def _side_phases(settings: Mapping[str, Any], timing: Timing) -> dict[str, str]:
    phases = {name: steps for name, (steps, share) in timing.phases.items() if not share}
    found = {}
    for setting in (name for name in settings if name.endswith(STEPS_SUFFIX)):
        phase = next((name for name, steps in phases.items() if steps == settings[setting]), None)
        if phase is not None:
            found[setting] = phase
            del phases[phase]
    return found

"""How far each step of a training is, in a few words for its title."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from LEUDATrainingLib.cases.cases import CaseStore
from LEUDATrainingLib.cases.structures import read_structures
from LEUDATrainingLib.dataset.readiness import Readiness, case_error
from LEUDATrainingLib.labels.case_marks import CaseMarks


@dataclass(frozen=True)
class StepState:
    """``text`` is shown behind the title of a step; ``complete`` says whether the next step can follow."""

    text: str
    complete: bool = False


def preparation_states(parameter_node: Any, marks: CaseMarks, readiness: Readiness) -> dict[str, StepState]:
    """Return the states of the steps up to the start; ``readiness`` says what is missing for it."""
    source, target = CaseStore(parameter_node, "source"), CaseStore(parameter_node, "target")
    problems = len(readiness.problems)
    start = _("1 thing is missing") if problems == 1 else _("{count} things are missing").format(count=problems)
    return {
        "structures": _structures(len(read_structures(parameter_node))),
        "source": _source(source, marks),
        "target": _target(target),
        "start": StepState(start if problems else _("ready")),
    }


def _structures(count: int) -> StepState:
    if not count:
        return StepState(_("nothing yet"))
    return StepState(_("1 structure") if count == 1 else _("{count} structures").format(count=count), True)


def _source(store: CaseStore, marks: CaseMarks) -> StepState:
    cases = list(store)
    if not cases:
        return StepState(_("none yet"))
    if unusable := sum(case_error(store, case) is not None for case in cases):
        return StepState(_("{count} cannot be used").format(count=unusable))
    found = [one for case in cases if (one := marks.of(store, case)) is not None]
    slices, labelled = sum(len(one.complete) for one in found), sum(bool(one.complete) for one in found)
    files = sum(bool(case.label) and store.volume(case) is None for case in cases)
    if not labelled and not files:
        return StepState(_("no labels yet"))
    text = _("{labelled} of {count}").format(labelled=labelled + files, count=len(cases))
    if not files:  # how many slices of a file are labelled is known when it is read
        text += ", " + (_("1 slice") if slices == 1 else _("{slices} slices").format(slices=slices))
    return StepState(text, True)


def _target(store: CaseStore) -> StepState:
    cases = list(store)
    if not cases:
        return StepState(_("none yet"))
    if unusable := sum(case_error(store, case) is not None for case in cases):
        return StepState(_("{count} cannot be used").format(count=unusable))
    text = _("1 volume") if len(cases) == 1 else _("{count} volumes").format(count=len(cases))
    return StepState(text, True)

"""Watches a training without target labels, and warns of models that are probably wrong.

It looks at a few fixed slices of both domains at every checkpoint. Nothing it finds changes the training: no weight, no
random number, no choice of a checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from leuda_core.data.batches.loaders import SliceLoader
from leuda_core.data.batches.prepared import CachedCase
from leuda_core.data.fingerprint import DataRecord
from leuda_core.data.plausibility import (
    COVERED_REMEDY,
    NOISE_REMEDY,
    UNITS_REMEDY,
    covered_text,
    is_noise,
    noise_text,
    only_class,
    units_text,
)
from leuda_core.devices import is_out_of_memory
from leuda_core.errors import InputError
from leuda_core.methods.base import Method
from leuda_core.training.signals import Answer, Slices, answer, overlap, separability, spread, student
from leuda_core.types import IGNORE, Task

logger = logging.getLogger(__name__)

SLICES, FEWEST, CONFIRMING = 8, 4, 24  # of each domain; of large slices; of the target, before a structure is missed
GONE = 0.02  # of its share of the labelled slices: a structure is absent below it
FLOODED = 0.95  # share of one class
MATURE = 0.8  # of the training of the segmenter: a model that still learns is not assessed
UNSURE = 0.9  # mean entropy, 1 if all classes are equally likely; a useful young model can have 0.75
APART = 0.2  # Dice of student and teacher
JUMP = 3.0  # ratio of the foreground at two checkpoints
EXPLODED, GROWTH = 1000.0, 100.0  # a loss above this, and so many times its lowest value

LOWER_RATE = "lower learning_rate and train again"
LOOK = "look at the previews and at some results before using the model"


@dataclass(frozen=True)
class TrainingWarning:
    """A sign of a wrong model: the kind, what was seen, what to do about it."""

    kind: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}"


class Watch:
    """Collects the warnings of a run.

    ``on_event(kind, **fields)`` writes events: ``warning`` for each new warning, ``watch`` for each look.
    """

    def __init__(self, loader: SliceLoader, task: Task, on_event: Callable[..., None]) -> None:
        self._task, self._event = task, on_event
        self._target_cases = loader.target
        self._source, self._target = _chosen(loader, task)
        self._labelled = _label_shares(self._source.labels, task.n_classes)
        self._told: set[TrainingWarning] = set()
        self._lasting: list[TrainingWarning] = []
        self._current: list[TrainingWarning] = []
        self._collapse: list[TrainingWarning] = []
        self._lowest: dict[str, float] = {}
        self._seen = False
        self._foreground: float | None = None

    @property
    def warnings(self) -> tuple[TrainingWarning, ...]:
        """The warnings that hold now."""
        return tuple(dict.fromkeys([*self._lasting, *self._collapse, *self._current]))

    @property
    def collapsed(self) -> bool:
        """Whether the model found structures and no longer does."""
        return bool(self._collapse)

    def restore(self, events: Iterable[Mapping[str, Any]], step: int) -> None:
        """Continue from the events of a run that has reached ``step``."""
        for event in events:
            if event["event"] == "warning":
                self._told.add(_from_event(event))
            elif event["event"] == "watch" and event.get("step", 0) <= step:
                self._seen, self._foreground = bool(event.get("seen")), event.get("foreground")
                self._current = [_from_event(one) for one in event.get("warnings", [])]
        self._lasting = [one for one in self._current if one.kind == "loss"]
        self._collapse = [one for one in self._current if one.kind == "collapsed"]

    def add(self, found: Iterable[TrainingWarning]) -> None:
        """Add warnings that last until the end of the run."""
        self._lasting += found
        self._tell(None)

    def losses(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take the losses of a step."""
        for name, value in metrics.items():
            lowest = self._lowest[name] = min(self._lowest.get(name, EXPLODED), abs(value))
            known = any(one.kind == "loss" and f"the {name} loss" in one.message for one in self._lasting)
            if abs(value) > max(EXPLODED, GROWTH * lowest) and not known:
                self.add([TrainingWarning("loss", f"the {name} loss was {value:.3g} at step {step}", LOWER_RATE)])

    def look(self, method: Method, step: int, progress: float) -> bool:
        """Look at the current model; return whether it has collapsed since the last look.

        ``progress`` is that of the segmenter's training: a young model is not assessed.
        """
        try:
            return self._look(method, step, progress)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            logger.warning("not enough memory to watch the training at step %d", step)
            return False

    def _look(self, method: Method, step: int, progress: float) -> bool:
        device = next(method.parameters()).device
        predictor, patch = method.predictor().to(device), self._task.patch_size
        source = answer(predictor, self._source, patch) if self._source.images else None
        target = answer(predictor, self._target, patch)
        absent = self._absent(target)
        if absent and (self._seen or progress >= MATURE):  # rare ones may just not be on these slices
            more = answer(predictor, self._more(), patch)
            absent = [index for index in absent if index in self._absent(more)]
        pupil = student(method)
        agreement = overlap(answer(pupil.to(device), self._target, patch).classes, target.classes) if pupil else None
        everything_gone = bool(absent) and len(absent) == len(self._expected())
        collapsed = self._seen and (everything_gone or not target.finite)
        found = self._found(target, absent, agreement) if progress >= MATURE or collapsed else []
        foreground = float(1 - target.shares[0])
        if collapsed:
            self._collapse = [TrainingWarning("collapsed", f"every structure vanished by step {step}", LOWER_RATE)]
        self._seen = bool(self._expected()) and not everything_gone and target.finite
        if self._seen:
            self._collapse = []
        self._current, self._foreground = found + self._jumped(foreground, progress), foreground
        self._tell(step)
        self._event("watch", step=step, **self._figures(source, target, agreement))
        return collapsed

    def _expected(self) -> list[int]:
        """Return the classes of the structures that the labelled slices show."""
        return [index for index in range(1, self._task.n_classes) if self._labelled[index] > 0]

    def _absent(self, target: Answer) -> list[int]:
        return [index for index in self._expected() if target.shares[index] < GONE * self._labelled[index]]

    def _more(self) -> Slices:
        return spread(self._target_cases, CONFIRMING, lambda case: range(case.n_slices))

    def _found(self, target: Answer, absent: Sequence[int], agreement: float | None) -> list[TrainingWarning]:
        names = ["background", *(label.name for label in self._task.labels)]
        if not target.finite:
            return [TrainingWarning("not finite", "the model computes values that are not finite", LOWER_RATE)]
        found = []
        if absent and len(absent) == len(self._expected()):
            message = "the model finds no structure on target slices"
            found.append(TrainingWarning("nothing found", message, f"{LOWER_RATE}, or check labels and volumes"))
        elif absent:
            which = ", ".join(repr(names[index]) for index in absent)
            message = f"the model does not find {which} on target slices"
            found.append(TrainingWarning("vanished", message, f"check whether it is visible there; {LOOK}"))
        full = int(target.shares[1:].argmax()) + 1
        if target.shares[full] > FLOODED and self._labelled[full] < FLOODED:
            message = f"the model finds {names[full]!r} nearly everywhere on target slices"
            found.append(TrainingWarning("flooded", message, LOWER_RATE))
        if target.entropy > UNSURE:
            found.append(TrainingWarning("unsure", "the model is unsure nearly everywhere on target slices", LOOK))
        if agreement is not None and agreement < APART and len(absent) < len(self._expected()):
            found.append(TrainingWarning("apart", "student and teacher disagree on target slices", LOWER_RATE))
        return found

    def _jumped(self, foreground: float, progress: float) -> list[TrainingWarning]:
        before = self._foreground
        if progress < MATURE or before is None or max(before, foreground) <= JUMP * min(before, foreground):
            return []
        if max(before, foreground) < GONE * (1 - self._labelled[0]):
            return []  # next to nothing both times, which is another warning
        message = f"the structures went from {before:.2%} to {foreground:.2%} of the target slices between checkpoints"
        return [TrainingWarning("unstable", message, f"train longer or with a lower learning_rate; {LOOK}")]

    def _figures(self, source: Answer | None, target: Answer, agreement: float | None) -> dict[str, Any]:
        names = [label.name for label in self._task.labels]
        shares = {"target": target.shares[1:], "labels": self._labelled[1:]}
        of_source: dict[str, Any] = {}
        if source is not None:
            shares["source"] = source.shares[1:]
            of_source["separability"] = round(separability(source.features, target.features), 3)
        return {
            "shares": {
                where: {name: round(float(value), 6) for name, value in zip(names, values, strict=True)}
                for where, values in shares.items()
            },
            "entropy": {"source": _rounded(source.entropy if source else None), "target": _rounded(target.entropy)},
            "agreement": _rounded(agreement),
            **of_source,
            "foreground": self._foreground,
            "seen": self._seen,
            "warnings": [asdict(one) for one in self.warnings],
        }

    def _tell(self, step: int | None) -> None:
        for one in self.warnings:
            if one not in self._told:
                self._told.add(one)
                logger.warning("%s", one)
                self._event("warning", **asdict(one), **({} if step is None else {"step": step}))


def left_out(data: DataRecord) -> list[TrainingWarning]:
    """Return a warning for every case that could not be read when the run began."""
    told = "the training continues without this case"
    return [TrainingWarning("left out", f"{one.message}: {told}", one.remedy) for one in data.left_out]


def data_warnings(loader: SliceLoader, task: Task) -> list[TrainingWarning]:
    """Return warnings about the volumes and labels of a training.

    Raises:
        InputError: one class covers every pixel of all labelled slices, so that there is nothing to learn.
    """
    names = ["background", *(label.name for label in task.labels)]
    found = []
    covered = {case.id: only for case in loader.labelled if (only := _only_class(case)) is not None}
    if len(covered) == len(loader.labelled) and len(set(covered.values())) == 1:
        name = names[next(iter(covered.values()))]
        raise InputError(f"{name!r} covers every pixel of all labelled slices", COVERED_REMEDY)
    for case, index in covered.items():
        if index:
            found.append(TrainingWarning("covered", covered_text(names[index], case), COVERED_REMEDY))
    for domain in (loader.source, loader.target):
        if others := [case.id for case in domain if case.other_units]:
            found.append(TrainingWarning("units", units_text(others), UNITS_REMEDY))
        if noisy := [case.id for case in domain if is_noise(np.load(case.images.path, mmap_mode="r"))]:
            found.append(TrainingWarning("noise", noise_text(noisy), NOISE_REMEDY))
    return found


def _only_class(case: CachedCase) -> int | None:
    assert case.labels is not None, "callers pass only labelled cases"
    return only_class(list(case.labels.read(case.labelled)))


def _chosen(loader: SliceLoader, task: Task) -> tuple[Slices, Slices]:
    """Return the slices of source and target to look at: fewer if they are larger than a patch."""
    rows, columns = loader.target[0].images.shape[1:]
    count = min(SLICES, max(FEWEST, round(SLICES * task.patch_size**2 / (rows * columns))))
    source = spread(loader.labelled or loader.labelled_target, count, lambda case: case.labelled)
    return source, spread(loader.target, count, lambda case: range(case.n_slices))


def _label_shares(labels: Sequence[np.ndarray], n_classes: int) -> np.ndarray:
    flat = np.concatenate([np.zeros(0, np.uint8), *(one[one != IGNORE] for one in labels)])
    return np.bincount(flat, minlength=n_classes)[:n_classes] / max(1, flat.size)


def _from_event(event: Mapping[str, Any]) -> TrainingWarning:
    return TrainingWarning(*(str(event.get(key, "")) for key in ("kind", "message", "remedy")))


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(value, 4)

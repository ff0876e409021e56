"""Score label maps against references: Dice, 95th-percentile Hausdorff distance and average surface distance in mm.

Surface distances follow MONAI: symmetric and with the voxel spacing. Distances to an empty mask are defined and counted
here, because the usual choices (0, infinity, leaving the case out) all make a model that misses a structure look better
than it is:

- absent from both: Dice and distances are NaN, excluded from every mean, and counted as ``absent``;
- only in the reference (``missed``) or only in the prediction (``false``): Dice is 0, and both distances are the
  diagonal of the volume in mm, the largest possible value.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from leuda_core.blocks.metrics import surface_distances_mm
from leuda_core.data.pairs import pair_files, pair_labels
from leuda_core.errors import Cancelled, InputError, LeudaError, as_leuda_error
from leuda_core.io.labels import name_key
from leuda_core.types import Case, Label, LabelMap

if TYPE_CHECKING:
    from leuda_core.bundle.model import ModelBundle

logger = logging.getLogger(__name__)

State = Literal["scored", "absent", "missed", "false"]


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of one label in one case. NaN if the label is absent from prediction and reference."""

    case: str
    label: int
    name: str
    dice: float
    hd95_mm: float
    asd_mm: float
    state: State = "scored"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Means over scores that are not NaN, and the number of scores in each state."""

    name: str
    dice: float
    dice_std: float
    hd95_mm: float
    asd_mm: float
    n_scored: int
    n_absent: int
    n_missed: int
    n_false: int


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A case that could not be scored, and why; ``kind`` is that of the error."""

    case: str
    kind: str
    message: str
    remedy: str


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of a set of cases.

    ``cases`` has the mean over labels for each case, ``labels`` the mean over cases for each label, ``overall`` the
    mean over ``cases``. Files without a partner and cases that failed are listed but not scored.
    """

    scores: tuple[Score, ...]
    cases: tuple[Summary, ...]
    labels: tuple[Summary, ...]
    overall: Summary
    unmatched_predictions: tuple[str, ...] = ()
    unmatched_references: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain, JSON-ready values; NaN becomes ``None``."""
        return msgspec.json.decode(msgspec.json.encode(self))


def evaluate_pair(prediction: LabelMap, reference: LabelMap, *, case: str = "") -> list[Score]:
    """Score every label that either map declares (or, if neither declares any, every value found).

    Labels are paired by name (see ``io.labels``); values alone count where a map has no names. A label that only the
    prediction names is one more label. ``Score.label`` is the value in the reference.

    Raises:
        InputError: the two maps are not on the same grid, or two labels with voxels have the same name.
    """
    _check_grids(prediction, reference, case)
    return [
        _score(_mask(prediction, pair.predicted), _mask(reference, pair.expected), reference, pair.label, case)
        for pair in pair_labels(prediction, reference)
    ]


def _mask(label_map: LabelMap, value: int | None) -> np.ndarray:
    return np.zeros(label_map.shape, bool) if value is None else label_map.data == value


def evaluate(prediction: Path | str, reference: Path | str, labels: Sequence[Label] | None = None) -> Evaluation:
    """Score a file against a file, or the files of two folders that have the same name (extensions may differ).

    Without ``labels``, label names come from the files, if they contain any. A pair of two folders that cannot be
    scored is listed in ``failed``, and the others are scored.

    Raises:
        InputError: a path is missing, nothing matches, or two single files cannot be scored.
    """
    pairs, lone_predictions, lone_references = pair_files(Path(prediction), Path(reference))
    scoring = _Scoring()
    for case, predicted, expected in pairs:
        scoring.add(case, partial(_read_pair, predicted, expected, labels))
    if scoring.failures and not Path(prediction).is_dir():
        raise scoring.failures[0]
    return summarize(scoring.scores, lone_predictions, lone_references, failed=scoring.failed)


def score_bundle(
    bundle: ModelBundle,
    cases: Iterable[Case],
    *,
    device: str = "auto",
    on_case: Callable[[str], None] | None = None,
) -> Evaluation:
    """Segment the labelled cases with ``bundle`` and score the results. Cases without a label are skipped.

    A case that cannot be scored is listed in ``failed``, and the others are scored.

    Raises:
        InputError: no case has a label. LeudaError: no case could be scored.
    """
    from leuda_core.data.dataset import read_case_labels
    from leuda_core.io.volumes import read_volume
    from leuda_core.prediction.segmenter import SliceSegmenter

    segmenter = SliceSegmenter(bundle.predictor(), bundle.task, device=device)
    scoring = _Scoring()

    def maps(case: Case) -> tuple[LabelMap, LabelMap]:
        expected = read_case_labels(case, bundle.task.labels)
        return segmenter(read_volume(case.image)).label_map, expected

    for case in cases:
        if case.label is not None and scoring.add(case.id, partial(maps, case)) and on_case:
            on_case(case.id)
    if not scoring.scores and scoring.failures:
        raise scoring.failures[0]
    if not scoring.scores:
        raise InputError("none of the cases to score has a label", "add a 'label' to the dataset's test cases")
    return summarize(scoring.scores, failed=scoring.failed)


class _Scoring:
    """Scores cases one after another; one that fails does not stop the others."""

    def __init__(self) -> None:
        self.scores: list[Score] = []
        self.failed: list[Failure] = []
        self.failures: list[LeudaError] = []

    def add(self, case: str, read: Callable[[], tuple[LabelMap, LabelMap]]) -> bool:
        """Score prediction and reference of a case; return whether that worked."""
        try:
            prediction, reference = read()
            self.scores += evaluate_pair(prediction, reference, case=case)
        except Cancelled:
            raise
        except Exception as error:
            logger.debug("%s", traceback.format_exc())
            found = as_leuda_error(error)
            self.failures.append(found)
            self.failed.append(Failure(case=case, kind=found.kind, message=found.message, remedy=found.remedy))
            return False
        return True


def summarize(
    scores: Sequence[Score],
    unmatched_predictions: Sequence[str] = (),
    unmatched_references: Sequence[str] = (),
    *,
    failed: Sequence[Failure] = (),
) -> Evaluation:
    """Average scores per case and per label, and over the cases. A label has the same name in every case."""
    cases = tuple(_summary(c, [s for s in scores if s.case == c]) for c in dict.fromkeys(s.case for s in scores))
    labels = tuple(_summary(mine[0].name, mine) for mine in _by_label(scores))
    total = _summary("mean over cases", scores)
    overall = msgspec.structs.replace(
        total,
        dice=_mean([c.dice for c in cases]),
        dice_std=_std([c.dice for c in cases]),
        hd95_mm=_mean([c.hd95_mm for c in cases]),
        asd_mm=_mean([c.asd_mm for c in cases]),
    )
    return Evaluation(
        scores=tuple(scores),
        cases=cases,
        labels=labels,
        overall=overall,
        unmatched_predictions=tuple(unmatched_predictions),
        unmatched_references=tuple(unmatched_references),
        failed=tuple(failed),
    )


def _by_label(scores: Sequence[Score]) -> list[list[Score]]:
    """Return the scores of each label: those of one name, without regard to case unless a case tells them apart."""
    spellings: dict[tuple[str, str], set[str]] = {}
    for score in scores:
        spellings.setdefault((score.case, name_key(score.name)), set()).add(score.name)
    told_apart = {key for (_case, key), names in spellings.items() if len(names) > 1}
    found: dict[str, list[Score]] = {}
    for score in scores:
        key = name_key(score.name)
        found.setdefault(score.name if key in told_apart else key, []).append(score)
    return list(found.values())


def _summary(name: str, scores: Sequence[Score]) -> Summary:
    states = [s.state for s in scores]
    return Summary(
        name=name,
        dice=_mean([s.dice for s in scores]),
        dice_std=_std([s.dice for s in scores]),
        hd95_mm=_mean([s.hd95_mm for s in scores]),
        asd_mm=_mean([s.asd_mm for s in scores]),
        n_scored=states.count("scored"),
        n_absent=states.count("absent"),
        n_missed=states.count("missed"),
        n_false=states.count("false"),
    )


def _score(predicted: np.ndarray, expected: np.ndarray, grid: LabelMap, label: Label, case: str) -> Score:
    n_predicted, n_expected = int(predicted.sum()), int(expected.sum())
    state: State
    if not n_predicted and not n_expected:
        dice, hd95, asd, state = math.nan, math.nan, math.nan, "absent"
    elif not n_predicted or not n_expected:
        diagonal = float(np.linalg.norm(np.multiply(grid.shape, grid.spacing_mm)))
        dice, hd95, asd, state = 0.0, diagonal, diagonal, "missed" if n_expected else "false"
    else:
        dice = 2 * int((predicted & expected).sum()) / (n_predicted + n_expected)
        hd95, asd = surface_distances_mm(predicted, expected, grid.spacing_mm)
        state = "scored"
    return Score(case=case, label=label.value, name=label.name, dice=dice, hd95_mm=hd95, asd_mm=asd, state=state)


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return float(np.mean(known)) if known else math.nan


def _std(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else math.nan


def _check_grids(prediction: LabelMap, reference: LabelMap, case: str) -> None:
    from leuda_core.io.volumes import grid_gap_mm, same_grid

    if same_grid(prediction, reference):
        return
    which = f"case {case!r}: " if case else ""
    if prediction.shape != reference.shape:
        what = f"prediction grid {prediction.shape} differs from reference grid {reference.shape}"
    else:
        gap = grid_gap_mm(prediction, reference)
        what = f"prediction and reference have the same shape but different positions, up to {gap:.3g} mm apart"
    raise InputError(which + what, "resample one of them to the grid of the other")


def _read_pair(prediction: Path, reference: Path, labels: Sequence[Label] | None) -> tuple[LabelMap, LabelMap]:
    from leuda_core.io.volumes import read_label_map

    expected = read_label_map(reference, labels)
    return read_label_map(prediction, labels), expected

"""Score label maps against references: Dice, 95th-percentile Hausdorff distance and average surface distance in mm.

Surface distances follow MONAI: symmetric and with the voxel spacing. Distances to an empty mask are defined and counted
here, because the usual choices (0, infinity, leaving the case out) all make a model that misses a structure look better
than it is:

- absent from both: Dice and distances are NaN, excluded from every mean, and counted as ``absent``;
- only in the reference (``missed``) or only in the prediction (``false``): Dice is 0, and both distances are the
  diagonal of the volume in mm, the largest possible value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from leuda_core.blocks.metrics import surface_distances_mm
from leuda_core.errors import InputError
from leuda_core.io.names import volume_stem
from leuda_core.types import Case, Label, LabelMap

if TYPE_CHECKING:
    from leuda_core.bundle.model import ModelBundle

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


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of a set of cases.

    ``cases`` has the mean over labels for each case, ``labels`` the mean over cases for each label, ``overall`` the
    mean over ``cases``. Files without a partner are listed but not scored.
    """

    scores: tuple[Score, ...]
    cases: tuple[Summary, ...]
    labels: tuple[Summary, ...]
    overall: Summary
    unmatched_predictions: tuple[str, ...] = ()
    unmatched_references: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain, JSON-ready values; NaN becomes ``None``."""
        return msgspec.json.decode(msgspec.json.encode(self))


def evaluate_pair(prediction: LabelMap, reference: LabelMap, *, case: str = "") -> list[Score]:
    """Score every label that either map declares (or, if neither declares any, every value found).

    Raises:
        InputError: the two maps are not on the same grid.
    """
    _check_grids(prediction, reference, case)
    labels = _all_labels(prediction, reference)
    return [
        _score(prediction.data == label.value, reference.data == label.value, reference, label, case)
        for label in labels
    ]


def evaluate(prediction: Path | str, reference: Path | str, labels: Sequence[Label] | None = None) -> Evaluation:
    """Score a file against a file, or the files of two folders that have the same name (extensions may differ).

    Without ``labels``, label names come from the files, if they contain any.

    Raises:
        InputError: a path is missing, nothing matches, or the two files of a pair have different grids.
    """
    pairs, lone_predictions, lone_references = _match(Path(prediction), Path(reference))
    scores = []
    for case, predicted, expected in pairs:
        scores += evaluate_pair(*_read_pair(predicted, expected, labels), case=case)
    return summarize(scores, lone_predictions, lone_references)


def score_bundle(
    bundle: ModelBundle,
    cases: Iterable[Case],
    *,
    device: str = "auto",
    on_case: Callable[[str], None] | None = None,
) -> Evaluation:
    """Segment the labelled cases with ``bundle`` and score the results. Cases without a label are skipped.

    Raises:
        InputError: no case has a label.
    """
    from leuda_core.io.volumes import read_label_map, read_volume
    from leuda_core.prediction.segmenter import SliceSegmenter

    segmenter = SliceSegmenter(bundle.predictor(), bundle.task, device=device)
    scores = []
    for case in cases:
        if case.label is None:
            continue
        prediction = segmenter(read_volume(case.image))
        scores += evaluate_pair(prediction.label_map, read_label_map(case.label, bundle.task.labels), case=case.id)
        if on_case:
            on_case(case.id)
    if not scores:
        raise InputError("none of the cases to score has a label", "add a 'label' to the dataset's test cases")
    return summarize(scores)


def summarize(
    scores: Sequence[Score],
    unmatched_predictions: Sequence[str] = (),
    unmatched_references: Sequence[str] = (),
) -> Evaluation:
    """Average scores per case and per label, and over the cases."""
    cases = tuple(_summary(c, [s for s in scores if s.case == c]) for c in dict.fromkeys(s.case for s in scores))
    names = {s.label: s.name for s in scores}
    labels = tuple(_summary(name, [s for s in scores if s.label == value]) for value, name in names.items())
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
    )


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


def _all_labels(prediction: LabelMap, reference: LabelMap) -> list[Label]:
    declared = {label.value: label for label in (*prediction.labels, *reference.labels)}
    if not declared:
        values = np.union1d(np.unique(prediction.data), np.unique(reference.data))
        declared = {int(value): Label(int(value), f"label {value}") for value in values if value}
    return [declared[value] for value in sorted(declared)]


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
    """Read both files. If both name their labels, labels are matched by name, not by voxel value."""
    from leuda_core.io.volumes import read_label_map

    expected = read_label_map(reference, labels)
    predicted = read_label_map(prediction, labels)
    theirs, ours = _values(predicted), _values(expected)
    if labels is None and theirs.keys() <= ours.keys() and not theirs.items() <= ours.items():
        predicted = read_label_map(prediction, expected.labels)
    return predicted, expected


def _values(label_map: LabelMap) -> dict[str, int]:
    return {label.name.casefold(): label.value for label in label_map.labels}


def _match(prediction: Path, reference: Path) -> tuple[list[tuple[str, Path, Path]], list[str], list[str]]:
    """Return the pairs (case, prediction, reference), then the unmatched names of each side."""
    for path in (prediction, reference):
        if not path.exists():
            raise InputError(f"{path} does not exist", "give an existing file or folder")
    if prediction.is_dir() != reference.is_dir():
        raise InputError(
            f"{prediction} and {reference}: one is a file, the other a folder", "give two files or two folders"
        )
    if not prediction.is_dir():
        return [(volume_stem(reference), prediction, reference)], [], []
    predictions, references = _by_stem(prediction), _by_stem(reference)
    pairs = [(stem, predictions[stem], references[stem]) for stem in sorted(predictions.keys() & references.keys())]
    if not pairs:
        raise InputError(
            f"none of the {len(predictions)} names in {prediction} matches one of the {len(references)} in {reference}",
            "name each prediction like its reference",
        )
    return pairs, sorted(predictions.keys() - references.keys()), sorted(references.keys() - predictions.keys())


def _by_stem(folder: Path) -> dict[str, Path]:
    from leuda_core.io.volumes import find_volumes

    found: dict[str, Path] = {}
    for path in find_volumes(folder):
        other = found.setdefault(volume_stem(path), path)
        if other != path:
            raise InputError(f"{folder} contains both {other.name} and {path.name}", "keep one file per case")
    return found

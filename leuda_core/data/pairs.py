"""Predictions and references: which files belong together, and which of their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from leuda_core.errors import InputError
from leuda_core.io.finding import find_volumes
from leuda_core.io.label_maps import present_values
from leuda_core.io.labels import are_placeholders, match_names, name_key, named_once
from leuda_core.io.names import volume_stem
from leuda_core.types import Label, LabelMap


class LabelPair(NamedTuple):
    """A label, and its value in the prediction and in the reference; ``None`` where it does not occur."""

    label: Label
    predicted: int | None
    expected: int | None


def pair_labels(prediction: LabelMap, reference: LabelMap) -> list[LabelPair]:
    """Return every label that either map declares (or, if neither declares any, every value found), by value.

    Labels are paired by name, as ``io.labels`` says. If only one map names its labels, its names are used for the
    values of the other. A label that only the prediction names is one more label; if its value is in use, it gets
    another.

    Raises:
        InputError: two labels with voxels have the same name.
    """
    if prediction.labels == reference.labels and reference.labels:
        return [LabelPair(label, label.value, label.value) for label in reference.labels]
    in_prediction, in_reference = present_values(prediction.data), present_values(reference.data)
    if not prediction.labels and not reference.labels:
        found = sorted((in_prediction | in_reference) - {0})
        return [LabelPair(Label(value, f"label {value}"), value, value) for value in found]
    theirs, ours = named_once(prediction.labels, in_prediction), named_once(reference.labels, in_reference)
    drawn = [label for label in theirs if label.value in in_prediction]
    names = match_names([label.name for label in drawn], [label.name for label in ours])
    drawn_ours = [label for label in ours if label.value in in_reference]
    if not names and (are_placeholders(drawn or theirs) or are_placeholders(drawn_ours or ours)):
        return _by_value(theirs, ours)
    listed = {name_key(label.name) for label in (*ours, *drawn)}
    empty = [label for label in theirs if label not in drawn and name_key(label.name) not in listed]
    return _by_name([*drawn, *empty], ours, names)


def _by_value(theirs: Sequence[Label], ours: Sequence[Label]) -> list[LabelPair]:
    """Pair labels by value; of two names, that which somebody gave is kept."""
    labels: dict[int, Label] = {}
    for label in (*ours, *theirs):
        if label.value not in labels or are_placeholders([labels[label.value]]):
            labels[label.value] = label
    return [LabelPair(labels[value], value, value) for value in sorted(labels)]


def _by_name(theirs: Sequence[Label], ours: Sequence[Label], names: Mapping[str, str]) -> list[LabelPair]:
    """Pair labels by the matches of their names; ``theirs`` begins with those that have voxels."""
    predicted = {names[label.name]: label.value for label in theirs if label.name in names}
    pairs = [LabelPair(label, predicted.get(label.name), label.value) for label in ours]
    taken = {label.value for label in ours}
    for label in theirs:
        if label.name in names:
            continue
        value = label.value if label.value not in taken else max(taken) + 1
        taken.add(value)
        pairs.append(LabelPair(replace(label, value=value), label.value, None))
    return sorted(pairs, key=lambda pair: pair.label.value)


def pair_files(prediction: Path, reference: Path) -> tuple[list[tuple[str, Path, Path]], list[str], list[str]]:
    """Return (case, prediction, reference) for two files, or for the files of the same name in two folders.

    Also returns the unmatched names of each folder.

    Raises:
        InputError: a path is missing, or nothing matches.
    """
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
    found: dict[str, Path] = {}
    for path in find_volumes(folder):
        other = found.setdefault(volume_stem(path), path)
        if other != path:
            raise InputError(f"{folder} contains both {other.name} and {path.name}", "keep one file per case")
    return found

"""What helps to choose a model: its structures, what it learnt from, and what is known of its quality."""

from __future__ import annotations

from collections.abc import Sequence

from slicer.i18n import tr as _

from leuda_core.bundle.store import ModelEntry
from LEUDASegmentationLib.widgets.method_titles import method_title


def describe(entry: ModelEntry, others: Sequence[ModelEntry] = ()) -> str:
    """Return the description of a model, one fact a line, or what is wrong with it.

    Args:
        others: all models, to name the one that it was adapted from.
    """
    if entry.problem:
        return _("Damaged: {problem}").format(problem=entry.problem)
    names = _("Finds {names}.").format(names=", ".join(label.name for label in entry.labels))
    return "\n".join([names, _origin(entry, others), *_learnt_from(entry), _quality(entry)])


def size_text(size_bytes: int) -> str:
    """Return a size as text, such as "12 MB"."""
    megabytes = size_bytes / 1e6
    return f"{megabytes:.1f} MB" if megabytes < 10 else f"{megabytes:.0f} MB"


def modality_text(entry: ModelEntry) -> str:
    """Return the modalities of a model as text, such as "MR → CT"."""
    return " → ".join(filter(None, [entry.source_modality, entry.target_modality]))


def _origin(entry: ModelEntry, others: Sequence[ModelEntry]) -> str:
    if entry.adapted_from:
        before = next((other.name for other in others if other.checksum == entry.adapted_from), None)
        words = _("Adapted from “{name}” with corrected slices.") if before else _("Adapted with corrected slices.")
        return words.format(name=before)
    return _("Method: {method}.").format(method=method_title(entry.method))


def _learnt_from(entry: ModelEntry) -> list[str]:
    """Return what a model learnt from; nothing if it does not say."""
    if not entry.labelled_cases or not entry.steps:
        return []
    source, target = (f"{name} " if name else "" for name in (entry.source_modality, entry.target_modality))
    words = _("Learnt from {slices} labelled slices of {cases} {source}volumes and from {targets} {target}volumes.")
    return [
        words.format(
            slices=entry.labelled_slices,
            cases=entry.labelled_cases,
            source=source,
            targets=entry.target_cases,
            target=target,
        )
    ]


def _quality(entry: ModelEntry) -> str:
    """Return what is known of the quality of a model."""
    scores = [value for name, value in entry.metrics.items() if name.startswith("dice") and value is not None]
    if scores:
        known = _("Dice {dice:.2f} on held-out cases.").format(dice=sum(scores) / len(scores))
    else:
        known = _("Quality not measured: there were no labelled target volumes to test it on.")
    if entry.warnings:
        known += " " + _("The training warned: {warning}.").format(warning=entry.warnings[0].rstrip("."))
    return known

"""Which stored label is which wanted label: one rule for files, evaluation, training and both modules of Slicer.

1. Names are compared without surrounding white space. Equal names match first. Names that are equal only without regard
   to case match if no other stored name and no other wanted name is equal to them in this way.
2. A name that matches decides the value, whatever the other stored labels are called.
3. Values decide only if no stored name matches and every stored name is a placeholder for its own value: "label 2",
   "Segment_2" and the like for the value 2, which programs write where nobody gave a name.
4. Any other stored name is unknown. Callers refuse it or name it; it never matches by its value.

Labels without voxels do not count: callers leave them out. Standard library only.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from leuda_core.errors import InputError
from leuda_core.types import Label

_PLACEHOLDER = re.compile(r"(?:label|segment)[ _]?0*([0-9]+)", re.IGNORECASE)
_RENAME = "give each segment its own name, or unite them"


def name_key(name: str) -> str:
    """Return a name without regard to case, surrounding white space and the two Unicode forms of accents."""
    return unicodedata.normalize("NFC", name.strip()).casefold()


def match_names(stored: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Return the wanted name for each stored name that matches one. Two equal stored names match the same name."""
    stored, wanted = list(stored), list(wanted)
    equal, similar = _only(wanted, str.strip), _only(wanted, name_key)
    spellings = Counter(map(name_key, {name.strip() for name in stored}))
    found = {}
    for name in stored:
        other = equal.get(name.strip())
        if other is None and spellings[name_key(name)] == 1:
            other = similar.get(name_key(name))
        if other is not None:
            found[name] = other
    return found


def match_labels(stored: Sequence[Label], wanted: Sequence[Label]) -> tuple[dict[int, int], tuple[Label, ...]]:
    """Return the wanted value for each stored value, and the stored labels that are unknown.

    Args:
        stored: those that have voxels.

    Raises:
        InputError: two stored labels have the same name or the same value.
    """
    check_distinct(stored)
    values = {label.name: label.value for label in wanted}
    if values_decide(stored, [label.name for label in wanted]):
        return {label.value: label.value for label in stored}, ()
    names = match_names([label.name for label in stored], [label.name for label in wanted])
    unknown = tuple(label for label in stored if label.name not in names)
    return {label.value: values[names[label.name]] for label in stored if label.name in names}, unknown


def values_decide(stored: Sequence[Label], wanted: Iterable[str]) -> bool:
    """Return whether stored labels match by value: no name matches a wanted name, and all are placeholders."""
    return are_placeholders(stored) and not match_names([label.name for label in stored], wanted)


def are_placeholders(labels: Iterable[Label]) -> bool:
    """Return whether every name is a placeholder for its own value, so that only the values mean anything."""
    return all(_placeholder_value(label.name) == str(label.value) for label in labels)


def named_once(labels: Sequence[Label], present: Collection[int]) -> tuple[Label, ...]:
    """Return the labels; of several with the same name, only the one whose value is ``present``, that is, has voxels.

    Raises:
        InputError: two that have voxels have the same name or the same value.
    """
    drawn = [label for label in labels if label.value in present]
    check_distinct(drawn)
    by_name = {label.name.strip(): label for label in (*labels, *drawn)}
    return tuple(sorted(by_name.values(), key=lambda label: label.value))


def check_distinct(labels: Sequence[Label]) -> None:
    """Check that labels with voxels can be told apart.

    Raises:
        InputError: two have the same name or the same value.
    """
    for name, count in Counter(label.name.strip() for label in labels).items():
        if count > 1:
            raise InputError(f"{count} segments have the name {name!r}", _RENAME)
    for value, count in Counter(label.value for label in labels).items():
        if count > 1:
            names = ", ".join(repr(label.name) for label in labels if label.value == value)
            raise InputError(f"the segments {names} have the same label value {value}", "export them again")


def unknown_error(unknown: Sequence[Label], wanted: Iterable[Label]) -> InputError:
    """Return the error for stored labels that have voxels and match no wanted label."""
    segments = ", ".join(f"{label.name!r} (value {label.value})" for label in unknown)
    names = ", ".join(repr(label.name) for label in wanted)
    return InputError(
        f"unknown segment {segments}" if len(unknown) == 1 else f"unknown segments {segments}",
        f"rename each to one of {names}, or remove it",
    )


def _only(names: Sequence[str], key: Callable[[str], str]) -> dict[str, str]:
    """Return the names by key, without those that share their key with another."""
    counts = Counter(map(key, names))
    return {key(name): name for name in names if counts[key(name)] == 1}


def _placeholder_value(name: str) -> str:
    match = _PLACEHOLDER.fullmatch(name.strip())
    return match[1] if match else ""

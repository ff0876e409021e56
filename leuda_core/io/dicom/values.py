"""Single values of DICOM data sets as plain numbers and texts; an error names a value that makes no sense."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

_LARGEST = 1e9  # mm, and every factor or offset of a scanner; beyond it, products overflow


def first(scopes: Sequence[Any], keyword: str) -> Any:
    """Return the value of the first data set that has one, else None."""
    for scope in scopes:
        value = scope.get(keyword)
        if value is not None and value != "":
            return value
    return None


def items(dataset: Any, keyword: str) -> list[Any]:
    """Return the items of a sequence, none if it is missing."""
    return list(dataset.get(keyword) or ())


def whole(dataset: Any, keyword: str, *, default: int | None = None, largest: int = 65535) -> int:
    """Return a whole number from 0 to ``largest``.

    Raises:
        ValueError: missing without a default, or out of range.
    """
    value = dataset.get(keyword)
    value = default if value is None or value == "" else value
    if value is None:
        raise ValueError(f"it has no {keyword}")
    number = int(value)
    if not (_is_plain(value) and 0 <= number <= largest):
        raise ValueError(f"{keyword} is not a number from 0 to {largest}")
    return number


def numbers(scopes: Sequence[Any], keyword: str, count: int) -> tuple[float, ...] | None:
    """Return ``count`` finite numbers, or None if no data set has the element.

    Raises:
        ValueError: another count, or a number that is not finite or absurdly large.
    """
    value = first(scopes, keyword)
    if value is None:
        return None
    parts = value if is_list(value) else [value]
    try:
        found = tuple(float(part) for part in parts)
    except ValueError:  # for example a decimal comma
        found = ()
    plain = all(map(_is_plain, parts))
    if not plain or len(found) != count or not all(math.isfinite(part) and abs(part) <= _LARGEST for part in found):
        raise ValueError(f"{keyword} is {shown(value)}, not {count} usable number{'s'[: count > 1]}")
    return found


def number(scopes: Sequence[Any], keyword: str) -> float | None:
    """Return one finite number, or None; see :func:`numbers`."""
    found = numbers(scopes, keyword, 1)
    return found[0] if found else None


def shown(value: Any) -> str:
    """Return a value for a message: one line, without control characters, at most 64 characters."""
    text = "".join(sign if sign.isprintable() else "?" for sign in str(value)).strip()
    return text if len(text) <= 64 else text[:61] + "..."


def _is_plain(value: Any) -> bool:
    """Return whether a number was written as other programs read it, too: Python allows underscores in numbers."""
    return "_" not in str(getattr(value, "original_string", ""))


def is_list(value: Any) -> bool:
    """Return whether an element has several values."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))

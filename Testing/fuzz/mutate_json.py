"""Mutations of JSON documents: of their values, keys and structure, or of their text."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import Any

from fuzz.mutate_bytes import NUMBERS, TEXTS, mutated_bytes, mutated_lines

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, 1e308, 1e-320, -0.0),
    *(float("nan"), float("inf"), "", " ", "x", "\x00", "a\x00b", "\ud800", "\u202e", "x" * 5000, "../x", "/nowhere/x"),
    *([], [[]], {}, {"": {}}, [None], [0] * 500, {"x": "y"}),
)
_DEEP = 3000


def mutated_json(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Return a JSON document with one to four changes; one in four is a change of its text."""
    kind = rng.randrange(8)
    if kind == 0:
        return mutated_bytes(data, rng, others)
    if kind == 1:
        return mutated_lines(data, rng, others)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return mutated_bytes(data, rng, others)
    for _ in range(1 << rng.randrange(3)):
        document = changed(document, rng)
    return _text(document, rng)


def changed(document: Any, rng: Random) -> Any:
    """Return a document with one random part replaced, lost, doubled or renamed."""
    places = _places(document)
    if not places:
        return deepcopy(rng.choice(_VALUES))
    holder, key = rng.choice(places)
    kind = rng.randrange(8)
    if kind < 4:
        holder[key] = deepcopy(rng.choice(_VALUES))
    elif kind == 4:
        del holder[key]
    elif kind == 5:
        holder[key] = _word(rng)
    elif kind == 6:
        other, other_key = rng.choice(places)
        holder[key] = deepcopy(other.get(other_key) if isinstance(other, dict) else _at(other, other_key))
    elif isinstance(holder, dict):
        holder[_word(rng)] = holder.pop(key)
    else:
        holder.append(holder[key])
    return document


def _at(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else None


def _word(rng: Random) -> str:
    word = rng.choice(NUMBERS if rng.random() < 0.5 else TEXTS)
    return word if isinstance(word, str) else word.decode("utf-8", "surrogatepass")


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a document."""
    found, waiting = [], [document]
    while waiting:
        part = waiting.pop()
        keys = list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
        for key in keys:
            found.append((part, key))
            waiting.append(part[key])
    return found


def _text(document: Any, rng: Random) -> bytes:
    """Return a document as text, sometimes with numbers without end, a doubled key, or nested deeply."""
    try:
        text = json.dumps(document, ensure_ascii=rng.random() < 0.5)
    except ValueError:  # more digits than Python writes
        text = "1" * 5000
    kind = rng.randrange(24)
    if kind == 0:
        text = text.replace(": 1", ": " + rng.choice(NUMBERS), 1)
    elif kind == 1:
        text = text.replace("{", '{"name": null, ', 1)
    elif kind == 2:
        text = text.replace("null", "[" * _DEEP + "]" * _DEEP, 1)
    elif kind == 3:
        text = text.replace("0", "1e999", 1)
    return text.encode("utf-8", "surrogatepass")

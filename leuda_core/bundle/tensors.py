"""The header of a safetensors file, checked before any of its tensors is used. Standard library only."""

from __future__ import annotations

import math
import struct

from leuda_core.bundle.document import parse_json

LONGEST_HEADER = 2**20
"""Bytes; that of the largest network has some 30 kB."""

FLOAT32 = "F32"


def tensor_shapes(data: bytes) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a file that contains only float32 tensors, without gaps or overlaps.

    Raises:
        ValueError: it is not such a file.
    """
    (length,) = struct.unpack("<Q", data[:8]) if len(data) >= 8 else (0,)
    if not 2 <= length <= min(LONGEST_HEADER, len(data) - 8):
        raise ValueError(f"a header of {length} bytes in a file of {len(data)} bytes")
    header = parse_json(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("the header is not an object")
    notes = header.pop("__metadata__", None) or {}
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise ValueError("__metadata__ is not a table of texts")
    end, found = 0, {}
    for name, fields in sorted(header.items(), key=lambda item: _offsets(*item)):
        shape = _shape(name, fields)
        first, last = _offsets(name, fields)
        if first != end or last - first != 4 * math.prod(shape):
            raise ValueError(f"tensor {name!r} of shape {shape} is at bytes {first} to {last}, expected from {end}")
        found[name], end = shape, last
    if end != len(data) - 8 - length:
        raise ValueError(f"tensors of {end} bytes in {len(data) - 8 - length} bytes")
    return found


def _offsets(name: str, fields: object) -> tuple[int, int]:
    offsets = _whole_numbers(name, fields, "data_offsets")
    if len(offsets) != 2:
        raise ValueError(f"tensor {name!r} has {len(offsets)} offsets")
    return offsets[0], offsets[1]


def _shape(name: str, fields: object) -> tuple[int, ...]:
    shape = _whole_numbers(name, fields, "shape")
    kind = fields.get("dtype") if isinstance(fields, dict) else None
    if kind != FLOAT32:
        raise ValueError(f"tensor {name!r} is {kind} {shape}, expected {FLOAT32}")
    return shape


def _whole_numbers(name: str, fields: object, key: str) -> tuple[int, ...]:
    numbers = fields.get(key) if isinstance(fields, dict) else None
    if not isinstance(numbers, list) or not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"tensor {name!r} has no {key}")
    return tuple(numbers)

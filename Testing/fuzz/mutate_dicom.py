"""Mutations of DICOM files by their elements, in explicit little endian, so that lengths stay right unless meant."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from random import Random

from fuzz.mutate_bytes import hostile_word, mutated_bytes

_LONG = {b"OB", b"OW", b"OF", b"OD", b"SQ", b"UN", b"UT", b"UC", b"UR", b"OL", b"SV", b"UV"}
_START = 132  # after the preamble and its magic word
_KINDS = (b"DS", b"IS", b"US", b"SS", b"UL", b"FD", b"CS", b"UI", b"LO", b"SQ", b"OW", b"UN", b"PN", b"AT", b"xx")


@dataclass
class Element:
    """A data element: its tag (four bytes), its value representation, and its value."""

    tag: bytes
    kind: bytes
    value: bytes
    length: int | None = None
    """A length other than that of the value, as the file states it."""

    def encoded(self) -> bytes:
        length = len(self.value) if self.length is None else self.length
        if self.kind in _LONG:
            return self.tag + self.kind + struct.pack("<HI", 0, length % 2**32) + self.value
        return self.tag + self.kind + struct.pack("<H", length % 2**16) + self.value


def mutated_dicom(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Mutate elements of a DICOM file, also those of its sequences, or any byte."""
    if rng.random() < 0.25:
        return mutated_bytes(data, rng, others)
    elements = split(data[_START:])
    if not elements:
        return mutated_bytes(data, rng, others)
    return data[:_START] + _mutated(elements, rng)


def _mutated(elements: list[Element], rng: Random) -> bytes:
    for _ in range(1 << rng.randrange(3)):
        if not elements:
            break
        index = rng.randrange(len(elements))
        element, kind = elements[index], rng.randrange(8)
        if element.kind == b"SQ" and kind < 6:
            element.value = _mutated_sequence(element.value, rng)
        elif kind < 4:
            element.value = _value(element, rng)
        elif kind == 4:
            del elements[index]
        elif kind == 5:
            elements.insert(rng.randrange(len(elements) + 1), element)
        elif kind == 6:
            element.length = rng.choice((0, 1, 7, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, len(element.value) + 2))
        else:
            element.kind = rng.choice(_KINDS)
    return b"".join(element.encoded() for element in elements)


def split(data: bytes) -> list[Element]:
    """Return the elements of explicit little endian data up to the first that is not one."""
    elements, at = [], 0
    while at + 8 <= len(data):
        tag, kind = data[at : at + 4], data[at + 4 : at + 6]
        if not kind.isalpha():
            break
        is_long = kind in _LONG
        length = (
            struct.unpack_from("<I" if is_long else "<H", data, at + (8 if is_long else 6))[0]
            if at + 12 <= len(data) or not is_long
            else 0
        )
        start = at + (12 if is_long else 8)
        elements.append(Element(tag, kind, data[start : start + length]))
        at = start + length
    return elements


def _mutated_sequence(value: bytes, rng: Random) -> bytes:
    """Mutate one item of a sequence whose items state their lengths."""
    items, at = [], 0
    while at + 8 <= len(value) and value[at : at + 4] == b"\xfe\xff\x00\xe0":
        length = struct.unpack_from("<I", value, at + 4)[0]
        items.append(value[at + 8 : at + 8 + length])
        at += 8 + length
    if not items:
        return hostile_word(rng)
    index, kind = rng.randrange(len(items)), rng.randrange(6)
    if kind == 0:
        del items[index]
    elif kind == 1:
        items.insert(index, items[index])
    else:
        items[index] = _mutated(split(items[index]), rng)
    return b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item for item in items)


def _value(element: Element, rng: Random) -> bytes:
    """Return another value, of the same kind of content more often than not."""
    value, kind = element.value, rng.randrange(6)
    if element.kind in (b"DS", b"IS", b"CS", b"UI", b"LO") and kind < 4:
        parts = value.split(b"\\")
        parts[rng.randrange(len(parts))] = hostile_word(rng)[:60_000]
        value = b"\\".join(parts)
    elif kind < 5 and value:
        value = mutated_bytes(value, rng, [value])
    else:
        value = b""
    return value + b" " * (len(value) % 2)

"""Mutations that know nothing of a format: of bytes, and of lines of text."""

from __future__ import annotations

import struct
from random import Random

NUMBERS = (
    *("0", "-1", "1", "2", "3", "255", "256", "32767", "32768", "65535", "65536", "-32768", "2147483647"),
    *("2147483648", "4294967295", "4294967296", "-2147483649", "9223372036854775807", "9223372036854775808"),
    *("18446744073709551616", "1e999", "-1e999", "1e308", "1e-308", "1e-45", "5e-324", "nan", "NaN", "inf", "-inf"),
    *("0x10", "1_000", "1,5", "1.5.2", "+5", " 7 ", "٣", "1e5", "0.0", "-0", "00012", "9" * 400, "1" * 5000),
)
"""Numbers that parsers stumble over, as text."""

TEXTS = (
    *("", " ", "\x00", "\n", "\r\n", "\t", "\ufeff", "\u202e", "ß", "日本", "\ud800".encode("utf-8", "surrogatepass")),
    *("x" * 2000, "x" * 70_000, "%s%n", "../../x", "/etc/passwd", "/dev/zero", "\x1b[31m", "\\", '"', "{", "LIST"),
)
"""Words that parsers stumble over."""

WIDTHS = ("b", "h", "i", "q", "f", "d")
EXTREMES = (0, 1, -1, 2, 7, 127, -128, 255, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63))
REALS = (0.0, -1.0, 1.0, 1e30, -1e30, 1e-30, float("nan"), float("inf"), -float("inf"), 1e308)
LONGEST = 1 << 20


def hostile_word(rng: Random) -> bytes:
    """Return a word that parsers stumble over, more often a number."""
    word = rng.choice(NUMBERS if rng.random() < 0.7 else TEXTS)
    return word if isinstance(word, bytes) else word.encode()


def mutated_bytes(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Return bytes with one to eight random changes, sometimes with a part of another sample."""
    changed = bytearray(data)
    for _ in range(1 << rng.randrange(4)):
        rng.choice(_CHANGES)(changed, rng, others)
    return bytes(changed[:LONGEST])


def mutated_lines(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Return lines of text with one to four of them changed, moved, lost, doubled, or taken from another sample."""
    lines = data.split(b"\n")
    for _ in range(1 << rng.randrange(3)):
        index = rng.randrange(len(lines))
        kind = rng.randrange(8)
        if kind < 4:
            lines[index] = mutated_line(lines[index], rng)
        elif kind == 4 and len(lines) > 1:
            del lines[index]
        elif kind == 5:
            lines.insert(rng.randrange(len(lines) + 1), lines[index])
        elif kind == 6:
            other = rng.randrange(len(lines))
            lines[index], lines[other] = lines[other], lines[index]
        else:
            lines.insert(index, rng.choice(rng.choice(others).split(b"\n"))[:5000])
    return b"\n".join(lines)


def mutated_line(line: bytes, rng: Random) -> bytes:
    """Return a line with one word replaced, lost or doubled, or with bytes changed."""
    words = line.split(b" ")
    index = rng.randrange(len(words))
    kind = rng.randrange(6)
    if kind < 3:
        words[index] = hostile_word(rng)
    elif kind == 3:
        del words[index]
    elif kind == 4:
        words[index:index] = words[index : index + 1] * rng.choice((1, 2, 40))
    else:
        return mutated_bytes(line, rng, [line])
    return b" ".join(words)


def _flip(data: bytearray, rng: Random, others: list[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: Random, others: list[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)


def _cut(data: bytearray, rng: Random, others: list[bytes]) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _remove(data: bytearray, rng: Random, others: list[bytes]) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.randrange(1, 64)]


def _insert(data: bytearray, rng: Random, others: list[bytes]) -> None:
    start = rng.randrange(len(data) + 1)
    data[start:start] = rng.randbytes(rng.randrange(1, 64))


def _double(data: bytearray, rng: Random, others: list[bytes]) -> None:
    start, target = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
    data[target:target] = data[start : start + rng.randrange(1, 4096)]


def _splice(data: bytearray, rng: Random, others: list[bytes]) -> None:
    other = rng.choice(others)
    data[rng.randrange(len(data) + 1) :] = other[rng.randrange(len(other) + 1) :]


def _number(data: bytearray, rng: Random, others: list[bytes]) -> None:
    """Write an extreme number over the bytes, at any place, in either byte order."""
    width, order = rng.choice(WIDTHS), rng.choice("<>")
    if width in "fd":
        real = rng.choice(REALS)
        value = struct.pack(order + width, real if width == "d" or not abs(real) > 1e38 else float("inf"))
    else:
        size = struct.calcsize(width)
        value = (rng.choice(EXTREMES) % (1 << 8 * size)).to_bytes(size, "little" if order == "<" else "big")
    start = rng.randrange(max(1, len(data)))
    data[start : start + len(value)] = value


_CHANGES = (_flip, _flip, _set, _cut, _remove, _insert, _double, _splice, _number, _number, _number)

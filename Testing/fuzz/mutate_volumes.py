"""Mutations of volume files that reach what is behind a checksum or a header: NRRD, MetaImage, NIfTI."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Callable
from random import Random

from fuzz.mutate_bytes import EXTREMES, REALS, hostile_word, mutated_bytes, mutated_lines

_LONGEST_INSIDE = 1 << 22
_NIFTI_FIELDS = (
    *((0, "i"), (39, "b"), (40, "h"), (42, "h"), (44, "h"), (46, "h"), (48, "h"), (50, "h"), (68, "h"), (70, "h")),
    *((72, "h"), (74, "h"), (76, "f"), (80, "f"), (84, "f"), (88, "f"), (92, "f"), (108, "f"), (112, "f"), (116, "f")),
    *((120, "h"), (122, "b"), (123, "b"), (252, "h"), (254, "h"), (256, "f"), (260, "f"), (264, "f"), (268, "f")),
    *((280, "f"), (284, "f"), (288, "f"), (300, "f"), (304, "f"), (320, "f"), (344, "i"), (348, "i"), (352, "i")),
)
"""Offset and type of the numbers of a NIfTI header."""


def mutated_nrrd(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Mutate the header of an NRRD file, its voxels before their compression, or any byte."""
    header, blank, voxels = data.partition(b"\n\n")
    return _mutated_parts(header, blank, voxels, rng=rng, others=others)


def mutated_mha(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Mutate the header of a MetaImage, its voxels before their compression, or any byte."""
    header, end, voxels = data.partition(b"ElementDataFile = LOCAL\n")
    return _mutated_parts(header + end.rstrip(b"\n"), end[-1:], voxels, rng=rng, others=others)


def mutated_nifti(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Mutate a number of a NIfTI header, or any byte."""
    changed = bytearray(data)
    if rng.random() < 0.3 or len(changed) < 360:
        return mutated_bytes(data, rng, others)
    for _ in range(1 << rng.randrange(3)):
        offset, kind = rng.choice(_NIFTI_FIELDS)
        order = "<" if changed[0] == 92 else ">"
        if kind == "f":
            real = rng.choice(REALS)
            value = struct.pack(order + "f", real if abs(real) < 1e38 else float("inf"))
        else:
            size = struct.calcsize(kind)
            number = rng.choice(EXTREMES) if rng.random() < 0.6 else rng.randrange(2048)
            value = (number % (1 << 8 * size)).to_bytes(size, "little" if order == "<" else "big")
        changed[offset : offset + len(value)] = value
    return bytes(changed)


def inside_gzip(
    mutate: Callable[[bytes, Random, list[bytes]], bytes],
) -> Callable[[bytes, Random, list[bytes]], bytes]:
    """Return a mutation of what a gzip file holds; one in five is of the gzip file itself."""

    def mutated(data: bytes, rng: Random, others: list[bytes]) -> bytes:
        plain = _unpacked(data)
        if plain is None or rng.random() < 0.2:
            return mutated_bytes(data, rng, others)
        packed = gzip.compress(mutate(plain, rng, [_unpacked(other) or other for other in others]), 1, mtime=0)
        return packed + (packed if rng.random() < 0.02 else b"")

    return mutated


def _unpacked(data: bytes) -> bytes | None:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(data, _LONGEST_INSIDE)
    except zlib.error:
        return None


def _mutated_parts(header: bytes, blank: bytes, voxels: bytes, *, rng: Random, others: list[bytes]) -> bytes:
    kind = rng.randrange(10)
    if kind == 0:
        return mutated_bytes(header + blank + voxels, rng, others)
    if kind == 1 and (plain := _unpacked(voxels)) is not None:
        packed = zlib.compress(mutated_bytes(plain, rng, others), 1)
        if voxels[:2] == b"\x1f\x8b":
            packed = gzip.compress(mutated_bytes(plain, rng, others), 1, mtime=0)
        return header + blank + packed
    if kind == 2:
        return header + blank + mutated_bytes(voxels, rng, others)
    if kind < 6:
        return _with_one_word(header, rng) + blank + voxels
    return mutated_lines(header, rng, [other[:2000] for other in others]) + blank + voxels


def _with_one_word(header: bytes, rng: Random) -> bytes:
    """Replace one number or word of a header; the shape of the line stays."""
    words = list(re.finditer(rb"[-+\w.]+", header))
    if not words:
        return header + hostile_word(rng)
    word = rng.choice(words)
    return header[: word.start()] + hostile_word(rng) + header[word.end() :]

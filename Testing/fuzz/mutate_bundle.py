"""Mutations of bundles whose sizes, hashes and checksums are made right again, so that they reach what is behind."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from random import Random
from typing import Any

import msgspec

from fuzz.mutate_bytes import mutated_bytes
from fuzz.mutate_json import mutated_json
from fuzz.sample import Sample, by_suffix
from leuda_core.bundle.schema import content_hash

_METHODS = (*(zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) * 8, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_NAMES = ("../x", "/x", "a\\b", "._bundle.json", "__MACOSX/x", "bundle.json/", "b/bundle.json", "x" * 5000, ".DS_Store")


def mutated_bundle(sample: Sample, rng: Random, pool: list[Sample]) -> Sample:
    """Mutate one file of a bundle; three in four agree with their sizes and hashes again."""
    changed = _by_kind(sample, rng, pool)
    return sealed(changed) if rng.random() < 0.75 else changed


def mutated_zip(sample: Sample, rng: Random, pool: list[Sample]) -> Sample:
    """Mutate what a zipped bundle holds, or the zip file itself."""
    (name,) = sample
    if rng.random() < 0.4:
        return {name: mutated_bytes(sample[name], rng, [other[name] for other in pool])}
    inside = unpacked(sample[name])
    if not inside:
        return {name: mutated_bytes(sample[name], rng, [sample[name]])}
    packed = _packed(mutated_bundle(inside, rng, [inside]), rng)
    return {name: mutated_bytes(packed, rng, [packed]) if rng.random() < 0.2 else packed}


def sealed(sample: Sample) -> Sample:
    """Return the files of a bundle with a document that states their sizes and hashes, if it can be read at all."""
    try:
        document = json.loads(sample["bundle.json"])
        for name, record in document["files"].items():
            if isinstance(record, dict) and name in sample:
                record.update(size=len(sample[name]), sha256=hashlib.sha256(sample[name]).hexdigest())
        document["checksum"] = content_hash(document)
        text = json.dumps(document, indent=2).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError, msgspec.MsgspecError):
        return sample
    return {**sample, "bundle.json": text}


def unpacked(data: bytes) -> Sample:
    """Return the files of a zip file; none if it cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # a mutated archive: whatever it is, there is nothing to take from it
        return {}


def mutated_tensors(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Mutate the header of a safetensors file with its length made right again, or any byte."""
    length = int.from_bytes(data[:8], "little")
    if rng.random() < 0.3 or length > len(data):
        return mutated_bytes(data, rng, others)
    header = mutated_json(data[8 : 8 + length], rng, [data[8 : 8 + length]])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def _packed(sample: Sample, rng: Random) -> bytes:
    stream: Any = io.BytesIO()
    folder = rng.choice(("", "", "model/", "ä/"))
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in sample.items():
            archive.writestr(zipfile.ZipInfo(folder + name), data, rng.choice(_METHODS))
        if rng.random() < 0.15:
            archive.writestr(zipfile.ZipInfo(rng.choice(_NAMES)), b"x")
    return stream.getvalue()


_by_kind = by_suffix(json=mutated_json, safetensors=mutated_tensors, md=mutated_bytes)

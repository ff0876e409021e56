"""Mutations of checkpoints; most get checksums that are right again, so that they reach what is behind."""

from __future__ import annotations

import io
import zipfile
from hashlib import sha256
from random import Random

from fuzz.mutate_bytes import mutated_bytes
from fuzz.sample import Sample


def mutated_checkpoint(sample: Sample, rng: Random, pool: list[Sample]) -> Sample:
    """Mutate one of the checkpoints of a run, and nothing else."""
    name = rng.choice([name for name in sample if name.startswith("checkpoint")])
    data = sample[name]
    if rng.random() < 0.2:
        return {**sample, name: mutated_bytes(data, rng, [data])}
    head, _, payload = data.partition(b"\n")
    changed = _with_another_part(payload, rng) if rng.random() < 0.9 else mutated_bytes(payload, rng, [payload])
    mark = head.rpartition(b" ")[0]
    return {**sample, name: b"%b %b\n%b" % (mark, sha256(changed).hexdigest().encode(), changed)}


def _with_another_part(payload: bytes, rng: Random) -> bytes:
    """Return what ``torch.save`` wrote with one of its parts mutated: mostly the pickle, else a tensor or a note."""
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    pickled = [name for name in parts if name.endswith("data.pkl")]
    chosen = rng.choice(pickled if rng.random() < 0.5 else list(parts))
    parts[chosen] = mutated_bytes(parts[chosen], rng, list(parts.values()))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()

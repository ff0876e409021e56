"""A sample: the files of one input, by name. Mutations of one file become mutations of samples here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

Sample = dict[str, bytes]
MutateBytes = Callable[[bytes, Random, list[bytes]], bytes]
Mutate = Callable[[Sample, Random, list[Sample]], Sample]

_NAMES = ("._a", ".hidden", "a b", "ä", "run.json", "README.md", "x" * 200)


def write(sample: Sample, folder: Path) -> None:
    """Write the files of a sample into an existing folder, which is emptied first."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    for name, data in sample.items():
        if "/" in name:
            (folder / name).parent.mkdir(exist_ok=True)
        with open(folder / name, "wb", buffering=0) as stream:
            stream.write(data)


def one_file(mutate: MutateBytes) -> Mutate:
    """Return a mutation of one or two files of a sample, or of which files there are."""

    def mutated(sample: Sample, rng: Random, pool: list[Sample]) -> Sample:
        changed = dict(sample)
        for _ in range(rng.choice((1, 1, 1, 2))):
            name = rng.choice(list(sample))
            others = [other[name] for other in pool if name in other] or [sample[name]]
            changed[name] = mutate(sample[name], rng, others)
        if len(sample) > 1 and rng.random() < 0.1:
            _change_files(changed, rng)
        return changed

    return mutated


def by_suffix(**mutations: MutateBytes) -> Mutate:
    """Return a mutation of one file of a sample by the end of its name, such as ``json``; others stay."""

    def mutated(sample: Sample, rng: Random, pool: list[Sample]) -> Sample:
        names = [name for name in sample if name.rpartition(".")[2] in mutations]
        if not names:
            return sample
        name = rng.choice(names)
        others = [other[name] for other in pool if name in other] or [sample[name]]
        changed = {**sample, name: mutations[name.rpartition(".")[2]](sample[name], rng, others)}
        if rng.random() < 0.05:
            _change_files(changed, rng)
        return changed

    return mutated


def _change_files(sample: Sample, rng: Random) -> None:
    """Lose, copy, empty or swap a file."""
    name, other = rng.choice(list(sample)), rng.choice(list(sample))
    kind = rng.randrange(4)
    if kind == 0 and len(sample) > 1:
        del sample[name]
    elif kind == 1:
        sample[rng.choice(_NAMES)] = sample[name]
    elif kind == 2:
        sample[name] = b""
    else:
        sample[name], sample[other] = sample[other], sample[name]

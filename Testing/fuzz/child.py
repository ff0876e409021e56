"""The process that reads samples. It may crash, hang or run out of memory; its parent sees where it was."""

from __future__ import annotations

import faulthandler
import gc
import hashlib
import logging
import mmap
import os
import re
import resource
import shutil
import struct
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzz.sample import Sample, write
from fuzz.targets import Target, Tries

MEMORY_BYTES = 4 << 30
"""How much a child may allocate beyond what it has when it starts."""
_LARGEST_POOL, _LARGEST_SAMPLE = 400, 1 << 18
_COUNTS = ("index", "inputs", "accepted", "refused", "faults", "kinds")


class Board:
    """Numbers that a child writes and its parent reads: the present sample, since when, and what happened so far."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 * (len(_COUNTS) + 1))

    def __getitem__(self, name: str) -> int:
        return struct.unpack_from("q", self._memory, 8 * _COUNTS.index(name))[0]

    def __setitem__(self, name: str, value: int) -> None:
        struct.pack_into("q", self._memory, 8 * _COUNTS.index(name), value)

    @property
    def since(self) -> float:
        """When the present sample was begun (monotonic seconds); 0 between samples."""
        return struct.unpack_from("d", self._memory, 8 * len(_COUNTS))[0]

    @since.setter
    def since(self, value: float) -> None:
        struct.pack_into("d", self._memory, 8 * len(_COUNTS), value)


@dataclass(frozen=True)
class Orders:
    """What a child is to do: samples from ``start`` to ``end`` with this seed, until ``deadline`` (monotonic)."""

    seed: int
    start: int
    end: int
    deadline: float
    work: Path
    """Where the present sample is, in ``input``."""
    findings: Path


def run_child(target: Target, corpus: list[Sample], orders: Orders, board: Board) -> None:
    """Read mutated samples, and keep those whose reading fails otherwise than by a refusal."""
    _prepare(orders)
    pool, seen, folder = list(corpus), set[str](), orders.work / "input"
    for index in _indices(orders):
        rng = Random(f"{orders.seed}/{index}")
        sample = target.mutate(rng.choice(pool), rng, pool)
        try:
            write(sample, folder)
        except (OSError, ValueError):  # a name that no file can have
            continue
        board["index"], board.since = index, time.monotonic()
        new = _read(target, folder, board, orders) - seen
        board.since = 0.0
        small = sum(map(len, sample.values())) < _LARGEST_SAMPLE
        if new and small and len(pool) < _LARGEST_POOL:  # it reached something that no sample before it has
            pool.append(sample)
        board["kinds"] += len(new)
        seen |= new


def _indices(orders: Orders) -> Iterator[int]:
    for index in range(orders.start, orders.end):
        if time.monotonic() > orders.deadline:
            return
        yield index


def _read(target: Target, folder: Path, board: Board, orders: Orders) -> set[str]:
    """Read a sample, count what happened, and return the kinds of its refusals."""
    tries = Tries()
    board["inputs"] += 1
    try:
        target.read(folder, tries)
    except Exception as error:
        board["faults"] += 1
        keep(folder, orders.findings, _kind(error), "".join(traceback.format_exception(error)))
        return {_kind(error)}
    board["accepted" if tries.accepted and not tries.refusals else "refused"] += 1
    return {_kind(error) for error in tries.refusals} | {f"accepted {tries.accepted}"}


def keep(folder: Path, findings: Path, kind: str, why: str) -> None:
    """Copy a sample to the findings, once for each kind of failure."""
    name = f"{re.sub('[^A-Za-z]+', '-', kind)[:40]}-{hashlib.sha256(kind.encode()).hexdigest()[:8]}"
    if not (findings / name).exists():
        findings.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, findings / name, symlinks=True)
        (findings / f"{name}.txt").write_text(f"{kind}\n{why}", encoding="utf-8", errors="replace")


def _kind(error: BaseException) -> str:
    """Return where an error was raised, and its message without values."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "leuda_core" in frame.filename] or frames
    message = re.sub(r"'[^']*'|\"[^\"]*\"|[-+\d.]+|\(.*", "", str(error))[:60]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {Path(ours[-1].filename).name}:{ours[-1].lineno}"
    return f"{type(error).__name__} {place} {message}"


def _prepare(orders: Orders) -> None:
    """Limit the memory of this process, and silence the libraries; a crash leaves its stack in ``stack.txt``."""
    os.setsid()
    size = (
        int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
        if os.path.exists("/proc/self/statm")
        else 0
    )
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    logging.disable()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    faulthandler.enable(open(orders.work / "stack.txt", "w"))  # noqa: SIM115  open until the process ends
    (orders.work / "input").mkdir()
    gc.freeze()

"""Run folders with the events of trainings that never took place, for tests of what shows them."""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from leuda_core.runs.folder import Run
from repository import ROOT

PHASES = {"translate": ("cycle", "adversarial", "discriminator"), "train": ("segmentation", "intra", "inter")}
BEGIN = 1_790_000_000.0


def make_run(folder: Path, *, method: str = "le_uda", steps: int = 800, **config: Any) -> Run:
    """Make the folder of a run that has not begun."""
    folder.mkdir(parents=True)
    run = Run(folder)
    document = {"dataset": str(folder.parent / "dataset.json"), "method": method, "steps": steps, "seed": 0}
    run.config.write_text(json.dumps({**document, "device": "auto", **config}), encoding="utf-8")
    return run


def write(run: Run, events: Iterable[dict[str, Any]]) -> None:
    """Append events in one go."""
    with open(run.events, "a", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(event) + "\n" for event in events))


def training_events(translate: int, train: int, until: int | None = None) -> Iterator[dict[str, Any]]:
    """Tell of a training of two phases, one event in ten steps, a checkpoint in a hundred, up to step ``until``."""
    total = translate + train
    yield {"event": "start", "time": BEGIN}
    for step in range(10, (total if until is None else until) + 1, 10):
        phase = "translate" if step <= translate else "train"
        done = step if phase == "translate" else step - translate
        metrics = {name: _loss(step, done, scale) for scale, name in enumerate(PHASES[phase], start=1)}
        common = {"time": BEGIN + 0.4 * step, "step": step}
        yield {"event": "progress", "stage": phase, "total": total, "metrics": metrics, **common}
        if step % 100 == 0:
            yield {"event": "checkpoint", **common}
        if step % 100 == 0 and phase == "train":
            yield {"event": "preview", "file": f"previews/step-{step:06d}.png", **common}


def end_event(state: str, **fields: Any) -> dict[str, Any]:
    """Tell that a training ended."""
    return {"event": "end", "state": state, "time": BEGIN + 10_000, **fields}


def write_picture(path: Path, *, width: int = 256, height: int = 256, radius: float) -> None:
    """Write a picture of a grey disc with a red outline; standard library only."""
    rows = []
    for y in range(height):
        row = bytearray([0])
        for x in range(width):
            away = math.hypot(x - width / 2, y - height / 2)
            grey = 150 if away < 70 else 60
            row += bytes((220, 60, 60) if abs(away - radius) < 1.5 else (grey, grey, grey))
        rows.append(bytes(row))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    path.parent.mkdir(exist_ok=True)
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def hold(run: Run) -> subprocess.Popen[bytes]:
    """Hold the run's lock from another process that does not listen; the caller ends it."""
    code = (
        "import sys, time\nfrom leuda_core.runs.lock import RunLock\nwith RunLock(sys.argv[1]): print(); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(run.path)], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    )
    with process.stdout as stream:
        assert stream.readline(), "the lock was not taken"
    return process


def set_age(run: Run, days: float) -> None:
    """Let a run be made some days before ``BEGIN``."""
    when = BEGIN - 86_400 * days
    os.utime(run.config, (when, when))


def _loss(step: int, done: int, scale: int) -> float:
    """Return a value that falls and jitters, the same for the same step."""
    return round((0.1 + 1.4 * math.exp(-done / 250)) / scale * (1 + 0.12 * math.sin(step * 12.9898)), 5)

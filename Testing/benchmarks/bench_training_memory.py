"""Peak memory of training with ten and with a hundred volumes: ``python Testing/benchmarks/bench_training_memory.py``.

Each run is a process of its own on synthetic volumes; what is printed is the peak resident memory it reports at its
end. The loader maps one slice at a time, so the two must not differ by more than a few MiB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from leuda_core.io.volumes import write_label_map, write_volume
from leuda_core.runs.events import read_events
from leuda_core.runs.folder import Run
from leuda_core.types import Label, LabelMap, Volume

SHAPE = (256, 256, 24)
LABELS = (Label(1, "left half"),)


def write_cohort(folder: Path, count: int) -> Path:
    """Write ``count`` volumes, half source and half target, one in four of the source labelled."""
    rng = np.random.default_rng(0)
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    halves = np.zeros(SHAPE, np.uint8)
    halves[: SHAPE[0] // 2] = 1
    cases: dict[str, list[dict[str, str]]] = {"source": [], "target": []}
    for index in range(count):
        role = ("source", "target")[index % 2]
        entry = {"id": f"v{index}", "image": f"v{index}.nii.gz"}
        noise = rng.integers(0, 400, SHAPE, dtype=np.int16)
        write_volume(Volume(noise + halves * np.int16(300), affine), folder / entry["image"])
        if role == "source" and len(cases["source"]) % 4 == 0:
            entry["label"] = f"v{index}_label.nii.gz"
            write_label_map(LabelMap(halves, affine, LABELS), folder / entry["label"])
        cases[role].append(entry)
    document = {
        "name": f"memory-{count}",
        "labels": {"1": LABELS[0].name},
        **{role: {"name": role, "modality": "MR", "cases": entries} for role, entries in cases.items()},
    }
    path = folder / "dataset.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def peak_memory_mib(count: int, steps: int) -> int:
    """Train on ``count`` volumes in a process of its own and return the peak memory it reports."""
    with tempfile.TemporaryDirectory() as folder:
        dataset, run = write_cohort(Path(folder), count), Run(Path(folder) / "run")
        command = [sys.executable, "-m", "leuda_core", "train", dataset, "--method", "mean_teacher", "--out", run.path]
        subprocess.run([*map(str, command), "--steps", str(steps)], check=True, capture_output=True)
        return read_events(run.events)[0][-1]["peak_memory_mib"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    print("| volumes | peak MiB |\n|---|---|")
    for count in options.counts:
        print(f"| {count} | {peak_memory_mib(count, options.steps)} |", flush=True)


if __name__ == "__main__":
    main()

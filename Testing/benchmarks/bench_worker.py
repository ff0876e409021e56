"""How long the warm worker makes its client wait: for its first word, a model, one slice, a whole volume.

The model is a U-Net of 16 base channels behind a translator, untrained: time does not depend on weights. With
``--json FILE`` the figures are written, too.

    python Testing/benchmarks/bench_worker.py [--repeats 20] [--json out.json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "core"))

from worker_process import WorkerProcess

SLICES, PIXEL_MM, SLICE_MM = 60, 0.8, 3.0
SIDES = (256, 384, 512)
SLICE_LIMIT_MS, HELLO_LIMIT_S = 150.0, 0.3


def make_volume(side: int, path: Path) -> None:
    """Write an int16 volume ``(K, J, I)`` of waves with noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[:side, :side]
    data = np.empty((SLICES, side, side), np.int16)
    for index in range(SLICES):
        pattern = 400 * np.sin(rows / 40 + index / 20) * np.cos(columns / 55 - index / 20)
        data[index] = pattern + rng.normal(0, 15, (side, side))
    np.save(path, data)


def make_bundle(folder: Path) -> Path:
    """Write a model that works at twice the pixel size of the volumes, as ``le_uda`` chooses for them."""
    import torch

    from leuda_core.bundle.model import save_bundle
    from leuda_core.bundle.schema import BundleInfo, DomainSummary
    from leuda_core.networks.predictor import Predictor, PredictorSpec
    from leuda_core.types import Label, Task

    torch.manual_seed(0)
    domain = DomainSummary(name="synthetic", modality="CT")
    task = Task(tuple(Label(v, f"organ {v}") for v in (1, 2, 3)), spacing_mm=2 * PIXEL_MM, patch_size=96)
    spec = PredictorSpec(n_classes=4, base_channels=16, translator_channels=16, translator_blocks=4)
    info = BundleInfo(name="bench", method="le_uda", source=domain, target=domain)
    return save_bundle(folder, Predictor(spec), task, info)


def measure(folder: Path, repeats: int) -> dict[str, Any]:
    """Return the figures of one worker."""
    model = make_bundle(folder / "model")
    with WorkerProcess() as worker:
        hello = worker.wait_for("hello")["at"] - worker.started
        start = time.monotonic()
        worker.result("load", 1, model=model, device="cpu")
        figures: dict[str, Any] = {"hello_s": hello, "first_load_s": time.monotonic() - start, "sides": {}}
        for side in SIDES:
            make_volume(side, folder / f"{side}.npy")
            figures["sides"][side] = measure_side(worker, model, folder / f"{side}.npy", repeats)
        peak = [line for line in Path(f"/proc/{worker.process.pid}/status").read_text().splitlines() if "VmHWM" in line]
        figures["peak_mib"] = int(peak[0].split()[1]) >> 10
    return figures


def measure_side(worker: WorkerProcess, model: Path, volume: Path, repeats: int) -> dict[str, float]:
    """Return milliseconds of warm slices, from request to answer, and the share of the network in a warm volume."""
    fields = {"model": model, "device": "cpu", "volume": volume, "output": volume.with_suffix(".labels.npy")}
    fields["affine"] = np.diag([PIXEL_MM, PIXEL_MM, SLICE_MM, 1.0]).tolist()
    waits, cpu = [], []
    for number in range(repeats + 1):
        start, cpu_start = time.monotonic(), cpu_seconds(worker)
        worker.result("slice", 100 + number, position=[0, 0, SLICE_MM * (number % SLICES)], **fields)
        waits.append(1000 * (time.monotonic() - start))
        cpu.append(1000 * (cpu_seconds(worker) - cpu_start))
    start = time.monotonic()
    result = worker.result("segment", 99, **fields)
    wall = time.monotonic() - start
    return {
        "first_slice_ms": waits[0],
        "slice_ms": statistics.median(waits[1:]),
        "slice_cpu_ms": statistics.median(cpu[1:]),
        "fastest_slice_ms": min(waits[1:]),
        "slowest_slice_ms": max(waits[1:]),
        "volume_s": wall,
        "network_share": result["seconds"]["segment"] / wall,
    }


def cpu_seconds(worker: WorkerProcess) -> float:
    """Return the CPU time that a worker's process has used; Linux only."""
    fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def table(figures: dict[str, Any]) -> str:
    """Return the figures for reading."""
    lines = [
        f"hello                {figures['hello_s']:8.3f} s  (limit {HELLO_LIMIT_S})",
        f"first load           {figures['first_load_s']:8.2f} s",
        f"peak memory          {figures['peak_mib']:8d} MiB",
    ]
    for side, row in figures["sides"].items():
        lines += [
            f"{side} x {side}, a slice   {row['slice_ms']:8.1f} ms (limit {SLICE_LIMIT_MS:g}; "
            f"{row['fastest_slice_ms']:.1f} to {row['slowest_slice_ms']:.1f}, the first {row['first_slice_ms']:.1f})",
            f"  its CPU time         {row['slice_cpu_ms']:8.1f} ms (of all cores; on a busy machine the fairer one)",
            f"  {SLICES} slices            {row['volume_s']:8.2f} s, {row['network_share']:.1%} of it in the segmenter",
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), args.repeats)
    sys.stdout.write(table(figures) + "\n")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Time and memory of segmenting a file, against the bare network on the same slices in memory.

Prints a table and, with ``--json FILE``, writes the figures. Weights are untrained: time does not depend on them.

    python Testing/benchmarks/bench_segment.py [--repeats 3] [--json out.json] [--only speed|memory]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

SPEED_SHAPE, MEMORY_SHAPE = (512, 512, 120), (512, 512, 400)
NATIVE_MM, WORKING_MM, SLICE_MM = 0.7, 1.4, 3.0
SPEED_LIMIT, MEMORY_LIMIT_GIB = 2.0, 1.5


def make_volume(shape: tuple[int, int, int], path: Path) -> None:
    """Write an int16 volume of blurred blobs with noise, which compresses about as badly as a CT."""
    from leuda_core.io.volumes import write_volume
    from leuda_core.types import Volume

    rng = np.random.default_rng(0)
    data = np.empty(shape, np.int16, order="F")
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for index in range(shape[2]):
        phase = index / 20
        pattern = 400 * np.sin(rows / 40 + phase) * np.cos(columns / 55 - phase)
        data[..., index] = pattern + rng.normal(0, 15, shape[:2])
    write_volume(Volume(data, np.diag([NATIVE_MM, NATIVE_MM, SLICE_MM, 1.0])), path)


def make_bundle(folder: Path) -> Path:
    """Write an untrained model of 16 base channels and four classes."""
    import torch

    from leuda_core.bundle.model import save_bundle
    from leuda_core.bundle.schema import BundleInfo, DomainSummary
    from leuda_core.networks.predictor import Predictor, PredictorSpec
    from leuda_core.types import Label, Task

    torch.manual_seed(0)
    domain = DomainSummary(name="synthetic", modality="CT")
    labels = tuple(Label(value, f"organ {value}") for value in (1, 2, 3))
    task = Task(labels=labels, spacing_mm=WORKING_MM, patch_size=256)
    predictor = Predictor(PredictorSpec(n_classes=4, base_channels=16))
    return save_bundle(folder, predictor, task, BundleInfo(name="bench", method="none", source=domain, target=domain))


def timed(work: Callable[[], dict[str, float] | None]) -> dict[str, float]:
    """Return wall seconds and CPU seconds of some work, beside what it reports itself."""
    start, cpu_start = time.perf_counter(), time.process_time()
    own = work() or {}
    return {**own, "wall": time.perf_counter() - start, "cpu": time.process_time() - cpu_start}


def run_bare(network: nn.Module, images: Tensor, bf16: bool, batch: int) -> None:
    """Run the network alone on slices in memory, with all cores inside each layer."""
    import torch

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for at in range(0, len(images), batch):
            network(images[at : at + batch])


def best_setting(network: nn.Module, images: Tensor) -> tuple[bool, int]:
    """Return precision (bfloat16 or not) and batch size at which the bare network is fastest."""
    settings = [(bf16, batch) for bf16 in (True, False) for batch in (1, 2, 4)]

    def seconds(setting: tuple[bool, int]) -> float:
        return min(timed(partial(run_bare, network, images[:12], *setting))["wall"] for _ in range(3))

    return min(settings, key=seconds)


def run_pipeline(volume: Path, bundle: Path, out: Path) -> dict[str, float]:
    """Segment from file to label file; return the seconds of each stage."""
    from leuda_core import segment
    from leuda_core.io.volumes import write_label_map

    prediction = segment(volume, bundle, device="cpu")
    start = time.perf_counter()
    write_label_map(prediction.label_map, out)
    return {**prediction.seconds, "write": time.perf_counter() - start}


def measure_speed(folder: Path, repeats: int) -> dict[str, Any]:
    """Alternate the bare network and the whole pipeline; report medians, and the median of the ratios."""
    import torch

    from leuda_core.bundle.model import load_bundle

    volume, bundle = folder / "speed.nii.gz", folder / "bundle"
    make_volume(SPEED_SHAPE, volume)
    side = round(SPEED_SHAPE[0] * NATIVE_MM / WORKING_MM)
    network = load_bundle(bundle).predictor().to(memory_format=torch.channels_last)
    images = torch.randn(SPEED_SHAPE[2], 1, side, side)
    bf16, batch = best_setting(network, images)
    bare, whole = [], []
    for _ in range(repeats):
        bare.append(timed(partial(run_bare, network, images, bf16, batch)))
        whole.append(timed(partial(run_pipeline, volume, bundle, folder / "labels.nii.gz")))
    ratios = {clock: [w[clock] / b[clock] for w, b in zip(whole, bare, strict=True)] for clock in ("wall", "cpu")}
    return {
        "setting": {"precision": "bfloat16" if bf16 else "float32", "batch": batch},
        "bare_seconds": _medians(bare),
        "seconds": _medians(whole),
        "ratios": ratios,
        "ratio": statistics.median(ratios["wall"]),
        "cpu_ratio": statistics.median(ratios["cpu"]),
    }


def _medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def measure_memory(folder: Path) -> dict[str, Any]:
    """Return the peak memory of a process that segments a large file, from its own account."""
    volume = folder / "memory.nii.gz"
    make_volume(MEMORY_SHAPE, volume)
    command = [sys.executable, __file__, "--segment", str(volume), str(folder / "bundle"), str(folder / "m.nii.gz")]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def segment_and_report(volume: Path, bundle: Path, out: Path) -> None:
    """Segment as the command line does and print the peak memory of this process in MiB."""
    import resource

    from leuda_core.cli import main

    start = time.perf_counter()
    sys.stdout, stdout = sys.stderr, sys.stdout
    code = main(["segment", "--model", str(bundle), "--input", str(volume), "--output", str(out), "--device", "cpu"])
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    json.dump({"exit": code or 0, "peak_mib": peak_kib / 1024, "seconds": time.perf_counter() - start}, stdout)


def table(figures: dict[str, dict[str, Any]]) -> str:
    """Return the figures for reading."""
    lines = []
    if speed := figures.get("speed"):
        setting = speed["setting"]
        lines.append(f"bare network: {setting['precision']}, batch {setting['batch']}")
        for title, seconds in (("bare", speed["bare_seconds"]), ("pipeline", speed["seconds"])):
            lines += [f"{title + ', ' + name:22} {value:8.2f} s" for name, value in seconds.items()]
        runs = ", ".join(f"{ratio:.2f}" for ratio in speed["ratios"]["wall"])
        lines.append(f"pipeline / bare, wall  {speed['ratio']:8.2f}     (limit {SPEED_LIMIT}; runs {runs})")
        lines.append(f"pipeline / bare, CPU   {speed['cpu_ratio']:8.2f}     (on a busy machine the fairer one)")
    if memory := figures.get("memory"):
        gib = memory["peak_mib"] / 1024
        lines.append(f"peak memory            {gib:8.2f} GiB (limit {MEMORY_LIMIT_GIB}), {memory['seconds']:.1f} s")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=("speed", "memory"))
    parser.add_argument("--segment", nargs=3, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.segment:
        return segment_and_report(*args.segment)
    figures: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        make_bundle(Path(temporary) / "bundle")
        if args.only != "memory":
            figures["speed"] = measure_speed(Path(temporary), args.repeats)
        if args.only != "speed":
            figures["memory"] = measure_memory(Path(temporary))
    print(table(figures))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

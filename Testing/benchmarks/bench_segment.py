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
from pathlib import Path

import numpy as np

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

    from leuda_core.bundle import BundleInfo, DomainSummary, save_bundle
    from leuda_core.networks.predictor import Predictor, PredictorSpec
    from leuda_core.types import Label, Task

    torch.manual_seed(0)
    domain = DomainSummary(name="synthetic", modality="CT")
    labels = tuple(Label(value, f"organ {value}") for value in (1, 2, 3))
    task = Task(labels=labels, spacing_mm=WORKING_MM, patch_size=256)
    predictor = Predictor(PredictorSpec(in_channels=1, n_classes=4, base_channels=16))
    return save_bundle(folder, predictor, task, BundleInfo(name="bench", method="none", source=domain, target=domain))


def bare_seconds(bundle_path: Path, slices: int, side: int) -> dict[str, float]:
    """Return the seconds the network alone takes, for each precision at its best batch size, on all cores."""
    import torch

    from leuda_core.bundle import load_bundle

    network = load_bundle(bundle_path).predictor().to(memory_format=torch.channels_last)
    images = torch.randn(slices, 1, side, side)
    best: dict[str, float] = {}
    for name, bf16 in (("float32", False), ("bfloat16", True)):
        for batch in (1, 2, 4):
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                network(images[:batch])
                start = time.perf_counter()
                for at in range(0, slices, batch):
                    network(images[at : at + batch])
            best[name] = min(best.get(name, float("inf")), time.perf_counter() - start)
    return best


def pipeline_seconds(volume: Path, bundle: Path, out: Path) -> dict[str, float]:
    """Return the seconds from file to label file, by stage."""
    from leuda_core import segment
    from leuda_core.io.volumes import write_label_map

    start = time.perf_counter()
    prediction = segment(volume, bundle, device="cpu")
    segmented = time.perf_counter()
    write_label_map(prediction.label_map, out)
    end = time.perf_counter()
    return {**prediction.seconds, "write": end - segmented, "total": end - start}


def measure_speed(folder: Path, repeats: int) -> dict[str, object]:
    """Alternate the bare network and the whole pipeline; report medians, and the median of the ratios."""
    volume, bundle = folder / "speed.nii.gz", folder / "bundle"
    make_volume(SPEED_SHAPE, volume)
    side = round(SPEED_SHAPE[0] * NATIVE_MM / WORKING_MM)
    pipeline_seconds(volume, bundle, folder / "warm.nii.gz")
    bare, whole = [], []
    for _ in range(repeats):
        bare.append(bare_seconds(bundle, SPEED_SHAPE[2], side))
        whole.append(pipeline_seconds(volume, bundle, folder / "labels.nii.gz"))
    ratios = [stages["total"] / min(floor.values()) for stages, floor in zip(whole, bare, strict=True)]
    return {
        "bare_seconds": {name: statistics.median(floor[name] for floor in bare) for name in bare[0]},
        "seconds": {name: statistics.median(stages[name] for stages in whole) for name in whole[0]},
        "ratios": ratios,
        "ratio": statistics.median(ratios),
    }


def measure_memory(folder: Path) -> dict[str, float]:
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


def table(figures: dict[str, dict]) -> str:
    """Return the figures for reading."""
    lines = []
    if speed := figures.get("speed"):
        lines += [f"bare network, {name:10} {value:8.2f} s" for name, value in speed["bare_seconds"].items()]
        lines += [f"pipeline, {name:14} {value:8.2f} s" for name, value in speed["seconds"].items()]
        ratios = ", ".join(f"{ratio:.2f}" for ratio in speed["ratios"])
        lines.append(f"pipeline / bare          {speed['ratio']:8.2f}   (limit {SPEED_LIMIT}; runs {ratios})")
    if memory := figures.get("memory"):
        gib = memory["peak_mib"] / 1024
        lines.append(f"peak memory              {gib:8.2f} GiB (limit {MEMORY_LIMIT_GIB}), {memory['seconds']:.1f} s")
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
    figures: dict[str, dict] = {}
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

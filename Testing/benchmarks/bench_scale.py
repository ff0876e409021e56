"""Memory and time of many volumes, of many cases, and of a large volume, through the command line.

A tiny, untrained model is used: reading, resampling and writing are what is measured. Every third volume of a batch is
broken; the figures say how memory grows from the second quarter of the work to its end.

    python Testing/benchmarks/bench_scale.py batch --count 1000
    python Testing/benchmarks/bench_scale.py check --count 300
    python Testing/benchmarks/bench_scale.py large --shape 1024 1024 1000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leuda_core.io.volumes import write_label_map, write_volume
from leuda_core.types import Label, LabelMap, Volume

AFFINE = np.diag([-1.5, -1.5, 3.0, 1.0])
SHAPE = (40, 36, 4)
_LONG = "x" * 3000
BROKEN = {
    "empty.nii.gz": b"",
    "text.nii.gz": b"this is no image\n" * 100,
    "endian.nrrd": f"NRRD0005\ntype: short\ndimension: 3\nsizes: 4 4 4\nencoding: raw\nendian: {_LONG}\n\n".encode(),
    "dims.mha": b"ObjectType = Image\nNDims = 2147483648\nDimSize = 4 4 4\nElementType = MET_SHORT\n"
    b"ElementDataFile = LOCAL\n" + b"\0" * 128,
    "matrix.mha": b"ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = 1 0 0 0 1 0 0 1e308 1\n"
    b"DimSize = 4 4 4\nElementType = MET_SHORT\nElementDataFile = LOCAL\n" + b"\0" * 128,
    "huge.nrrd": b"NRRD0005\ntype: short\ndimension: 3\nsizes: 12000 12000 10\nencoding: raw\nendian: little\n\n\0\0",
}
"""Files that no reader accepts; some crash or hang a parser that trusts them."""


@dataclass
class Course:
    """A finished command: its exit code and output, and the memory (MiB) by seconds while it ran."""

    code: int
    output: str
    errors: str
    seconds: float
    memory: list[tuple[float, float]] = field(default_factory=list)

    @property
    def peak_mib(self) -> float:
        return max(mib for _, mib in self.memory)

    @property
    def growth_mib(self) -> float:
        """How much memory grew, by a straight line through the last three quarters of the course."""
        later = np.array([(at, mib) for at, mib in self.memory if at > self.seconds / 4])
        slope = np.polyfit(later[:, 0], later[:, 1], 1)[0] if len(later) > 2 else 0.0
        return float(slope * 0.75 * self.seconds)


def run(*words: str) -> Course:
    """Run ``leuda`` and follow its memory; Linux only."""
    start = time.monotonic()
    utf8 = {"encoding": "utf-8"}
    with tempfile.TemporaryFile("w+", **utf8) as output, tempfile.TemporaryFile("w+", **utf8) as errors:
        process = subprocess.Popen(
            [sys.executable, "-X", "utf8", "-m", "leuda_core", *words], stdout=output, stderr=errors
        )
        memory = []
        while process.poll() is None:
            memory.append((time.monotonic() - start, resident_mib(process.pid)))
            time.sleep(0.05)
        output.seek(0)
        errors.seek(0)
        return Course(process.returncode, output.read(), errors.read(), time.monotonic() - start, memory)


def resident_mib(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) / 256
    except (OSError, IndexError):
        return 0.0


def make_model(folder: Path, spacing_mm: float = 1.5) -> Path:
    """Write a tiny, untrained model."""
    import torch

    from leuda_core.bundle.model import save_bundle
    from leuda_core.bundle.schema import BundleInfo, DomainSummary
    from leuda_core.networks.predictor import Predictor, PredictorSpec
    from leuda_core.types import Task

    torch.manual_seed(0)
    domain = DomainSummary(name="synthetic", modality="CT")
    task = Task((Label(1, "organ"),), spacing_mm=spacing_mm, patch_size=32)
    info = BundleInfo(name="scale", method="source_only", source=domain, target=domain)
    return save_bundle(folder / "model", Predictor(PredictorSpec(n_classes=2, base_channels=2)), task, info)


def make_volume(path: Path, seed: int, shape: tuple[int, int, int] = SHAPE) -> Path:
    """Write a small int16 volume of noise."""
    data = np.random.default_rng(seed).normal(100, 40, shape).astype(np.int16)
    write_volume(Volume(data, AFFINE), path)
    return path


def batch(folder: Path, count: int) -> dict[str, Any]:
    """Segment a folder of ``count`` volumes, every third of them broken."""
    volumes, names = folder / "volumes", list(BROKEN)
    volumes.mkdir()
    for number in range(count):
        if number % 3 == 2:
            name = names[number // 3 % len(names)]
            (volumes / f"{number:04d}-{name}").write_bytes(BROKEN[name])
        else:
            make_volume(volumes / f"{number:04d}.{('nii.gz', 'nrrd', 'mha')[number % 4 % 3]}", number)
    words = ("--model", str(make_model(folder)), "--input", str(volumes), "--output", str(folder / "out"))
    course = run("segment", *words, "--device", "cpu", "--json")
    rows = json.loads(course.output)["volumes"] if course.output else []
    failed = {Path(row["input"]).name for row in rows if not row["ok"]}
    return {
        "volumes": count,
        "written": len(list((folder / "out").glob("*.nii.gz"))),
        "refused": len(failed),
        "refused are the broken ones": failed == {path.name for path in volumes.iterdir() if path.name[4] == "-"},
        "not told as a problem of the file": [row["input"] for row in rows if not row["ok"] and row["fault"]],
        **_figures(course),
    }


def check(folder: Path, count: int) -> dict[str, Any]:
    """Check a dataset of ``count`` cases, half of them with labels."""
    cases: dict[str, list[dict[str, str]]] = {"source": [], "target": []}
    for number in range(count):
        case = {"id": str(number), "image": make_volume(folder / f"{number}.nii.gz", number).name}
        if number % 2 == 0:
            data = (np.random.default_rng(number).random(SHAPE) > 0.8).astype(np.uint8)
            case["label"] = f"{number}-label.nii.gz"
            write_label_map(LabelMap(data, AFFINE, (Label(1, "organ"),)), folder / case["label"])
        cases["target" if number % 2 else "source"].append(case)
    document = {"name": "scale", "labels": {"1": "organ"}, **{key: {"cases": value} for key, value in cases.items()}}
    (folder / "dataset.json").write_text(json.dumps(document), encoding="utf-8")
    course = run("check", str(folder / "dataset.json"), "--json")
    found = json.loads(course.output)
    return {"cases": count, "problems": len(found["problems"]), "seconds a case": course.seconds / count} | _figures(
        course
    )


def large(folder: Path, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Segment one int16 volume at coarse pixels."""
    path = folder / "large.mha"
    head = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    head += f"ElementSpacing = 0.4 0.4 0.5\nDimSize = {shape[0]} {shape[1]} {shape[2]}\n"
    head += "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    rng = np.random.default_rng(0)
    with open(path, "wb") as stream:
        stream.write(head.encode())
        for _ in range(shape[2]):
            stream.write(rng.integers(-1000, 1000, shape[:2], np.int16).tobytes())
    words = ("--model", str(make_model(folder, 4.0)), "--input", str(path), "--output", str(folder / "out.nii.gz"))
    course = run("segment", *words, "--device", "cpu", "--json")
    written = (folder / "out.nii.gz").exists()
    return {"shape": shape, "volume MiB": 2 * int(np.prod(shape)) >> 20, "written": written} | _figures(course)


def _figures(course: Course) -> dict[str, Any]:
    figures = {"exit code": course.code, "seconds": course.seconds, "peak MiB": course.peak_mib}
    return {**figures, "growth MiB": course.growth_mib}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("batch", "check", "large"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--shape", type=int, nargs=3, default=(1024, 1024, 1000))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.what == "large":
            figures = large(Path(folder), tuple(args.shape))
        else:
            figures = {"batch": batch, "check": check}[args.what](Path(folder), args.count)
    for name, value in figures.items():
        sys.stdout.write(f"{name:36}{value:.4g}\n" if isinstance(value, float) else f"{name:36}{value}\n")


if __name__ == "__main__":
    main()

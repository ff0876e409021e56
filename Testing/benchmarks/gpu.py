"""What a GPU does with LE-UDA: ``python Testing/benchmarks/gpu.py --out FOLDER``, under eight minutes.

Writes ``gpu.md`` (tables) and ``gpu.json``. Every section runs by itself, so a failure in one of them is a row and not
the end. ``--device cpu`` runs the same code without a GPU, on smaller sizes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from leuda_core.config import make_config
from leuda_core.data.batches.loaders import SliceLoader
from leuda_core.data.dataset import load_dataset
from leuda_core.data.phantom.cohort import make_phantom
from leuda_core.data.tasks import make_task
from leuda_core.devices import autocast, has_bf16, kernel_problem
from leuda_core.methods import METHODS
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.runs.control import request_stop
from leuda_core.runs.folder import Run
from leuda_core.training.loop import to_device
from leuda_core.training.run import create_run, resume
from leuda_core.types import Label, Task, Volume

Row = dict[str, Any]
LABELS = tuple(Label(value, f"structure {value}") for value in range(1, 5))
WARM_STEPS = 3


class Bench:
    """The device, the sizes that suit it, and a phantom dataset to train on."""

    def __init__(self, device: str, folder: Path) -> None:
        self.device = torch.device(device)
        self.large = self.device.type != "cpu"
        self.folder = folder
        self.dataset = make_phantom(folder / "phantom", source_cases=4, labelled=2, target_cases=4, test_cases=1)
        self.steps = 12 if self.large else 1

    def sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def timed(self, work: Callable[[], object], repeats: int = 5) -> float:
        """Return the median seconds of ``work`` after one untimed call."""
        seconds = []
        for _ in range(repeats + 1):
            self.sync()
            start = time.perf_counter()
            work()
            self.sync()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds[1:])

    # Sections: each yields rows of one table.

    def machine(self) -> Iterator[Row]:
        """The device and whether its kernels are right"""
        cuda = self.device.type == "cuda"
        yield {
            "device": torch.cuda.get_device_name(self.device) if cuda else "cpu",
            "torch": torch.__version__,
            "bfloat16": has_bf16(self.device),
            "kernel problem": kernel_problem(self.device) or "none",
        }

    def segmenting(self) -> Iterator[Row]:
        """Segmenting a volume in memory, warm, median of five; the bare network on the same slices"""
        sizes = [(256, 256, 96), (512, 512, 400)] if self.large else [(64, 64, 12)]
        for shape in sizes:
            for channels in (16, 32):
                volume = random_volume(shape)
                segmenter = self._segmenter(channels)
                slices = torch.rand(16, 1, *shape[:2], device=self.device) * 2 - 1
                bare = self.timed(lambda: segmenter.logits(slices)) * shape[2] / 16  # noqa: B023
                whole = self.timed(lambda: segmenter(volume))  # noqa: B023
                yield {
                    "volume": "x".join(map(str, shape)),
                    "channels": channels,
                    "seconds": round(whole, 3),
                    "bare network": round(bare, 3),
                    "ratio": round(whole / bare, 2),
                    "notes": "; ".join(segmenter.notes) or "none",
                }

    def agreement(self) -> Iterator[Row]:
        """Labels of the device against those of the CPU in float32, share of voxels that are equal"""
        volume = random_volume((128, 128, 8))
        for precision in ("float32", "bfloat16"):
            found = self._segmenter(16, precision=precision)(volume).label_map.data
            expected = self._segmenter(16, device="cpu", precision="float32")(volume).label_map.data
            yield {"precision": precision, "equal": round(float((found == expected).mean()), 6)}

    def training(self) -> Iterator[Row]:
        """Training steps: steps a second, share of a step in the loader, share of kernels, peak memory"""
        for name in METHODS:
            try:
                yield from self._training_of(name)
            except Exception as error:  # one method must not hide the others
                traceback.print_exc()
                yield {"method": name, "phase": f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"}

    def resuming(self) -> Iterator[Row]:
        """A run that was stopped and resumed on the device against one that was not"""
        weights = []
        for stopped in (False, True, False):
            run = create_run(
                self.dataset,
                "mean_teacher",
                self.folder / f"resume-{len(weights)}",
                steps=20,
                device=str(self.device),
                settings={"patch_size": 64, "base_channels": 8},
            )
            self._train(run, stop_at=10 if stopped else 0)
            state = torch.load(run.checkpoint, map_location="cpu", weights_only=True)
            weights.append(torch.cat([x.flatten().float() for x in tensors(state) if x.is_floating_point()]))
        for what, other in (("stopped at 10 and resumed", weights[1]), ("the same run again", weights[2])):
            yield {"run": what, "largest difference of a weight": float((weights[0] - other).abs().max())}

    def low_memory(self) -> Iterator[Row]:
        """A GPU with little memory: smaller batches, then the CPU"""
        if self.device.type != "cuda":
            return
        total = torch.cuda.get_device_properties(self.device).total_memory
        for mib in (2000, 600, 100):
            torch.cuda.empty_cache()
            torch.cuda.set_per_process_memory_fraction(min(1.0, mib * 2**20 / total), self.device)
            try:
                segmenter = self._segmenter(32)
                segmenter(random_volume((512, 512, 32)))
                yield {"memory (MiB)": mib, "device": str(segmenter.device), "notes": "; ".join(segmenter.notes)}
            finally:
                torch.cuda.set_per_process_memory_fraction(1.0, self.device)

    # Parts

    def _segmenter(self, channels: int, *, device: str = "", precision: Any = "auto") -> SliceSegmenter:
        torch.manual_seed(0)
        predictor = Predictor(PredictorSpec(n_classes=len(LABELS) + 1, base_channels=channels))
        task = Task(LABELS, spacing_mm=1.0, patch_size=96)
        return SliceSegmenter(predictor, task, device=device or str(self.device), precision=precision)

    def _training_of(self, name: str) -> Iterator[Row]:
        kind = METHODS[name]
        sizes = {"patch_size": 256, "spacing_mm": 0.5} if self.large else {"patch_size": 32, "base_channels": 4}
        settings = make_config(kind.Config, sizes)
        data = load_dataset(self.dataset)
        task = make_task(data, settings)
        if kind.reads_target_labels:
            return
        with tempfile.TemporaryDirectory() as folder:
            loader = SliceLoader(data, task, settings, Path(folder), episodes=kind.draws_episodes)
            method = kind(task, settings).to(self.device)
            method.train()
            method.teacher.eval()
            for phase in method.phases(100):
                yield {"method": name, "phase": phase.name, **self._steps(loader, phase)}

    def _steps(self, loader: SliceLoader, phase: Any) -> Row:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        loading: list[float] = []

        def step(index: int) -> None:
            start = time.perf_counter()
            batch = loader.batch(index)
            loading.append(time.perf_counter() - start)
            with autocast(self.device):
                losses = phase.take(50, to_device(batch, self.device))
            assert all(torch.isfinite(loss).all() for loss in losses.values())

        for index in range(WARM_STEPS):
            step(index)
        self.sync()
        loading.clear()
        start = time.perf_counter()
        for index in range(self.steps):
            step(index)
        self.sync()
        seconds = time.perf_counter() - start
        row = {"steps/s": round(self.steps / seconds, 2), "loader": f"{sum(loading) / seconds:.0%}"}
        if self.device.type == "cuda":
            row["kernels"] = f"{self._kernel_share(step):.0%}"
            row["peak MiB"] = torch.cuda.max_memory_allocated(self.device) >> 20
        return row

    def _kernel_share(self, step: Callable[[int], None]) -> float:
        """Return the share of the wall time of a few steps in which the device computes."""
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            start = time.perf_counter()
            for index in range(4):
                step(index)
            self.sync()
            seconds = time.perf_counter() - start
        busy = sum(event.self_device_time_total for event in profiler.key_averages())
        return busy / 1e6 / seconds

    def _train(self, run: Run, *, stop_at: int) -> None:
        from leuda_core.errors import Cancelled

        def progress(done: int, total: int, metrics: object) -> None:
            if done == stop_at:
                request_stop(run)

        try:
            resume(run, on_progress=progress)
        except Cancelled:
            resume(run)


def random_volume(shape: tuple[int, int, int]) -> Volume:
    data = np.random.default_rng(0).integers(-1000, 1000, shape, dtype=np.int16)
    return Volume(np.asfortranarray(data), np.eye(4))


def tensors(tree: Any) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from tensors(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from tensors(value)


def table(title: str, rows: list[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"## {title}", "", "| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(row.get(name, "")) for name in names) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.device, Path(folder))
        for section in (
            bench.machine,
            bench.agreement,
            bench.segmenting,
            bench.resuming,
            bench.low_memory,
            bench.training,
        ):
            start, rows = time.perf_counter(), results.setdefault(section.__doc__ or "", [])
            try:
                rows.extend(section())
            except Exception as error:
                traceback.print_exc()
                rows.append({"failed": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"})
            if rows:
                print(table(section.__doc__ or "", rows), f"({time.perf_counter() - start:.0f} s)", flush=True)
            (options.out / "gpu.json").write_text(json.dumps(results, indent=1))
            (options.out / "gpu.md").write_text("\n".join(table(*item) for item in results.items() if item[1]))


if __name__ == "__main__":
    main()

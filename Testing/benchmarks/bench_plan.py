"""What a plan predicts and what a training needs: ``python Testing/benchmarks/bench_plan.py [--steps 40]``.

For each combination of method and sizes, ``leuda plan`` and then ``leuda train`` run in processes of their own on
synthetic volumes. Printed are the peak memory that the rules predict and that the run reports, and the seconds of the
steps as estimated and as measured between the first and the last logged step. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench_training_memory import write_cohort
from leuda_core.runs.events import read_events
from leuda_core.runs.folder import Run

COMBINATIONS = (  # method, patch, batch, unlabelled batch, channels
    ("source_only", 48, 2, 2, 8),
    ("source_only", 96, 8, 2, 16),
    ("source_only", 160, 16, 2, 16),
    ("source_only", 96, 16, 2, 32),
    ("self_training", 96, 8, 2, 16),
    ("self_training", 96, 8, 8, 16),
    ("self_training", 160, 4, 4, 16),
    ("self_training", 96, 4, 4, 32),
    ("cyclegan", 96, 8, 2, 16),
    ("cyclegan", 160, 2, 8, 8),
)
NAMES = ("patch_size", "batch_size", "unlabelled_batch_size", "base_channels")


def leuda(*words: object) -> dict[str, object]:
    """Run a command in a process of its own and return its document."""
    command = [sys.executable, "-m", "leuda_core", *map(str, words), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measured(run: Run) -> tuple[int, float]:
    """Return the peak memory in MiB and the seconds from the first to the last logged step."""
    events = read_events(run.events)[0]
    steps = [event["time"] for event in events if event["event"] == "progress" and event["stage"] != "prepare"]
    return events[-1]["peak_memory_mib"], steps[-1] - steps[0]


def row(dataset: Path, combination: tuple[object, ...], steps: int) -> str:
    method, *sizes = combination
    words = [dataset, "--method", method, "--device", "cpu", "--steps", steps, "--set", "spacing_mm=1"]
    words += [word for name, size in zip(NAMES, sizes, strict=True) for word in ("--set", f"{name}={size}")]
    if method != "source_only":
        words += ["--set", f"translator_steps={steps}"]
    plan = leuda("plan", *words)
    with tempfile.TemporaryDirectory() as folder:
        leuda("train", *words, "--out", Path(folder) / "run")
        memory, seconds = measured(Run(Path(folder) / "run"))
    estimate = sum(plan["seconds_per_step"][name] * number for name, number in plan["steps"].items())
    estimate *= 1 - 10 / sum(plan["steps"].values())  # the first logged step is the tenth
    return f"| {method} | {sizes} | {plan['predicted_memory_mib']} | {memory} | {estimate:.1f} | {seconds:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    print(f"| method | {', '.join(NAMES)} | predicted MiB | measured MiB | estimated s | measured s |\n|{'---|' * 6}")
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_cohort(Path(folder), 8)
        for combination in COMBINATIONS:
            print(row(dataset, combination, options.steps), flush=True)


if __name__ == "__main__":
    main()

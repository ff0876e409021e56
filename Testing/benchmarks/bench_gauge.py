"""How well a model tells its target from other volumes: ``python Testing/benchmarks/bench_gauge.py DATA TASK MODEL``.

The reference is that of the target cases of the task, as a training keeps it. Volumes of the task's test patients
should be like it; those of the source and of the other tasks in DATA should not. The table has the verdicts, and the
area under the ROC curve between the distances of the test volumes and those of each other group.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from development import TASKS
from leuda_core.bundle.model import load_bundle
from leuda_core.data.batches.prepared import CachedCase, prepare_case
from leuda_core.data.dataset import load_dataset, read_case_image
from leuda_core.prediction.gauge import gauge, with_reference
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import Case

OWN = "test patients of the target"


def groups(data: Path, task: str) -> dict[str, list[Case]]:
    """Return the volumes to compare: the test patients of the task, its source, and everything of the other tasks."""
    own = load_dataset(data / f"{task}.json")
    found = {OWN: list(own.test_target), "its source": list(own.source.cases)}
    known = {case.image.resolve() for case in (*own.target.cases, *own.test_target, *own.source.cases)}
    for other in TASKS:
        if other.split("/")[0] != task.split("/")[0]:
            dataset = load_dataset(data / f"{other}.json")
            for name, cases in (
                (f"source of {other}", dataset.source.cases),
                (f"target of {other}", (*dataset.target.cases, *dataset.test_target)),
            ):
                new = [case for case in cases if case.image.resolve() not in known]
                known |= {case.image.resolve() for case in new}
                if new:
                    found[name] = new
    return found


def main() -> None:
    """Print one line per group of volumes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("task", help="such as abdomen/ct-to-mr-4shot")
    parser.add_argument("model", type=Path)
    given = parser.parse_args()
    bundle, target = load_bundle(given.model), load_dataset(given.data / f"{given.task}.json").target.cases
    with tempfile.TemporaryDirectory() as folder:
        prepared: list[CachedCase] = [
            prepare_case(case, bundle.task, Path(folder) / str(number), with_labels=False)
            for number, case in enumerate(target)
        ]
        predictor = with_reference(bundle.predictor(), prepared, bundle.task)
    segmenter = SliceSegmenter(predictor, bundle.task, device="cpu")
    distances: dict[str, list[float]] = {}
    print("| volumes | number | distance | like | unlike | far | ROC |\n|---|---|---|---|---|---|---|")
    for name, cases in groups(given.data, given.task).items():
        found = [one for case in cases if (one := gauge(segmenter, read_case_image(case)))]
        distances[name] = [one.distance for one in found]
        counts = [sum(one.verdict == verdict for one in found) for verdict in ("like", "unlike", "far")]
        low, high = min(distances[name]), max(distances[name])
        row = [name, str(len(found)), f"{low:.2f} to {high:.2f}", *map(str, counts)]
        print(f"| {' | '.join(row)} | {_area(distances[OWN], distances[name]) if name != OWN else ''} |", flush=True)
    print(json.dumps(distances))


def _area(own: list[float], other: list[float]) -> str:
    """Return the area under the ROC curve: how often a volume of the target is nearer than another one."""
    pairs = [(a < b) + 0.5 * (a == b) for a in own for b in other]
    return f"{sum(pairs) / len(pairs):.3f}"


if __name__ == "__main__":
    main()

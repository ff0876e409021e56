"""How often a result is said to be implausible: ``python Testing/benchmarks/bench_anatomy.py DATA TASK MODEL``.

What is known of the structures is that of the labelled source volumes of the task, as a training keeps it. Results of
test patients, by their Dice, and their reference label maps should raise no flag; those of volumes that the model is
not for should.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench_gauge import OWN, groups
from leuda_core.bundle.model import load_bundle
from leuda_core.data.dataset import load_dataset, read_case_image, read_case_labels
from leuda_core.prediction.anatomy import implausible, known_anatomy
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import Anatomy, Dataset, LabelMap

GOOD, BAD = 0.8, 0.6


def main() -> None:
    """Print one line per group."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("task", help="such as abdomen/ct-to-mr-4shot")
    parser.add_argument("model", type=Path)
    parser.add_argument("--most", type=int, default=10, help="volumes of each group of other volumes")
    given = parser.parse_args()
    dataset, bundle = load_dataset(given.data / f"{given.task}.json"), load_bundle(given.model)
    anatomy = known_anatomy(dataset)
    segmenter = SliceSegmenter(bundle.predictor(), replace(bundle.task, anatomy=()), device="cpu")
    print("| what | flagged |\n|---|---|")
    _own(dataset, segmenter, anatomy)
    for name, cases in groups(given.data, given.task).items():
        if name != OWN:
            chosen = cases[:: max(1, -(-len(cases) // given.most))]
            found = [segmenter(read_case_image(case)).label_map for case in chosen]
            flagged = sum(bool(_flags(one, anatomy)) or not one.data.any() for one in found)
            print(f"| results of {name} | {flagged} of {len(found)} volumes |", flush=True)


def _own(dataset: Dataset, segmenter: SliceSegmenter, anatomy: Sequence[Anatomy]) -> None:
    counts = {
        name: [0, 0] for name in (f"Dice of {GOOD} or more", f"Dice below {BAD}", "Dice between them", "reference")
    }
    for case in dataset.test_target:
        result, reference = segmenter(read_case_image(case)).label_map, read_case_labels(case, dataset.labels)
        flags = _flags(result, anatomy), _flags(reference, anatomy)
        for label in dataset.labels:
            dice = _dice(result.data == label.value, reference.data == label.value)
            good, bad, between, known = counts.values()
            chosen = good if dice >= GOOD else bad if dice < BAD else between
            for row, names in ((chosen, flags[0]), (known, flags[1])):
                row[0] += label.name in names
                row[1] += 1
    for name, (flagged, total) in counts.items():
        print(f"| structures of test patients, {name} | {flagged} of {total} |", flush=True)


def _flags(label_map: LabelMap, anatomy: Sequence[Anatomy]) -> set[str]:
    """Return the names of the structures about which something is said."""
    said = list(implausible(label_map, anatomy))
    return {one.name for one in anatomy if any(text.startswith(f"{one.name} ") for text in said)}


def _dice(found: np.ndarray, expected: np.ndarray) -> float:
    return float(2 * (found & expected).sum() / max(1, found.sum() + expected.sum()))


if __name__ == "__main__":
    main()

"""What averaging over several looks brings: ``python Testing/benchmarks/bench_test_time.py DATASET MODEL [MODEL …]``.

Each model segments the test cases of a dataset as it is, and then with its probabilities averaged over changed slices:
moved, turned, scaled, mirrored, in other greys. The mean difference of Dice is printed with its paired interval over
patients, after the mean over models, and how often the network runs. With the datasets that ``development.py`` writes,
the cases are patients on whom something may be chosen.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from leuda_core.bench.results import confidence_interval
from leuda_core.bundle.model import load_bundle
from leuda_core.data.dataset import load_dataset, read_case_image, read_case_labels
from leuda_core.evaluation import evaluate_pair
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import LabelMap, SegmentOptions

Change = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]  # of a batch; of the answer, back again


def moved(*, angle: float = 0.0, scale: float = 1.0, rows: float = 0.0, columns: float = 0.0) -> Change:
    """Turn by degrees, scale and shift by shares of the slice; air appears at the border."""
    radians = math.radians(angle)
    cosine, sine = math.cos(radians), math.sin(radians)
    forth = torch.tensor([[cosine, -sine, columns], [sine, cosine, rows], [0, 0, 1]])
    forth[:2, :2] /= scale

    def resample(batch: Tensor, matrix: Tensor, background: float) -> Tensor:
        grid = functional.affine_grid(matrix[:2].repeat(len(batch), 1, 1), list(batch.shape), align_corners=False)
        return functional.grid_sample(batch - background, grid, align_corners=False) + background

    return lambda batch: resample(batch, forth, -1.0), lambda answer: resample(answer, torch.linalg.inv(forth), 0.0)


def mirrored(*axes: int) -> Change:
    return lambda batch: batch.flip(axes), lambda answer: answer.flip(axes)


def greys(change: Callable[[Tensor], Tensor]) -> Change:
    return change, lambda answer: answer


def gamma(exponent: float) -> Change:
    return greys(lambda batch: ((batch + 1) / 2).clamp(0, 1) ** exponent * 2 - 1)


SHIFT = 0.06
LOOKS: dict[str, Sequence[Change]] = {
    "shifted four ways": [moved(rows=r, columns=c) for r, c in ((SHIFT, 0), (-SHIFT, 0), (0, SHIFT), (0, -SHIFT))],
    "turned by 10 degrees, both ways": [moved(angle=10), moved(angle=-10)],
    "scaled by 0.85 and 1.18": [moved(scale=0.85), moved(scale=1.18)],
    "mirrored left to right": [mirrored(-1)],
    "gamma of 0.7 and 1.4": [gamma(0.7), gamma(1.4)],
    "negative": [greys(torch.neg)],
}


class Averaged(nn.Module):
    """A predictor whose probabilities are the mean over the slices as they are and as changed."""

    def __init__(self, predictor: nn.Module, changes: Sequence[Change]) -> None:
        super().__init__()
        self.predictor = predictor
        self.changes = changes

    def forward(self, batch: Tensor) -> Tensor:
        total = self.predictor(batch).float().softmax(1)
        for there, back in self.changes:
            answer = back(self.predictor(there(batch)).float().softmax(1))
            answer[:, 0] += 1 - answer.sum(1)  # what came from outside the slice is background
            total = total + answer
        return (total / (1 + len(self.changes))).clamp_min(1e-6).log()


def main() -> None:
    """Print one line for each kind of look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    given = parser.parse_args()
    dataset = load_dataset(given.dataset)
    cases = [(read_case_image(case), read_case_labels(case, dataset.labels)) for case in dataset.test_target]
    bundles = [load_bundle(path) for path in given.models]

    def scored(changes: Sequence[Change], options: SegmentOptions) -> np.ndarray:
        """Return the Dice of each case, mean over models."""
        table = []
        for bundle in bundles:
            segmenter = SliceSegmenter(Averaged(bundle.predictor(), changes), bundle.task, device="cpu")
            found = [segmenter(image, options).label_map for image, _ in cases]
            table.append([_dice(one, reference) for one, (_, reference) in zip(found, cases, strict=True)])
        return np.mean(table, axis=0)

    plain = scored([], SegmentOptions())
    print("| looks averaged with the first | Dice | difference (95 % CI) | runs of the network |\n|---|---|---|---|")
    print(f"| none | {plain.mean():.3f} |  | 1 |", flush=True)
    rows = {name: (changes, SegmentOptions()) for name, changes in LOOKS.items()}
    rows["none; largest component"] = ([], SegmentOptions(largest_component=True))
    for name, (changes, options) in rows.items():
        dice = scored(changes, options)
        low, high = confidence_interval((dice - plain).tolist()) or (0.0, 0.0)
        change = f"{dice.mean() - plain.mean():+.3f} ({low:+.3f} to {high:+.3f})"
        print(f"| {name} | {dice.mean():.3f} | {change} | {1 + len(changes)} |", flush=True)


def _dice(found: LabelMap, reference: LabelMap) -> float:
    """Return the mean Dice over the structures."""
    return float(np.nanmean([score.dice for score in evaluate_pair(found, reference)]))


if __name__ == "__main__":
    main()

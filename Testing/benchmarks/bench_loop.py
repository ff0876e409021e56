"""The loop of corrections without a person: ``python Testing/benchmarks/bench_loop.py DATA TASK MODEL --out FILE``.

An expert's label maps answer for the person: suggested (or random) slices of unlabelled target volumes are corrected,
``adapt`` goes on from the model, and the new one is scored on the test patients of the task, which nobody corrected.
With the strategy ``source``, as many further slices of the source are labelled instead.

One line per adaptation is appended to FILE, which ``make results`` turns into a table; what is there is not done again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from development import target_with_labels
from leuda_core.bundle.model import ModelBundle, load_bundle
from leuda_core.data.dataset import load_dataset, read_case_image, read_case_labels
from leuda_core.data.planes import case_plan
from leuda_core.evaluation import score_bundle
from leuda_core.io.volumes import Grid
from leuda_core.prediction.doubt import SHOWN
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.prediction.suggestion import suggest_slices
from leuda_core.training.run import adapt
from leuda_core.types import Case
from loop_tables import Outcome, read_outcomes

STRATEGIES = ("suggested", "random", "source")
SLICES_OF_A_VOLUME = 2


class Loop:
    """A task, a model for it, and the labels with which slices are corrected."""

    def __init__(self, data: Path, task: str, model: Path, folder: Path) -> None:
        self.task, self.path, self.folder = task, data / f"{task}.json", folder
        self.bundle: ModelBundle = load_bundle(model)
        self.dataset = load_dataset(self.path)
        self.answers: dict[str, dict[str, Any]] = {
            case["id"]: case for case in target_with_labels(data, task, folder / "labels")
        }

    def choose(self, strategy: str, count: int, seed: int) -> dict[str, list[int]]:
        """Return the slices to correct, by case."""
        rng = np.random.default_rng([seed, count])
        if strategy == "source":
            shown = self._source_slices()
            return _drawn(rng, shown, count, list(shown))
        volumes = max(1, count // SLICES_OF_A_VOLUME)
        cases = [case for case in self.dataset.target.cases if case.id in self.answers]
        segmenter = SliceSegmenter(self.bundle.predictor(), self.bundle.task, device="cpu")
        if strategy == "suggested":
            found: dict[str, list[int]] = {}
            for one in suggest_slices(segmenter, cases, count, volumes=volumes):
                found.setdefault(one.case, []).append(one.index)
            return found
        some = [cases[index] for index in sorted(rng.permutation(len(cases))[:volumes])]
        return _drawn(rng, {case.id: _shown(segmenter, case) for case in some}, count, [case.id for case in some])

    def _source_slices(self) -> dict[str, list[int]]:
        """Return the labelled slices of source cases that the model has not learnt from."""
        everything = load_dataset(self.path.with_name(self.path.name.replace("-4shot", "-16shot")))
        known = {case.id for case in self.dataset.source.cases if case.label}
        found = {}
        for case in everything.source.cases:
            if case.label and case.id not in known:
                image = read_case_image(case)
                task = self.bundle.task
                plan = case_plan(case, Grid(image.shape, image.affine), task.plane, task.isotropic)
                values = plan.view(read_case_labels(case, everything.labels).data)
                found[case.id] = np.flatnonzero(values.any(axis=(1, 2))).tolist()
                self.answers[case.id] = {"label": str(case.label)}
        return found

    def run(self, strategy: str, count: int, *, seed: int, steps: int | None) -> Outcome:
        """Correct slices, adapt the model, and score it."""
        corrected = self.choose(strategy, count, seed) if count else {}
        start, bundle = time.perf_counter(), self.bundle
        if count:
            out = Path(tempfile.mkdtemp(dir=self.folder)) / "run"
            bundle = load_bundle(adapt(bundle.path, self._written(corrected), out, steps=steps, seed=seed).bundle)
        seconds = time.perf_counter() - start
        return Outcome(
            task=self.task,
            model=self.bundle.checksum[:12],
            strategy=strategy,
            slices=count,
            seed=seed,
            steps=bundle.info.steps if count else 0,
            seconds=round(seconds, 1) if count else 0.0,
            corrected={name: sorted(indices) for name, indices in corrected.items()},
            target=_scores(bundle, self.dataset.test_target),
            source=_scores(bundle, [case for case in self.dataset.source.cases if case.label]),
        )

    def _written(self, corrected: dict[str, list[int]]) -> Path:
        """Write the dataset with the corrected slices."""
        document = json.loads(self.path.read_text(encoding="utf-8"))
        for domain in ("source", "target"):
            for case in document[domain]["cases"]:
                case |= {key: str(self.path.parent / case[key]) for key in ("image", "label") if key in case}
                if case["id"] in corrected:
                    case["label"] = self.answers[case["id"]]["label"]
                    case["labelled_slices"] = sorted(corrected[case["id"]])
        document["test"] = {}
        path = Path(tempfile.mkdtemp(dir=self.folder)) / "dataset.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return path


def _drawn(rng: np.random.Generator, shown: dict[str, list[int]], count: int, names: list[str]) -> dict[str, list[int]]:
    """Draw slices at random: a volume, then one of its slices that is not drawn yet."""
    found: dict[str, list[int]] = {}
    while sum(map(len, found.values())) < count:
        name = names[int(rng.integers(len(names)))]
        if left := sorted(set(shown[name]) - set(found.get(name, []))):
            found.setdefault(name, []).append(int(rng.choice(left)))
    return found


def _shown(segmenter: SliceSegmenter, case: Case) -> list[int]:
    """Return the slices of a volume in which a model finds structures."""
    doubt = segmenter(read_case_image(case), doubt=True).doubt
    assert doubt is not None, "it was asked for"
    return np.flatnonzero(doubt[:, 1] > SHOWN * doubt[:, 1].max()).tolist()


def _scores(bundle: ModelBundle, cases: Sequence[Case]) -> dict[str, float]:
    plain = [replace(case, labelled_slices=None) for case in cases]
    found: dict[str, list[float]] = {}
    for score in score_bundle(bundle, plain, device="cpu").scores:
        found.setdefault(score.case, []).append(score.dice)
    return {name: round(float(np.nanmean(values)), 4) for name, values in found.items()}


def main() -> None:
    """Run what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("task", help="such as abdomen/ct-to-mr-4shot")
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--counts", default="0,1,2,4,8,16")
    parser.add_argument("--strategies", default="suggested,random")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(given.data.resolve(), given.task, given.model, Path(folder))
        for seed in map(int, given.seeds.split(",")):
            for count in map(int, given.counts.split(",")):
                for strategy in given.strategies.split(","):
                    _add(loop, strategy if count else STRATEGIES[0], count, seed if count else 0, given)


def _add(loop: Loop, strategy: str, count: int, seed: int, given: argparse.Namespace) -> None:
    key = (loop.task, loop.bundle.checksum[:12], strategy, count, seed)
    if key in {(one.task, one.model, one.strategy, one.slices, one.seed) for one in read_outcomes(given.out)}:
        return
    found = loop.run(strategy, count, seed=seed, steps=given.steps)
    with open(given.out, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(found)) + "\n")
    means = [round(float(np.mean(list(part.values()))), 4) for part in (found.target, found.source)]
    print(strategy, count, seed, *means, f"{found.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()

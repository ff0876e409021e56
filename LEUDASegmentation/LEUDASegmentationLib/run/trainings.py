"""The trainings on this computer that models came from: their data, and their pictures."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

from leuda_core.bundle.store import ModelEntry, list_models
from leuda_core.errors import LeudaError
from leuda_core.io.private import read_regular
from leuda_core.runs.folder import Run

_RUN_FOLDER = "run"  # a training of LE-UDA Training is in NAME/run, next to its dataset


def training_dataset(model: ModelEntry, runs: Path, models: Path) -> Path | None:
    """Return the dataset file with which a model, or the one that it was adapted from, was trained on this computer.

    Args:
        runs: the folder of all trainings. models: the list of models, for those that were adapted again and again.
    """
    datasets = {checksum: dataset for checksum, dataset, _run in _trainings(runs)}
    parents = {entry.checksum: entry.adapted_from for entry in list_models(models) if not entry.problem}
    checksum, left = model.checksum, len(parents) + 1
    parents[checksum] = model.adapted_from
    while checksum and left:
        if checksum in datasets:
            return datasets[checksum]
        checksum, left = parents.get(checksum, ""), left - 1
    return None


def last_preview(model: ModelEntry, runs: Path) -> Path | None:
    """Return the last picture of a target slice that the training of a model made, if it is still there."""
    found = (run for checksum, _dataset, run in _trainings(runs) if model.checksum and checksum == model.checksum)
    run = next(found, None)
    return max(run.previews.glob("step-*.png"), default=None) if run is not None else None


def _trainings(runs: Path) -> Generator[tuple[str, Path, Run], None, None]:
    """Yield checksum of the model, dataset file and run of every training with a model, except of adaptations."""
    folders = sorted(runs.iterdir()) if runs.is_dir() else []
    for folder in (each for one in folders for each in (one / _RUN_FOLDER, one)):
        run = Run(folder)
        try:
            config = json.loads(read_regular(run.config))
            document = json.loads(read_regular(run.bundle / "bundle.json"))
            if not config.get("start"):
                yield str(document["checksum"]), Path(config["dataset"]), run
        except (OSError, ValueError, KeyError, TypeError, AttributeError, LeudaError):
            continue

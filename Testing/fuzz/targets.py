"""The readers that are fuzzed: for each, its corpus, its mutations, and the public calls that read a sample."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import numpy as np

from fuzz import corpus_dicom, corpus_documents, corpus_volumes, mutate_volumes
from fuzz.mutate_bundle import mutated_bundle, mutated_zip
from fuzz.mutate_bytes import mutated_bytes, mutated_lines
from fuzz.mutate_checkpoint import mutated_checkpoint
from fuzz.mutate_dicom import mutated_dicom
from fuzz.mutate_json import mutated_json
from fuzz.sample import Mutate, Sample, by_suffix, one_file
from fuzz.target_worker import answer_lines
from leuda_core.errors import LeudaError
from leuda_core.io.finding import find_volumes
from leuda_core.io.volumes import read_grid, read_label_map, read_volume, same_grid

T = TypeVar("T")


@dataclass
class Tries:
    """Calls the readers on a sample; what they refuse is kept, every other error goes on to the caller."""

    accepted: int = 0
    refusals: list[LeudaError] = field(default_factory=list)

    def __call__(self, read: Callable[..., T], *values: Any) -> T | None:
        try:
            result = read(*values)
        except LeudaError as error:
            self.refusals.append(error)
            return None
        self.accepted += 1
        return result


@dataclass(frozen=True)
class Target:
    """A reader. ``corpus`` makes its valid samples, ``read`` reads a sample in a folder."""

    corpus: Callable[[], list[Sample]]
    mutate: Mutate
    read: Callable[[Path, Tries], None]


def read_file(name: str, folder: Path, tries: Tries) -> None:
    """Read a file, or the whole folder, as a grid, a volume and a label map, which must agree."""
    path = folder / name
    grid, volume = tries(read_grid, path), tries(read_volume, path)
    labels = tries(read_label_map, path, None)
    if volume is not None:
        assert volume.data.ndim == 3 and np.isfinite(volume.affine).all()
        assert grid is not None and same_grid(grid, volume), "grid and volume differ"
    if labels is not None:
        assert labels.data.ndim == 3 and set(np.unique(labels.data)) <= {0, *(label.value for label in labels.labels)}


def read_dicom(folder: Path, tries: Tries) -> None:
    """Read a folder of DICOM files, what it is found to hold, and its first file alone."""
    found = tries(find_volumes, folder)
    assert found is None or all(path.exists() for path in found)
    read_file("", folder, tries)
    for path in sorted(folder.iterdir())[:1]:
        tries(read_volume, path)


def read_dataset(folder: Path, tries: Tries) -> None:
    """Load and check a dataset file."""
    from leuda_core.commands.info import check
    from leuda_core.commands.output import to_json
    from leuda_core.data.dataset import load_dataset

    tries(load_dataset, folder / "dataset.json")
    report = tries(check, Namespace(dataset=folder / "dataset.json"))
    assert report is not None, "check reports problems, it raises none"
    json.loads(to_json(report.data))


def read_bundle(name: str, folder: Path, tries: Tries) -> None:
    """Load a bundle and use it; import it into a store, which happens completely or not at all."""
    from leuda_core.bundle.model import load_bundle
    from leuda_core.bundle.store import import_model, list_models, read_model

    path, store = folder / name, folder / ".store"
    tries(read_model, path)
    loaded = tries(load_bundle, path)
    if loaded is not None:
        tries(_segment, loaded)
    entry = tries(import_model, path, store)
    listed = list_models(store)
    assert [model.name for model in listed] == ([] if entry is None else [entry.name]), "not all or nothing"
    assert not [model.problem for model in listed if model.problem], "an imported model has a problem"
    left = [found for found in os.listdir(store) if found.startswith(".")] if store.exists() else []
    assert not left, f"left behind: {left}"


def read_run(folder: Path, tries: Tries) -> None:
    """Read the state, the settings, the events and the report's data of a run."""
    from leuda_core.config import read_run_config
    from leuda_core.report.run_files import read_run_files
    from leuda_core.runs.events import read_events, seconds_at_work
    from leuda_core.runs.folder import Run
    from leuda_core.runs.state import status

    run = Run(folder)
    found = tries(status, run)
    if found is not None:
        json.dumps(found.as_dict())
        assert 0 <= found.progress <= 1
    if run.config.exists():
        tries(read_run_config, run.config)
    events = tries(read_events, run.events)
    if events is not None:
        tries(seconds_at_work, events[0])
    tries(read_run_files, folder)


def read_checkpoint(folder: Path, tries: Tries) -> None:
    """Resume a stopped run, which has one step left."""
    from leuda_core.training.run import resume

    tries(resume, folder)


def _segment(loaded: Any) -> Any:
    from leuda_core.prediction.segmenter import SliceSegmenter
    from leuda_core.types import Volume

    volume = Volume(corpus_volumes.voxels(), np.diag([1.5, 2.0, 3.0, 1.0]))
    return SliceSegmenter(loaded.predictor(), loaded.task, device="cpu")(volume)


def _one_json_line(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Mutate one line of a file of JSON lines, or the order and the bytes of all."""
    if rng.random() < 0.3:
        return mutated_lines(data, rng, others)
    lines = data.split(b"\n")
    index = rng.randrange(len(lines))
    lines[index] = mutated_json(lines[index], rng, lines)
    return b"\n".join(lines)


_JSON_FILES = by_suffix(json=mutated_json)
_RUN_FILES = by_suffix(json=mutated_json, jsonl=_one_json_line)
_LINES = by_suffix(jsonl=_one_json_line, npy=mutated_bytes)
_PACKED = mutate_volumes.inside_gzip(mutate_volumes.mutated_nifti)

TARGETS = {
    "nrrd": Target(
        corpus_volumes.nrrd_samples, one_file(mutate_volumes.mutated_nrrd), partial(read_file, "volume.nrrd")
    ),
    "seg.nrrd": Target(
        corpus_volumes.seg_nrrd_samples, one_file(mutate_volumes.mutated_nrrd), partial(read_file, "labels.seg.nrrd")
    ),
    "mha": Target(corpus_volumes.mha_samples, one_file(mutate_volumes.mutated_mha), partial(read_file, "volume.mha")),
    "nii": Target(
        partial(corpus_volumes.nifti_samples, "v.nii"),
        one_file(mutate_volumes.mutated_nifti),
        partial(read_file, "v.nii"),
    ),
    "nii.gz": Target(
        partial(corpus_volumes.nifti_samples, "v.nii.gz"), one_file(_PACKED), partial(read_file, "v.nii.gz")
    ),
    "dicom": Target(corpus_dicom.dicom_samples, one_file(mutated_dicom), read_dicom),
    "dataset": Target(corpus_documents.dataset_samples, _JSON_FILES, read_dataset),
    "bundle": Target(corpus_documents.bundle_samples, mutated_bundle, partial(read_bundle, "")),
    "zip": Target(corpus_documents.zip_samples, mutated_zip, partial(read_bundle, "model.zip")),
    "run": Target(corpus_documents.run_samples, _RUN_FILES, read_run),
    "checkpoint": Target(corpus_documents.checkpoint_samples, mutated_checkpoint, read_checkpoint),
    "worker": Target(corpus_documents.worker_samples, _LINES, answer_lines),
}
"""The readers by name."""

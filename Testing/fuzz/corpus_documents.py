"""Small valid datasets, bundles, run folders and worker requests, made in code."""

from __future__ import annotations

import atexit
import io
import json
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import numpy as np

from fuzz.corpus_volumes import mha, nifti_samples, nrrd, voxels
from fuzz.sample import Sample


def dataset_samples() -> list[Sample]:
    """Return dataset files with the volumes that they name."""
    images = {"s.nii": nifti_samples("s.nii")[0]["s.nii"], "t.mha": mha(voxels().tobytes(order="F"))}
    images["l.nrrd"] = nrrd(voxels("u1", 3).tobytes(order="F"), "uchar", endian="", extra="spacings: 1.5 2 3\n")
    case = {"id": "s", "image": "s.nii", "label": "l.nrrd", "labelled_slices": [0, 1]}
    small = {"name": "d", "labels": {"1": "liver", "2": "spleen"}}
    small |= {"source": {"cases": [case]}, "target": {"cases": [{"id": "t", "image": "t.mha"}]}}
    label = {"name": "spleen", "color": [200, 60, 60], "terminology": "SCT^1^Spleen"}
    full: dict[str, Any] = {**small, "labels": {"0": "background", "1": "liver", "2": label}}
    full["source"] = {"name": "a", "modality": "CT", "cases": [case, {"id": "u", "image": "t.mha"}]}
    full["test"] = {"target": [{"id": "x", "image": "t.mha", "label": "l.nrrd"}], "source": [{**case, "id": "y"}]}
    return [{"dataset.json": json.dumps(document).encode(), **images} for document in (small, full)]


def bundle_samples() -> list[Sample]:
    """Return the files of bundles: with and without translator and metrics."""
    return [_bundle(0, {}), _bundle(1, {"dice/liver": 0.9, "dice/spleen": None})]


def zip_samples() -> list[Sample]:
    """Return zipped bundles: packed flat and in a folder, by several methods."""
    methods = {"": zipfile.ZIP_DEFLATED, "model/": zipfile.ZIP_STORED, "m/": zipfile.ZIP_LZMA}
    samples: list[Sample] = []
    for folder, method in methods.items():
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for name, data in bundle_samples()[0].items():
                archive.writestr(zipfile.ZipInfo(folder + name), data, method)
        samples.append({"model.zip": stream.getvalue()})
    return samples


def run_samples() -> list[Sample]:
    """Return the files of runs: created, running, stopped, failed, and one with a lock and scores."""
    config = {"dataset": "dataset.json", "method": "source_only", "steps": 40, "seed": 0, "device": "cpu"}
    start = {"event": "start", "time": 1.0, "run": "x"}
    steps = [
        {"event": "progress", "time": 2.0 + n, "stage": "train", "step": 10 * n, "total": 40, "metrics": {"dice": 0.5}}
        for n in range(1, 4)
    ]
    saved = [{"event": "checkpoint", "step": 20, "time": 3}, {"event": "preview", "step": 20, "file": "previews/a.png"}]
    ends = [
        [],
        [{"event": "end", "state": "finished", "time": 9, "bundle": "bundle"}],
        [{"event": "end", "state": "stopped", "time": 9, "message": "interrupted"}],
        [{"event": "error", "kind": "input", "message": "m", "remedy": "r", "time": 9}],
    ]
    lock = {"pid": 1, "host": "h", "time": 1.0, "start": 5, "group": 1, "token": ""}
    return [
        {
            "run.json": json.dumps(config).encode(),
            "events.jsonl": b"".join(json.dumps(event).encode() + b"\n" for event in (start, *steps, *saved, *end)),
            "lock": json.dumps(lock).encode(),
            "log.txt": b"a line\n",
        }
        for end in ends
    ]


def checkpoint_samples() -> list[Sample]:
    """Return the files of a run that was interrupted one step before its end; its dataset stays until exit."""
    from leuda_core.errors import Cancelled
    from leuda_core.training.run import create_run, resume
    from tiny_data import write_dataset

    def interrupt(step: int, total: int, losses: object) -> None:
        if step == total:
            raise KeyboardInterrupt

    folder = Path(_kept_folder())
    options: dict[str, Any] = {"steps": 11, "checkpoint_every": 10, "device": "cpu"}
    small = {"base_channels": 4, "patch_size": 32, "batch_size": 1, "unlabelled_batch_size": 1}
    run = create_run(write_dataset(folder), "source_only", folder / "run", settings=small, **options)
    with suppress(Cancelled):
        resume(run, on_progress=interrupt)
    files = {file.name: file.read_bytes() for file in run.path.iterdir() if file.is_file()}
    return [files]


def worker_samples() -> list[Sample]:
    """Return lines for the worker, with the volume and the model that they name; paths are relative."""
    affine = [[1.5, 0, 0, 0], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]]
    common = {"model": "model", "device": "cpu", "volume": "v.npy", "affine": affine, "output": "l.npy"}
    requests: list[dict[str, Any]] = [
        {"request": "load", "id": 1, "model": "model", "device": "cpu"},
        {"request": "segment", "id": 2, **common, "probabilities": "p.npy", "largest_component": True},
        {"request": "segment", "id": 3, **common, "probabilities": None, "box": [[0, 2], [0, 3], [-1, 9]]},
        {"request": "slice", "id": 4, **common, "position": [1.0, 2.0, 3.0]},
        {"request": "find_volumes", "id": 5, "inputs": ["."]},
        {"request": "segment_file", "id": 6, "model": "model", "device": "cpu", "input": "s.nii", "output": "o.nii.gz"},
        {"request": "cancel", "id": 3},
    ]
    stream = io.BytesIO()
    np.save(stream, voxels().T)
    files = {"v.npy": stream.getvalue(), "s.nii": nifti_samples("s.nii")[0]["s.nii"]}
    model = {f"model/{name}": data for name, data in bundle_samples()[0].items()}
    lines = [json.dumps(request).encode() for request in requests]
    batches = [lines[:3], lines[3:], lines[1:2], lines[3:4], lines]
    return [{"requests.jsonl": b"\n".join(batch) + b"\n", **files, **model} for batch in batches]


def _bundle(translator_channels: int, metrics: dict[str, float | None]) -> Sample:
    import torch

    from leuda_core.bundle.model import save_bundle
    from leuda_core.bundle.schema import BundleInfo, DomainSummary
    from leuda_core.networks.predictor import Predictor, PredictorSpec
    from leuda_core.types import Label, Task

    torch.manual_seed(0)
    spec = PredictorSpec(n_classes=3, base_channels=1, translator_channels=translator_channels, translator_blocks=1)
    task = Task(labels=(Label(1, "liver"), Label(2, "spleen")), spacing_mm=2.0, patch_size=16)
    domain = DomainSummary(name="d", modality="MR")
    info = BundleInfo(name="b", method="m", source=domain, target=domain, metrics=metrics)
    with TemporaryDirectory() as folder:
        path = save_bundle(Path(folder) / "b", Predictor(spec), task, info)
        return {file.name: file.read_bytes() for file in path.iterdir()}


def _kept_folder() -> str:
    folder = mkdtemp(prefix="leuda-fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder

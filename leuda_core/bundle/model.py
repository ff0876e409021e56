"""The model bundle: a folder (or zip file) with data only, which another machine can check and segment with.

``bundle.json`` (task, predictor, provenance, size and sha256 of every other file), ``model.safetensors`` (weights)
and ``README.md`` (model card). No pickle, no code. Nothing is parsed before names, sizes and hashes match.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import os
import platform
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from leuda_core.bundle.card import model_card
from leuda_core.bundle.files import (
    CARD,
    DOCUMENT,
    REMEDY,
    WEIGHTS,
    check_tensors,
    check_weights_size,
    open_files,
    read_document,
    read_others,
)
from leuda_core.bundle.schema import BundleInfo, Document, FileRecord, content_hash, decode
from leuda_core.errors import InputError
from leuda_core.io.files import fill_folder, write_error
from leuda_core.io.leftovers import temporary_folder
from leuda_core.io.names import is_litter
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.types import Task

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ModelBundle:
    """A loaded and checked model. ``weights`` are float32, on the CPU, keyed like ``Predictor.state_dict()``.

    ``checksum`` is the hash of the whole bundle, as its document records it.
    """

    path: Path
    task: Task
    spec: PredictorSpec
    info: BundleInfo
    weights: Mapping[str, Tensor]
    checksum: str

    def predictor(self) -> Predictor:
        """Return a new predictor with its own copy of the weights, on the CPU, in evaluation mode."""
        predictor = _empty_predictor(self.spec)
        # numpy copies in one thread; torch would wait for free cores on a busy machine
        copies = {name: torch.from_numpy(tensor.numpy().copy()) for name, tensor in self.weights.items()}
        predictor.load_state_dict(copies, assign=True)
        return predictor.eval().requires_grad_(False)


def save_bundle(folder: Path | str, predictor: Predictor, task: Task, info: BundleInfo) -> Path:
    """Write a bundle completely or not at all, replacing an older bundle of that name. Return its folder.

    The same weights, task and info give the same bytes.

    Raises:
        InputError: the folder contains other files or cannot be written, or the weights are not finite.
    """
    folder = Path(folder)
    _check_replaceable(folder)
    if not info.software:
        info = msgspec.structs.replace(info, software=installed_software())
    info = msgspec.structs.replace(info, metrics={k: _finite(v) for k, v in info.metrics.items()})
    contents = {WEIGHTS: _encode_weights(predictor), CARD: model_card(task, info).encode()}
    records = {name: FileRecord(size=len(data), sha256=_sha256(data)) for name, data in contents.items()}
    document = Document(task=task, predictor=predictor.spec, info=info, files=records)
    fields = msgspec.to_builtins(document, order="deterministic")
    fields["checksum"] = content_hash(fields)
    contents[DOCUMENT] = msgspec.json.format(msgspec.json.encode(fields), indent=2)
    try:
        decode(contents[DOCUMENT])
    except ValueError as error:
        raise InputError(f"bundle {folder} could not be read again: {error}", "fix the task") from error
    _write_folder(folder, contents)
    return folder


def load_bundle(path: Path | str) -> ModelBundle:
    """Read a bundle from a folder or a zip file and check all of it. Nothing is extracted to disk.

    Raises:
        InputError: a file is missing, unexpected, too large or damaged, or the files do not match.
    """
    path = Path(path)
    with closing(open_files(path)) as files:
        document = read_document(files, decode)
        expected = {
            name: tuple(tensor.shape) for name, tensor in _empty_predictor(document.predictor).state_dict().items()
        }
        check_weights_size(files, sum(4 * math.prod(shape) for shape in expected.values()))
        contents = read_others(files, {name: (record.size, record.sha256) for name, record in document.files.items()})
    _check_shapes(check_tensors(path, contents[WEIGHTS]), expected, path)
    tensors = _decode_weights(contents[WEIGHTS], path)
    return ModelBundle(path, document.task, document.predictor, document.info, tensors, document.checksum)


def _encode_weights(predictor: Predictor) -> bytes:
    state = {name: tensor.detach().cpu().float().contiguous() for name, tensor in predictor.state_dict().items()}
    for name, tensor in state.items():
        if not np.isfinite(tensor.numpy()).all():
            raise InputError(f"weight {name!r} is not finite", "train again with a lower learning rate")
    return safetensors.torch.save(state)


def _decode_weights(data: bytes, path: Path) -> dict[str, Tensor]:
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"bundle {path}: {WEIGHTS} cannot be read ({error})", REMEDY) from error
    for name, tensor in tensors.items():
        if not np.isfinite(tensor.numpy()).all():
            raise InputError(f"bundle {path}: {WEIGHTS} tensor {name!r} has values that are not finite", REMEDY)
    return tensors


def _check_shapes(shapes: Mapping[str, Shape], expected: Mapping[str, Shape], path: Path) -> None:
    for name in sorted(expected.keys() ^ shapes.keys()):
        problem = "has no" if name in expected else "has the unknown"
        raise InputError(f"bundle {path}: {WEIGHTS} {problem} tensor {name!r}", REMEDY)
    for name, shape in shapes.items():
        if shape != expected[name]:
            what = f"tensor {name!r} has the shape {shape}, expected {expected[name]}"
            raise InputError(f"bundle {path}: {WEIGHTS} {what}", REMEDY)


def _empty_predictor(spec: PredictorSpec) -> Predictor:
    """Return the predictor without memory for its weights, so that an untrusted spec cannot allocate memory."""
    with torch.device("meta"):
        return Predictor(spec)


def _check_replaceable(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder} exists and is not a folder", "choose another name for the bundle")
    if folder.is_dir() and _others_in(folder) and not (folder / DOCUMENT).is_file():
        raise InputError(f"folder {folder} contains other files", "choose an empty folder or a new name for the bundle")


def _others_in(folder: Path) -> bool:
    return any(not is_litter(entry.name) for entry in folder.iterdir())


def _write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Fill a folder next to the final one, then swap: readers see the old bundle or the new one, never a mixture."""
    try:
        with temporary_folder(folder.parent) as work:
            new, old = work / "new", work / "old"
            fill_folder(new, contents)
            _swap(new, folder, old)
    except OSError as error:
        raise write_error(folder, error) from error


def _swap(new: Path, folder: Path, old: Path) -> None:
    if folder.exists():  # no system can replace a non-empty folder in one call
        os.replace(folder, old)
    try:
        os.replace(new, folder)
    except OSError:
        if old.exists():
            os.replace(old, folder)
        raise


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def installed_software() -> dict[str, str]:
    """Return the versions that a bundle records."""
    versions = {"python": platform.python_version()}
    for package in ("leuda-core", "torch", "numpy", "SimpleITK", "msgspec", "safetensors"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions

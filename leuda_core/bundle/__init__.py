"""The model bundle: a folder (or zip) of data alone that another machine can check, and then segment with.

``bundle.json`` (task, predictor, provenance, size and sha256 of every other file), ``model.safetensors`` (weights)
and ``README.md`` (model card). No pickle, no code. Nothing is parsed before names, sizes and hashes agree.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import os
import platform
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from leuda_core.bundle.card import model_card
from leuda_core.bundle.files import CARD, DOCUMENT, LIMITS, REMEDY, WEIGHTS, FolderFiles, ZipFiles, open_files
from leuda_core.bundle.schema import BundleInfo, Document, DomainSummary, FileRecord, decode
from leuda_core.errors import InputError
from leuda_core.io.files import atomic_path, write_error
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.types import Task

__all__ = ["BundleInfo", "DomainSummary", "ModelBundle", "export_zip", "load_bundle", "save_bundle"]


@dataclass(frozen=True, eq=False)
class ModelBundle:
    """A model that was read and checked. ``weights`` are float32, on the CPU, keyed like ``Predictor.state_dict()``."""

    path: Path
    task: Task
    spec: PredictorSpec
    info: BundleInfo
    weights: Mapping[str, Tensor]

    def predictor(self) -> Predictor:
        """Return a new predictor with its own copy of the weights, on the CPU, in evaluation mode."""
        predictor = _empty_predictor(self.spec)
        # numpy copies in one thread: torch's would wait for a core each time where all are busy
        copies = {name: torch.from_numpy(tensor.numpy().copy()) for name, tensor in self.weights.items()}
        predictor.load_state_dict(copies, assign=True)
        return predictor.eval().requires_grad_(False)


def save_bundle(folder: Path | str, predictor: Predictor, task: Task, info: BundleInfo) -> Path:
    """Write a bundle as a whole or not at all; an older bundle of that name is replaced. Return its folder.

    The same weights, task and info give the same bytes.

    Raises:
        InputError: the folder holds something else, cannot be written, or the weights are not finite.
    """
    folder = Path(folder)
    _check_replaceable(folder)
    if not info.software:
        info = msgspec.structs.replace(info, software=_software())
    info = msgspec.structs.replace(info, metrics={k: _finite(v) for k, v in info.metrics.items()})
    contents = {WEIGHTS: _encode_weights(predictor), CARD: model_card(task, info).encode()}
    records = {name: FileRecord(size=len(data), sha256=_sha256(data)) for name, data in contents.items()}
    document = Document(task=task, predictor=predictor.spec, info=info, files=records)
    document = msgspec.structs.replace(document, checksum=document.content_hash())
    contents[DOCUMENT] = msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=2)
    try:
        decode(contents[DOCUMENT])
    except ValueError as error:
        raise InputError(f"bundle {folder} would be refused on reading: {error}", "mend the task") from error
    _write_folder(folder, contents)
    return folder


def load_bundle(path: Path | str) -> ModelBundle:
    """Read a bundle from a folder or a zip file and check all of it. Nothing is extracted to disk.

    Raises:
        InputError: anything is missing, additional, too large, damaged, or does not fit together.
    """
    path = Path(path)
    files = open_files(path)
    try:
        document = _read_document(files)
        weights = {name: _read_checked(files, name, document) for name in (WEIGHTS, CARD)}[WEIGHTS]
    finally:
        if isinstance(files, ZipFiles):
            files.close()
    tensors = _decode_weights(weights, path)
    _check_weights(tensors, document.predictor, path)
    return ModelBundle(path, document.task, document.predictor, document.info, tensors)


def export_zip(folder: Path | str, out: Path | str) -> Path:
    """Pack a bundle into one zip file (deterministic bytes) after checking it, and return the file."""
    folder, out = Path(folder), Path(out)
    load_bundle(folder)
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(LIMITS):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes())
    return out


def _read_document(files: FolderFiles | ZipFiles) -> Document:
    data = files.read(DOCUMENT, files.sizes[DOCUMENT])
    try:
        document = decode(data)
    except ValueError as error:
        raise InputError(f"bundle {files.path}: {DOCUMENT}: {error}", REMEDY) from error
    expected = set(LIMITS) - {DOCUMENT}
    for name in sorted(expected ^ set(document.files)):
        problem = "does not list" if name in expected else "lists the unexpected file"
        raise InputError(f"bundle {files.path}: {DOCUMENT} {problem} {name!r}", REMEDY)
    return document


def _read_checked(files: FolderFiles | ZipFiles, name: str, document: Document) -> bytes:
    """Return a file's bytes once its size and hash are those the document states."""
    record, size = document.files[name], files.sizes[name]
    if size != record.size:
        raise InputError(f"bundle {files.path}: {name} has {size} bytes, {DOCUMENT} states {record.size}", REMEDY)
    data = files.read(name, size)
    if len(data) != size or _sha256(data) != record.sha256:
        raise InputError(f"bundle {files.path}: {name} does not have the sha256 {record.sha256[:12]}... stated", REMEDY)
    return data


def _encode_weights(predictor: Predictor) -> bytes:
    state = {name: tensor.detach().cpu().float().contiguous() for name, tensor in predictor.state_dict().items()}
    for name, tensor in state.items():
        if not np.isfinite(tensor.numpy()).all():
            raise InputError(f"weight {name!r} is not finite", "train again with a lower learning rate")
    return safetensors.torch.save(state)


def _decode_weights(data: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"bundle {path}: {WEIGHTS} cannot be read ({error})", REMEDY) from error


def _check_weights(tensors: Mapping[str, Tensor], spec: PredictorSpec, path: Path) -> None:
    expected = _empty_predictor(spec).state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        problem = "lacks" if name in expected else "holds the unknown"
        raise InputError(f"bundle {path}: {WEIGHTS} {problem} tensor {name!r}", REMEDY)
    for name, tensor in tensors.items():
        shape, wanted = tuple(tensor.shape), tuple(expected[name].shape)
        if shape != wanted or tensor.dtype != torch.float32:
            found = f"{tensor.dtype} {shape}, expected torch.float32 {wanted}"
            raise InputError(f"bundle {path}: {WEIGHTS} tensor {name!r} is {found}", REMEDY)
        if not np.isfinite(tensor.numpy()).all():
            raise InputError(f"bundle {path}: {WEIGHTS} tensor {name!r} holds values that are not finite", REMEDY)


def _empty_predictor(spec: PredictorSpec) -> Predictor:
    """Return the predictor without memory for its weights, so that a spec costs nothing until it is believed."""
    with torch.device("meta"):
        return Predictor(spec)


def _check_replaceable(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder} exists and is no folder", "choose another name for the bundle")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / DOCUMENT).is_file():
        raise InputError(f"folder {folder} holds other files", "choose an empty folder, or a new name, for the bundle")


def _write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Fill a folder beside the final one, then swap: a reader finds the old bundle or the new one, never a mixture."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        new, old = work / "new", work / "old"
        new.mkdir()
        for name, data in contents.items():
            with open(new / name, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        _swap(new, folder, old)
    except OSError as error:
        raise write_error(folder, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _swap(new: Path, folder: Path, old: Path) -> None:
    if folder.exists():  # no system replaces a folder that is not empty in one call
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


def _software() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in ("leuda-core", "torch", "numpy", "SimpleITK", "msgspec", "safetensors"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions

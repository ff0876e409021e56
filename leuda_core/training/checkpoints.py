"""Checkpoints: written with a checksum, the last two are kept, and nothing of a damaged one is used.

A file is one line with the SHA-256 of the rest, then what ``torch.save`` wrote. PyTorch itself does not notice changed
bits. Files without that line (version 0.1.0) are zip files, whose own checksums are compared instead.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from leuda_core.devices import is_out_of_memory
from leuda_core.errors import InputError, reason_of
from leuda_core.io.files import atomic_path
from leuda_core.io.leftovers import remove
from leuda_core.runs.folder import Run

_MARK = b"LEUDA-CHECKPOINT-1 "
_ZIP_MARK = b"PK\x03\x04"
_HEADER_BYTES = len(_MARK) + 64 + 1
_REMEDY = "restore the file from a copy, or train again into a new folder"
_PARTS = {"step": int, "networks": dict, "optimizers": dict}

State = dict[str, Any]


def save_checkpoint(run: Run, state: State) -> None:
    """Write the newest checkpoint and keep the one before it.

    A process killed between the two steps leaves only the one before, which ``restore_newest`` then uses.

    Raises:
        LeudaError: the disk is full, or the folder cannot be written; both files are as before.
    """
    payload = io.BytesIO()
    torch.save(state, payload)
    with atomic_path(run.checkpoint, private=True) as temporary:
        with open(temporary, "wb") as stream:
            stream.write(_MARK + hashlib.sha256(payload.getbuffer()).hexdigest().encode() + b"\n")
            stream.write(payload.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())  # some file systems report a full disk only now
        if run.checkpoint.exists():
            os.replace(run.checkpoint, run.checkpoint_before)


def read_checkpoint(path: Path, device: torch.device) -> State:
    """Return a checkpoint, its tensors on ``device``.

    Raises:
        InputError: it is damaged, or it is no checkpoint.
    """
    payload = _verified(path, _read(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about kinds of tensors that no checkpoint of a run has
            state = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise _unreadable(path, "it holds no weights") from error
    if not isinstance(state, dict):
        raise _unreadable(path, "it holds no weights")
    for name, kind in _PARTS.items():
        if not isinstance(state.get(name), kind):
            raise _unreadable(path, f"it has no {name!r}")
    return state


def restore_newest(run: Run, take: Callable[[State], None], device: torch.device) -> tuple[int, str]:
    """Give the newest usable checkpoint to ``take``, which raises InputError for one that does not fit.

    A newest one that is damaged is set aside as ``checkpoint-damaged.pt``, and the one before takes its place.

    Returns:
        The step to continue from (0 without a checkpoint), and what is wrong with the newest one, else nothing.

    Raises:
        InputError: none of the checkpoints is usable; about the newest one.
    """
    failures: list[InputError] = []
    for path in (run.checkpoint, run.checkpoint_before):
        if not os.path.lexists(path):
            continue
        try:
            state = read_checkpoint(path, device)
            take(state)
        except InputError as failure:
            failures.append(failure)
            continue
        if path == run.checkpoint:
            return state["step"], ""
        _promote(run)
        return state["step"], failures[0].message if failures else f"{run.checkpoint.name} is missing"
    if failures:
        raise failures[0]
    return 0, ""


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise _unreadable(path, "it is not a file")
    try:
        with open(path, "rb") as stream:
            head = stream.read(_HEADER_BYTES)
            if not head.startswith((_MARK, _ZIP_MARK)):
                raise _unreadable(path, "it is not a checkpoint" if head else "it is empty")
            return head + stream.read()
    except OSError as error:
        raise _unreadable(path, reason_of(error)) from error


def _verified(path: Path, data: bytes) -> bytes:
    """Return what ``torch.save`` wrote, once it is known to be unchanged."""
    if data.startswith(_ZIP_MARK):
        _check_zip(path, data)
        return data
    header, payload = data[:_HEADER_BYTES], memoryview(data)[_HEADER_BYTES:]
    if header != _MARK + hashlib.sha256(payload).hexdigest().encode() + b"\n":
        raise _unreadable(path, "its content does not match its checksum")
    return bytes(payload)


def _check_zip(path: Path, data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
    except Exception as error:  # zipfile and zlib raise many kinds for damaged files
        raise _unreadable(path, "it is incomplete or damaged") from error
    if damaged:
        raise _unreadable(path, "its content does not match its checksums")


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(f"checkpoint {path} cannot be read: {reason}", _REMEDY)


def _promote(run: Run) -> None:
    """Put the checkpoint before in the place of the newest, so that the next one does not replace it."""
    damaged = run.path / "checkpoint-damaged.pt"
    if os.path.lexists(run.checkpoint):
        remove(damaged)
        os.replace(run.checkpoint, damaged)
    os.replace(run.checkpoint_before, run.checkpoint)

"""Adds the model of a finished run to the list of LEUDASegmentation, only once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import slicer

from leuda_core.bundle.store import ModelEntry, import_model, list_models
from leuda_core.io.private import read_regular
from LEUDASegmentationLib.processes.environment import models_folder

DOCUMENT = "bundle.json"


def add_to_models(bundle: Path, name: str) -> ModelEntry:
    """Return the entry of a bundle in the list, after importing it if the list does not contain the same model.

    Raises:
        InputError: the bundle is damaged.
    """
    folder = models_folder()
    document = _content(bundle)
    for entry in list_models(folder):
        if document and not entry.problem and _content(entry.path) == document:
            return entry
    return import_model(bundle, folder, name)


def _content(bundle: Path) -> bytes:
    """Return the document, which contains the hash of every file and so identifies a bundle; nothing if it is gone."""
    with suppress(OSError):
        return read_regular(bundle / DOCUMENT)
    return b""


def use_model(bundle: Path, name: str) -> None:
    """Open LEUDASegmentation and choose the model of a finished run.

    Raises:
        InputError: the bundle is damaged.
    """
    entry = add_to_models(bundle, name)
    slicer.util.selectModule("LEUDASegmentation")
    slicer.util.getModuleWidget("LEUDASegmentation").selectModel(entry.name)

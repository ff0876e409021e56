"""Adds the model of a finished run to the list of LEUDASegmentation, only once."""

from __future__ import annotations

from pathlib import Path

import slicer

from leuda_core.bundle.store import ModelEntry, import_model, list_models
from LEUDASegmentationLib.processes.environment import models_folder

DOCUMENT = "bundle.json"


def add_to_models(bundle: Path, name: str) -> ModelEntry:
    """Return the entry of a bundle in the list, after importing it if the list does not contain the same model.

    Raises:
        InputError: the bundle is damaged.
    """
    folder = models_folder()
    document = (bundle / DOCUMENT).read_bytes()  # contains the hash of every file, so it identifies the bundle
    for entry in list_models(folder):
        if not entry.problem and (entry.path / DOCUMENT).read_bytes() == document:
            return entry
    return import_model(bundle, folder, name)


def use_model(bundle: Path, name: str) -> None:
    """Open LEUDASegmentation and choose the model of a finished run.

    Raises:
        InputError: the bundle is damaged.
    """
    entry = add_to_models(bundle, name)
    slicer.util.selectModule("LEUDASegmentation")
    slicer.util.getModuleWidget("LEUDASegmentation").selectModel(entry.name)

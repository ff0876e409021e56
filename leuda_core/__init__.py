"""LE-UDA: segment an unlabelled modality by adapting a model from another modality with few labels.

The public interface. Each name is loaded on first use, so importing the package is fast::

    import leuda_core
    run = leuda_core.train("dataset.json", "self_training", "run")
    prediction = leuda_core.segment("case.nii.gz", run.bundle)
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "train": "training.run",
    "resume": "training.run",
    "segment": "prediction.volumes",
    "evaluate": "evaluation",
    "load_bundle": "bundle.model",
    "ModelBundle": "bundle.model",
    "load_dataset": "data.dataset",
    "Evaluation": "evaluation",
    "Run": "runs.folder",
    "RunStatus": "runs.state",
    "status": "runs.state",
    "LeudaError": "errors",
    "InputError": "errors",
    "Cancelled": "errors",
    "DeviceError": "errors",
    **dict.fromkeys(
        ("Volume", "LabelMap", "Label", "Case", "Domain", "Dataset", "Task", "Batch", "Prediction"),
        "types",
    ),
}

__all__ = ["__version__", "list_methods", *_HOMES]


def list_methods() -> list[str]:
    """Return the names of all methods."""
    return list(importlib.import_module("leuda_core.methods").METHODS)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

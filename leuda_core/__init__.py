"""LE-UDA: segment an unlabelled modality by adapting a model from another modality with few labels.

The public interface. Each name is loaded on first use, so importing the package is fast::

    import leuda_core
    run = leuda_core.train("dataset.json", "self_training", "run")
    prediction = leuda_core.segment("case.nii.gz", run.bundle)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names, for type checkers and editors
    from leuda_core.bundle.model import ModelBundle as ModelBundle
    from leuda_core.bundle.model import load_bundle as load_bundle
    from leuda_core.data.dataset import load_dataset as load_dataset
    from leuda_core.errors import Cancelled as Cancelled
    from leuda_core.errors import DeviceError as DeviceError
    from leuda_core.errors import InputError as InputError
    from leuda_core.errors import LeudaError as LeudaError
    from leuda_core.evaluation import Evaluation as Evaluation
    from leuda_core.evaluation import evaluate as evaluate
    from leuda_core.prediction.volumes import segment as segment
    from leuda_core.runs.folder import Run as Run
    from leuda_core.runs.state import RunStatus as RunStatus
    from leuda_core.runs.state import status as status
    from leuda_core.training.reproduce import Reproduction as Reproduction
    from leuda_core.training.reproduce import reproduce as reproduce
    from leuda_core.training.run import adapt as adapt
    from leuda_core.training.run import resume as resume
    from leuda_core.training.run import train as train
    from leuda_core.types import Batch as Batch
    from leuda_core.types import Case as Case
    from leuda_core.types import Dataset as Dataset
    from leuda_core.types import Domain as Domain
    from leuda_core.types import Label as Label
    from leuda_core.types import LabelMap as LabelMap
    from leuda_core.types import Prediction as Prediction
    from leuda_core.types import Task as Task
    from leuda_core.types import Volume as Volume

__version__ = "0.2.0"

_HOMES = {
    "train": "training.run",
    "adapt": "training.run",
    "resume": "training.run",
    "reproduce": "training.reproduce",
    "Reproduction": "training.reproduce",
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

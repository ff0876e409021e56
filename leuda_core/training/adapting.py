"""Going on from a finished model: a run that keeps a copy of it, and adapts it to corrected and new target volumes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from leuda_core.bundle.model import ModelBundle, load_bundle
from leuda_core.bundle.schema import BundleInfo
from leuda_core.bundle.store import import_model
from leuda_core.config import RULES, RunConfig, make_config
from leuda_core.data.dataset import load_dataset
from leuda_core.errors import InputError
from leuda_core.methods import ADAPTATION
from leuda_core.methods.adaptation import Adaptation
from leuda_core.runs.folder import Run
from leuda_core.types import Dataset, Label, Task

CHECKPOINT_EVERY = 50
_SUFFIX = ", adapted"

OF_THE_TASK = ("spacing_mm", "patch_size", "zoom", "plane", "context", "context_mm")
"""Settings that are those of the model: how volumes are cut and shown to it."""
CT_WINDOW = ("ct_window_low", "ct_window_high")
USUALLY_KEPT = ("augmentation", "rotation_deg", "scaling", "ema_decay")
"""Settings with which the model was trained, unless the caller changes them."""


def adaptation_config(
    bundle: ModelBundle,
    dataset: Path | str,
    *,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> RunConfig:
    """Check a call and return the config of its run.

    Raises:
        InputError: a setting, an option or the dataset is wrong, or its labels are not those of the model.
    """
    loaded = load_dataset(dataset, needs_source=False)
    adapted_task(loaded, bundle)
    own = {name: getattr(bundle.task, name) for name in OF_THE_TASK} | {"base_channels": bundle.spec.base_channels}
    known = {name: value for name, value in bundle.info.settings.items() if name in USUALLY_KEPT}
    given = dict(settings or {})
    chosen = make_config(Adaptation.Config, {**known, **own, **given})
    for name, value in (own | dict.fromkeys(CT_WINDOW, 0.0)).items():
        if name in given and getattr(chosen, name) != value:
            theirs = "which has its own" if name in CT_WINDOW else value
            what = f"--set: {name}={given[name]} is not that of the model, {theirs}"
            raise InputError(what, "leave it out: an adapted model keeps it")
    values = {
        "dataset": str(loaded.path),
        "method": ADAPTATION,
        "settings": msgspec.to_builtins(chosen),
        "steps": Adaptation.default_steps,
        "rules": RULES,
        "checkpoint_every": CHECKPOINT_EVERY,
        "start": bundle.checksum,
        **{name: value for name, value in options.items() if value is not None},
    }
    return make_config(RunConfig, values, where="adapt")


def adapted_task(dataset: Dataset, bundle: ModelBundle) -> Task:
    """Return the task of a model, after comparing its labels with those of a dataset.

    Raises:
        InputError: they are not the same.
    """
    tables = [_named(labels) for labels in (dataset.labels, bundle.task.labels)]
    if tables[0] != tables[1]:
        what = f"dataset {dataset.name!r} has the labels {tables[0]}, the model has {tables[1]}"
        raise InputError(what, "give them the values and names of the model")
    return bundle.task


def adapted_info(info: BundleInfo, start: ModelBundle) -> BundleInfo:
    """Return what the bundle of an adapted model says about it: as far as it is that of the model it began with."""
    before = start.info
    return msgspec.structs.replace(
        info,
        name=before.name.removesuffix(_SUFFIX) + _SUFFIX,
        citation=before.citation,
        source=before.source,
        target=msgspec.structs.replace(info.target, name=before.target.name, modality=before.target.modality),
        limits=before.limits,
        adapted_from=start.checksum,
    )


def keep_start(run: Run, bundle: Path | str) -> None:
    """Copy the model that a run begins with into its folder: the original may be replaced by the result.

    One that a killed call left there is replaced.

    Raises:
        InputError, LeudaError: as ``import_model``.
    """
    shutil.rmtree(run.start, ignore_errors=True)
    import_model(bundle, run.path, run.start.name)


def read_start(run: Run, config: RunConfig) -> ModelBundle | None:
    """Return the model that a run goes on from; ``None`` for a run that begins without one.

    Raises:
        InputError: it is missing, damaged or another one.
    """
    if not config.start:
        return None
    bundle = load_bundle(run.start)
    if bundle.checksum != config.start:
        raise InputError(f"{run.start} is not the model that this run began with", "put it back, or adapt it anew")
    return bundle


def _named(labels: tuple[Label, ...]) -> str:
    return ", ".join(f"{label.value} {label.name}" for label in labels)

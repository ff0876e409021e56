"""Training a model again from what its bundle records, and saying what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from leuda_core.bundle.model import ModelBundle, installed_software, load_bundle
from leuda_core.bundle.schema import CaseDigest, TrainingRecord
from leuda_core.config import MethodConfig, RunConfig, make_config, read_run_config
from leuda_core.data.dataset import load_dataset
from leuda_core.data.fingerprint import record_data
from leuda_core.earlier import stored_settings
from leuda_core.errors import InputError
from leuda_core.evaluation import score_bundle
from leuda_core.methods import find_method
from leuda_core.methods.adaptation import Adaptation
from leuda_core.methods.base import Method
from leuda_core.networks.predictor import REFERENCE
from leuda_core.runs.folder import Run
from leuda_core.training.adapting import adaptation_config
from leuda_core.training.call import make_run_config
from leuda_core.training.identity import case_digests, with_places
from leuda_core.training.loop import OnProgress
from leuda_core.training.run import adapt, resume, train
from leuda_core.types import Dataset


@dataclass(frozen=True)
class Reproduction:
    """A model trained again, compared with the first one.

    ``data`` and ``software`` say what differed before the training. ``largest_difference`` is that of the weights (0 if
    they are equal bit for bit, ``None`` if their shapes differ). ``dice`` has the mean Dice on the test cases of the
    target, ``recorded`` and ``reproduced``, if the weights differ and there are such cases.
    """

    run: Path
    equal: bool
    largest_difference: float | None
    data: tuple[str, ...] = ()
    software: tuple[str, ...] = ()
    dice: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values under the same names."""
        return asdict(self)


def reproduce(
    bundle: Path | str,
    *,
    dataset: Path | str | None = None,
    start: Path | str | None = None,
    out: Path | str = "reproduced",
    on_difference: Callable[[str], None] | None = None,
    on_progress: OnProgress | None = None,
) -> Reproduction:
    """Train the model of a bundle again, with its settings, seed, steps and kind of device.

    An interrupted call is continued by the same call.

    Args:
        dataset: the dataset file; by default that of the run folder which contains the bundle.
        start: the model that an adapted one began with; by default that of the run folder.
        out: the run folder of the new training.
        on_difference: called with each difference that is known before the training.
        on_progress: as for ``train``.

    Raises:
        InputError: the bundle, the dataset or ``out`` is not usable.
        DeviceError, Cancelled: as ``train``.
    """
    recorded = load_bundle(bundle)
    place = Path(dataset) if dataset else _dataset_beside(recorded.path)
    adapted = isinstance(recorded.info.adapted_from, str)
    loaded = load_dataset(place, needs_source=not adapted)
    first = _start_of(recorded, start) if adapted else None
    data, software = _data_differences(recorded, loaded), _software_differences(recorded)
    for difference in (*data, *software):
        if on_difference:
            on_difference(difference)
    with _threads_of(recorded):
        run = _train_again(recorded, place, first, Path(out), on_progress)
    made = load_bundle(run.bundle)
    again = {name: value for name, value in made.weights.items() if name in recorded.weights or name not in REFERENCE}
    equal, gap = _compared(recorded.weights, again)  # models of before remember nothing of their target
    return Reproduction(run.path, equal, gap, data, software, {} if equal else _dice(recorded, made, loaded))


@contextmanager
def _threads_of(recorded: ModelBundle) -> Iterator[None]:
    """Compute with the recorded number of threads, which changes the order of sums."""
    before, training = torch.get_num_threads(), recorded.info.training
    if isinstance(training, TrainingRecord) and training.threads:
        torch.set_num_threads(training.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _dataset_beside(bundle: Path) -> Path:
    run = Run(bundle.resolve().parent)
    if not run.config.is_file():
        raise InputError(f"the dataset of {bundle} is unknown: it is not in a run folder", "give it with --dataset")
    return Path(read_run_config(run.config).dataset)


def _start_of(recorded: ModelBundle, given: Path | str | None) -> Path:
    """Return the place of the model that an adapted one began with."""
    place = Path(given) if given else Run(recorded.path.resolve().parent).start
    if not place.exists():
        what = f"the model that {recorded.path} was adapted from is unknown: it is not in a run folder"
        raise InputError(what, "give it with --from")
    if load_bundle(place).checksum != recorded.info.adapted_from:
        raise InputError(f"{recorded.path} was not adapted from {place}", "give another model with --from")
    return place


def _train_again(
    recorded: ModelBundle, dataset: Path, start: Path | None, out: Path, on_progress: OnProgress | None
) -> Run:
    info, training = recorded.info, recorded.info.training
    first = Run(recorded.path.resolve().parent).config
    settings = with_places(info.settings, read_run_config(first).settings) if first.is_file() else info.settings
    complete = msgspec.to_builtins(_settings_of(recorded, settings))  # so that nothing is planned
    options: dict[str, Any] = {"settings": complete, "steps": info.steps, "seed": info.seed}
    if isinstance(training, TrainingRecord) and training.device == "cpu":
        options["device"] = "cpu"
    run = Run(out)
    if start:
        if run.config.exists() and read_run_config(run.config) == adaptation_config(
            load_bundle(start), dataset, **options
        ):
            return resume(run, on_progress=on_progress)
        return adapt(start, dataset, out, on_progress=on_progress, **options)
    options["rules"] = _rules_of(recorded)
    if run.config.exists() and _bare(run.config) == make_run_config(dataset, info.method, **options):
        return resume(run, on_progress=on_progress)
    return train(dataset, info.method, out, on_progress=on_progress, **options)


def _kind_of(recorded: ModelBundle) -> type[Method]:
    return Adaptation if isinstance(recorded.info.adapted_from, str) else find_method(recorded.info.method)


def _settings_of(recorded: ModelBundle, settings: Mapping[str, Any]) -> MethodConfig:
    return make_config(_kind_of(recorded).Config, stored_settings(settings))


def _rules_of(recorded: ModelBundle) -> int:
    """Return the rules of the training; bundles of before rules 3 do not name them."""
    training = recorded.info.training
    if isinstance(training, TrainingRecord) and training.rules:
        return training.rules
    return 2 if recorded.task.normalization.ignores_padding else 1


def _bare(path: Path) -> RunConfig:
    """Return the config of a run without how it was chosen."""
    return msgspec.structs.replace(read_run_config(path), budget_minutes=None, reasons={}, step_seconds={})


def _data_differences(recorded: ModelBundle, dataset: Dataset) -> tuple[str, ...]:
    training = recorded.info.training
    if not isinstance(training, TrainingRecord):
        return ("the bundle does not record its data (it is of an earlier version): the data are not compared",)
    found = []
    before, now = ([(label.value, label.name) for label in one.labels] for one in (recorded.task, dataset))
    if before != now:
        found.append(f"labels: {_named(before)}; now {_named(now)}")
    settings = _settings_of(recorded, recorded.info.settings)
    record = record_data(dataset, target_labels=_kind_of(recorded).learns_target_labels(settings))
    for role, cases in (("source", training.source), ("target", training.target)):
        ids = [case.id for case in record.cases if case.role == role]
        rows = zip_longest(cases, case_digests(record, role), ids)
        found += [
            f"{role} case {number}{f' ({name})' if name else ''}: {what}"
            for number, (old, new, name) in enumerate(rows, start=1)
            if (what := _case_difference(old, new))
        ]
    return tuple(found)


def _case_difference(old: CaseDigest | None, new: CaseDigest | None) -> str:
    if old is None:
        return "was not in the training"
    if new is None:
        return "is missing"
    parts = ("image", "label", "labelled_slices")
    changed = [part for part in parts if getattr(old, part) != getattr(new, part)]
    return f"{' and '.join(changed)} changed" if changed else ""


def _named(labels: list[tuple[int, str]]) -> str:
    return ", ".join(f"{value} {name}" for value, name in labels)


def _software_differences(recorded: ModelBundle) -> tuple[str, ...]:
    before, now = recorded.info.software, installed_software()
    found = [
        f"{name}: {before.get(name, 'not recorded')}, now {now.get(name, 'not installed')}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    training = recorded.info.training
    if isinstance(training, TrainingRecord) and training.device != "cpu":
        found.append(f"trained on {training.device}, where results are not the same bit for bit")
    return tuple(found)


def _compared(old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> tuple[bool, float | None]:
    """Return whether weights are equal bit for bit, and their largest difference (``None`` if shapes differ)."""
    if old.keys() != new.keys() or any(old[name].shape != new[name].shape for name in old):
        return False, None
    equal = all(torch.equal(old[name].view(torch.int32), new[name].view(torch.int32)) for name in old)
    return equal, max(float((old[name] - new[name]).abs().max()) for name in old)


def _dice(recorded: ModelBundle, made: ModelBundle, dataset: Dataset) -> dict[str, float]:
    cases = [case for case in dataset.test_target if case.label]
    if not cases:
        return {}
    bundles = {"recorded": recorded, "reproduced": made}
    return {name: score_bundle(bundle, cases, device="cpu").overall.dice for name, bundle in bundles.items()}

"""Starting and resuming runs. A call is checked first, then everything that determines the run is written to a file."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from leuda_core.bundle.model import load_bundle
from leuda_core.config import RunConfig
from leuda_core.devices import explained_memory
from leuda_core.errors import (
    Cancelled,
    DeviceError,
    InputError,
    LeudaError,
    MemoryShortage,
    as_leuda_error,
    lacks_space,
)
from leuda_core.io.files import check_output_folder, existing, remove_new, write_bytes
from leuda_core.io.leftovers import remove, remove_leftovers
from leuda_core.runs.control import clear_stop
from leuda_core.runs.events import EventWriter, read_events
from leuda_core.runs.folder import Run, as_run
from leuda_core.runs.lock import RunLock
from leuda_core.runs.model import model_problem
from leuda_core.runs.state import status
from leuda_core.training.adapting import adaptation_config, keep_start
from leuda_core.training.loop import OnProgress, Training
from leuda_core.training.plans.planning import planned_config

logger = logging.getLogger(__name__)

OnPlan = Callable[[RunConfig], None]

_MEMORY_REMEDY = "close other programs and continue with `leuda resume`, or train again with a lower batch_size"
_NOBODY = -math.inf  # of any age: no process of an earlier version writes to a run that is locked


def train(
    dataset: Path | str,
    method: str,
    out: Path | str,
    *,
    steps: int | None = None,
    budget: str | float | None = None,
    seed: int = 0,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    checkpoint_every: int | None = None,
    rules: int | None = None,
    on_plan: OnPlan | None = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """Adapt a segmenter from the source to the target domain of a dataset and return the finished run.

    Spacing, patch, network, batch and steps are chosen for the data, the machine and the budget, as
    ``training.plans.rules`` says; ``steps`` and ``settings`` are kept as they are given. With ``steps``, no clock is
    read: the choice depends only on the data, the kind of device and the class of its free memory.

    Args:
        dataset: a dataset file.
        method: one of ``list_methods()``.
        out: the run folder to create; must not contain a run.
        steps: training steps of the segmenter; a translator's are added. By default, as many as fit into the budget.
        budget: time for the whole training, such as ``"20m"``, ``"2h"`` or minutes; 25 minutes if neither this nor
            ``steps`` is given, or longer for the method's usual number of steps on a slow machine.
        settings: the method's settings by name; values may be strings.
        checkpoint_every: steps between checkpoints and previews.
        rules: as in ``RunConfig``, by default those of today.
        on_plan: called with the config of the run, before it starts.
        on_progress: called with the step, the number of steps and the latest losses.

    Raises:
        InputError: the call or a volume is unusable; the run's files are removed.
        DeviceError: the device does not work; the run's files are removed, too.
        MemoryShortage, LeudaError: the memory or the disk is full; the run can be resumed.
        Cancelled: interrupted, or stopped by ``stop``; the run can be resumed.
    """
    kept = existing(Path(out))
    options = {"steps": steps, "budget": budget, "seed": seed, "device": device, "checkpoint_every": checkpoint_every}
    run = create_run(dataset, method, out, settings=settings, on_plan=on_plan, rules=rules, **options)
    return _first_start(run, kept, on_progress)


def adapt(
    bundle: Path | str,
    dataset: Path | str,
    out: Path | str,
    *,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    checkpoint_every: int | None = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """Go on from a model: adapt it to corrected slices of target volumes, and to others without labels.

    Target cases of the dataset may have a label map, with their ``labelled_slices``; these corrections are learnt, and
    source cases are replayed if there are any. The run keeps a copy of the model, and its own model is a new one.

    Args:
        bundle: the model's folder or zip file, whose labels must be those of the dataset.
        steps: 300 by default.
        settings: those of ``methods.adaptation``; spacing, patch and neighbours are always those of the model.
        dataset, out, seed, device, checkpoint_every, on_progress: as for ``train``.

    Raises: as ``train``.
    """
    kept = existing(Path(out))
    options = {"steps": steps, "seed": seed, "device": device, "checkpoint_every": checkpoint_every}
    return _first_start(create_adaptation(bundle, dataset, out, settings=settings, **options), kept, on_progress)


def _first_start(run: Run, kept: set[Path], on_progress: OnProgress | None) -> Run:
    """Start a new run; remove its files if that shows that it cannot be used, except those ``kept``."""
    try:
        return resume(run, on_progress=on_progress)
    except (InputError, DeviceError) as error:
        resumable = run.has_checkpoint or isinstance(error, MemoryShortage)
        if not resumable:
            remove_new(run.path, kept)
        raise


def create_run(
    dataset: Path | str, method: str, out: Path | str, *, on_plan: OnPlan | None = None, **options: Any
) -> Run:
    """Check a call, choose what it leaves open, and create the run; ``resume`` or ``runs.control.launch`` starts it.

    Args:
        dataset, method, out, on_plan: as for ``train``.
        options: those of ``train``, except ``on_progress``.

    Raises:
        InputError: the call or a volume is unusable, or ``out`` already contains a run. DeviceError: the device does
            not work. LeudaError: the disk is full.
    """
    run = _new_run(out)
    config, warnings = planned_config(dataset, method, **options)
    for warning in warnings:
        logger.warning("%s; %s", warning.message, warning.remedy)
    if on_plan:
        on_plan(config)
    return _written(run, config)


def create_adaptation(bundle: Path | str, dataset: Path | str, out: Path | str, **options: Any) -> Run:
    """Check a call of ``adapt`` and create its run, with a copy of the model; ``resume`` or ``launch`` starts it.

    Args:
        bundle, dataset, out: as for ``adapt``.
        options: those of ``adapt``, except ``on_progress``.

    Raises: as ``create_run``.
    """
    run = _new_run(out)
    config = adaptation_config(load_bundle(bundle), dataset, **options)
    return _written(run, config, start=Path(bundle))


def _new_run(out: Path | str) -> Run:
    run = Run(Path(out))
    if run.config.exists():
        raise InputError(
            f"{run.path} already contains a run", "resume it with `leuda resume`, or choose another folder"
        )
    check_output_folder(run.path)
    return run


def _written(run: Run, config: RunConfig, start: Path | None = None) -> Run:
    """Write the files of a new run, completely or not at all."""
    kept = existing(run.path)
    try:
        if start:
            keep_start(run, start)
        write_bytes(run.config, msgspec.json.format(msgspec.json.encode(config), indent=1), private=True)
    except BaseException:
        remove_new(run.path, kept)
        raise
    return run


def resume(run: Run | Path | str, *, on_progress: OnProgress | None = None) -> Run:
    """Start a created run, or continue a stopped, killed or interrupted run from its last checkpoint.

    A finished run whose model was deleted or damaged writes it again from the last checkpoint.

    Raises: as ``train``.
    """
    run = as_run(run).check()
    if not (problem := model_problem(run)):
        written = read_events(run.events)[0]
        if not written or written[-1]["event"] != "end":  # killed between the bundle and this event
            EventWriter(run.events)("end", state="finished", bundle=run.bundle.name)
        return run
    if not run.has_checkpoint and status(run).state == "finished":  # training all of it again was not asked for
        raise InputError(f"{problem}, and no checkpoint is left to write it again", "train again into a new folder")
    with RunLock(run):
        events = EventWriter(run.events)
        clear_stop(run)
        _remove_leftovers(run)
        try:
            with explained_memory("for the training", _MEMORY_REMEDY):
                Training(run, events, on_progress).loop()
        except KeyboardInterrupt:
            events("end", state="stopped", message="interrupted")
            raise Cancelled("interrupted; continue with `leuda resume`") from None
        except Cancelled:
            events("end", state="stopped")
            raise
        except LeudaError as error:
            events("error", kind=error.kind, message=error.message, remedy=error.remedy)
            raise
        except Exception as error:
            known = as_leuda_error(error, "see log.txt")
            events("error", kind=known.kind, message=known.message, remedy=known.remedy)
            if known.kind == "fault" and not lacks_space(error):
                raise
            raise known from error
    return run


def _remove_leftovers(run: Run) -> None:
    """Remove what a killed process left in a run that this process holds; the report may be writing meanwhile."""
    for folder in (run.path, run.previews):
        remove_leftovers(folder, unknown_s=_NOBODY)
    remove_leftovers(run.path, prefix=f".{run.bundle.name}-", unknown_s=_NOBODY)  # of version 0.1
    remove(run.cache)

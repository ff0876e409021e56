"""Starting and resuming runs. A call is checked first, then everything that determines the run is written to a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from leuda_core.config import RULES, RunConfig, make_config
from leuda_core.data.dataset import load_dataset
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
from leuda_core.methods import find_method
from leuda_core.runs.control import clear_stop
from leuda_core.runs.events import EventWriter, read_events
from leuda_core.runs.folder import Run, as_run
from leuda_core.runs.lock import RunLock
from leuda_core.runs.model import model_problem
from leuda_core.runs.state import status
from leuda_core.training.loop import OnProgress, Training

_MEMORY_REMEDY = "close other programs and continue with `leuda resume`, or train again with a lower batch_size"
_NOBODY = -math.inf  # of any age: no process of an earlier version writes to a run that is locked


def train(
    dataset: Path | str,
    method: str,
    out: Path | str,
    *,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    checkpoint_every: int | None = None,
    rules: int | None = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """Adapt a segmenter from the source to the target domain of a dataset and return the finished run.

    Args:
        dataset: a dataset file.
        method: one of ``list_methods()``.
        out: the run folder to create; must not contain a run.
        steps: training steps of the segmenter, by default the method's ``default_steps``; a translator's are added.
        settings: the method's settings by name; values may be strings.
        checkpoint_every: steps between checkpoints and previews.
        rules: as in ``RunConfig``, by default those of today.
        on_progress: called with the step, the number of steps and the latest losses.

    Raises:
        InputError: the call or a volume is unusable; the run's files are removed.
        DeviceError: the device does not work; the run's files are removed, too.
        MemoryShortage, LeudaError: the memory or the disk is full; the run can be resumed.
        Cancelled: interrupted, or stopped by ``stop``; the run can be resumed.
    """
    kept = existing(Path(out))
    options = {"steps": steps, "seed": seed, "device": device, "checkpoint_every": checkpoint_every, "rules": rules}
    run = create_run(dataset, method, out, settings=settings, **options)
    try:
        return resume(run, on_progress=on_progress)
    except (InputError, DeviceError) as error:
        resumable = run.has_checkpoint or isinstance(error, MemoryShortage)
        if not resumable:
            remove_new(run.path, kept)
        raise


def create_run(dataset: Path | str, method: str, out: Path | str, **options: Any) -> Run:
    """Check a call and create the folder of a run; ``resume`` or ``runs.control.launch`` starts it.

    Args:
        dataset, method, out: as for ``train``.
        options: those of ``train``, except ``on_progress``.

    Raises:
        InputError: the call is wrong, or ``out`` already contains a run. LeudaError: the disk is full.
    """
    config = make_run_config(dataset, method, **options)
    run = Run(Path(out))
    if run.config.exists():
        raise InputError(
            f"{run.path} already contains a run", "resume it with `leuda resume`, or choose another folder"
        )
    check_output_folder(run.path)
    kept = existing(run.path)
    try:
        write_bytes(run.config, msgspec.json.format(msgspec.json.encode(config), indent=1), private=True)
    except BaseException:
        remove_new(run.path, kept)
        raise
    return run


def make_run_config(
    dataset: Path | str, method: str, *, settings: Mapping[str, Any] | None = None, **options: Any
) -> RunConfig:
    """Check a call and return the config of its run; an option that is ``None`` takes its default.

    Raises:
        InputError: the method, a setting, an option or the dataset file is wrong. Volumes are not opened.
    """
    kind = find_method(method)
    values = {
        "dataset": str(load_dataset(dataset).path),
        "method": method,
        "settings": msgspec.to_builtins(make_config(kind.Config, settings or {})),
        "steps": kind.default_steps,
        "rules": RULES,
        **{name: value for name, value in options.items() if value is not None},
    }
    return make_config(RunConfig, values, where="train")


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

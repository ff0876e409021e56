"""Beginning and resuming a run: the calls are checked first, and everything that decides the run is written down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from leuda_core.config import RunConfig, make_config
from leuda_core.data.dataset import load_dataset
from leuda_core.errors import Cancelled, DeviceError, InputError, LeudaError
from leuda_core.io.files import check_output_folder, existing, remove_new, write_bytes
from leuda_core.methods import find_method
from leuda_core.runs.control import clear_stop
from leuda_core.runs.events import EventWriter, read_events
from leuda_core.runs.folder import Run, RunLock, as_run
from leuda_core.training.loop import OnProgress, Training


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
    on_progress: OnProgress | None = None,
) -> Run:
    """Adapt a segmenter from the dataset's source to its target domain and return the finished run.

    Args:
        dataset: a dataset file.
        method: one of ``list_methods()``.
        out: the run folder to make; must not hold a run yet.
        steps: training steps of the segmenter, by default the method's ``default_steps``; a translator's come on top.
        settings: the method's settings by name; values may be strings.
        checkpoint_every: steps between checkpoints and previews.
        on_progress: called with the step, the number of steps and the latest losses.

    Raises:
        InputError: the call or a volume is unusable; whatever was written for the run is removed again.
        DeviceError: the device does not work; likewise.
        Cancelled: interrupted, or stopped by ``stop``; the run can be resumed.
    """
    kept = existing(Path(out))
    options = {"steps": steps, "seed": seed, "device": device, "checkpoint_every": checkpoint_every}
    run = create_run(dataset, method, out, settings=settings, **options)
    try:
        return resume(run, on_progress=on_progress)
    except (InputError, DeviceError):
        if not run.checkpoint.exists():  # later, such as on a disk taken away, the work done so far is worth keeping
            remove_new(run.path, kept)
        raise


def create_run(dataset: Path | str, method: str, out: Path | str, **options: Any) -> Run:
    """Check a call and write the folder of a run that has not begun; ``resume`` or ``runs.control.launch`` begin it.

    Args:
        dataset, method, out: as for ``train``.
        options: those of ``train`` that are not ``on_progress``.

    Raises:
        InputError: the call is wrong, or ``out`` already holds a run.
    """
    config = make_run_config(dataset, method, **options)
    run = Run(Path(out))
    if run.config.exists():
        raise InputError(f"{run.path} already holds a run", "resume it with `leuda resume`, or name another folder")
    check_output_folder(run.path)
    run.path.mkdir(parents=True, exist_ok=True)
    write_bytes(run.config, msgspec.json.format(msgspec.json.encode(config), indent=1))
    return run


def make_run_config(
    dataset: Path | str, method: str, *, settings: Mapping[str, Any] | None = None, **options: Any
) -> RunConfig:
    """Check a call and return all that decides its run; an option that is ``None`` takes its default.

    Raises:
        InputError: the method, a setting, an option or the dataset file is wrong. Volumes are not opened.
    """
    kind = find_method(method)
    load_dataset(dataset)
    values = {
        "dataset": str(Path(dataset).resolve()),
        "method": method,
        "settings": msgspec.to_builtins(make_config(kind.Config, settings or {})),
        "steps": kind.default_steps,
        **{name: value for name, value in options.items() if value is not None},
    }
    return make_config(RunConfig, values, where="train")


def resume(run: Run | Path | str, *, on_progress: OnProgress | None = None) -> Run:
    """Begin a created run, or go on from the last checkpoint of one that was stopped, killed or interrupted.

    Raises: as ``train``.
    """
    run = as_run(run).check()
    if (run.bundle / "bundle.json").exists():
        written = read_events(run.events)[0]
        if not written or written[-1]["event"] != "end":  # killed between the bundle and this event
            EventWriter(run.events)("end", state="finished", bundle=run.bundle.name)
        return run
    with RunLock(run):
        events = EventWriter(run.events)
        clear_stop(run)
        try:
            Training(run, events, on_progress).loop()
        except KeyboardInterrupt:
            events("end", state="stopped", message="interrupted")
            raise Cancelled("interrupted; go on with `leuda resume`") from None
        except Cancelled:
            events("end", state="stopped")
            raise
        except LeudaError as error:
            events("error", kind=error.kind, message=error.message, remedy=error.remedy)
            raise
        except Exception as error:
            events("error", kind="fault", message=f"{type(error).__name__}: {error}", remedy="see log.txt")
            raise
    return run

"""One training from the call to the model: write and check the dataset, launch the detached run, wait for its end.

Everything is driven by the event loop: the dataset is written in pieces of a few megabytes, the commands run in child
processes, and the independent run is observed through its files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from leuda_core.errors import Cancelled, InputError, LeudaError
from leuda_core.runs.control import request_stop
from leuda_core.runs.folder import Run
from leuda_core.runs.state import RunStatus
from LEUDASegmentationLib.scene.steps import Pulse
from LEUDATrainingLib.dataset.dataset_writer import WriteProgress, discard_dataset
from LEUDATrainingLib.runs.run_watcher import RunWatcher

_SHORT_PAUSE_S = 0.005
_CHECKED, _WRITTEN = 0.8, 0.6  # fractions of the progress until the run starts


@dataclass(frozen=True)
class TrainingCall:
    """The arguments of ``leuda train``. ``out`` is the run folder to create; ``settings`` differ from the defaults."""

    dataset: Path
    method: str
    out: Path
    steps: int | None = None
    seed: int = 0
    device: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)
    budget: float | None = None

    def words(self) -> list[str]:
        """Return the arguments of the command line."""
        words = ["train", str(self.dataset), "--method", self.method, "--out", str(self.out)]
        words += ["--seed", str(self.seed), "--device", self.device]
        words += ["--steps", str(self.steps)] if self.steps is not None else []
        words += ["--budget", f"{self.budget:g}m"] if self.budget is not None else []
        for key, value in self.settings.items():
            words += ["--set", f"{key}={str(value).lower() if isinstance(value, bool) else value}"]
        return [*words, "--detach"]


def ignore(*_values: Any) -> None:
    """Do nothing; the default of a listener."""


@dataclass
class Listeners:
    """Callbacks: ``on_progress(stage, fraction)`` until the run starts, ``on_started(run)``, then either
    ``on_done(run)`` or ``on_error(LeudaError)``; ``on_line(text)`` for each line of the log of the commands.
    """

    on_progress: Callable[[str, float | None], None] = ignore
    on_started: Callable[[Run], None] = ignore
    on_done: Callable[[Run], None] = ignore
    on_error: Callable[[LeudaError], None] = ignore
    on_line: Callable[[str], None] = ignore


class TrainingJob:
    """A training in progress. ``stage`` is "write", "check", "launch", "train" or "ended"; ``error`` is why it failed.

    Args:
        writing: writes the dataset of the call if it does not exist yet.
        command: creates a command from arguments and callbacks, as ``LeudaCommand``.
    """

    def __init__(
        self,
        call: TrainingCall,
        command: Callable[..., Any],
        listeners: Listeners,
        *,
        writing: Generator[WriteProgress, None, Any] | None = None,
    ) -> None:
        self.call, self.run = call, Run(call.out)
        self.stage = "write"
        self.error: LeudaError | None = None
        self._command, self._listeners, self._writing = command, listeners, writing
        self._running_command: Any = None
        self._wrote = False
        self._timer = Pulse(self._turn)
        self._watcher = RunWatcher(None, self._look)

    def start(self) -> TrainingJob:
        """Start, and return immediately."""
        self._timer.start()
        return self

    @property
    def ended(self) -> bool:
        """Whether the training has ended, successfully or not."""
        return self.stage == "ended"

    def wait(self) -> Run:
        """Return the finished run; Slicer stays responsive meanwhile.

        Raises:
            LeudaError: an argument was invalid, the run failed, or it was stopped.
        """
        while not self.ended:
            slicer.app.processEvents()
            time.sleep(_SHORT_PAUSE_S)
        if self.error is not None:
            raise self.error
        return self.run

    def cancel(self) -> None:
        """Cancel a run that has not started; ask a running one to write a checkpoint and stop."""
        if self.stage == "train":
            request_stop(self.run)
        elif self._running_command is not None:
            self._running_command.cancel()
        elif not self.ended:
            self._fail(Cancelled())

    def release(self) -> None:
        """Stop observing the run, which continues; cancel it if it has not started. Called when Slicer quits."""
        if self.stage != "train":
            self.cancel()
        self._timer.end()
        self._watcher.stop()

    def _turn(self) -> None:
        """Write the next piece of the dataset."""
        try:
            self._write()
        except Exception as error:  # an exception in a timer would not reach the caller
            self._fail(error if isinstance(error, LeudaError) else LeudaError(f"{type(error).__name__}: {error}"))

    def _write(self) -> None:
        progress = next(self._writing, None) if self._writing is not None else None
        if progress is not None:
            self._wrote = True
            self._listeners.on_progress(progress.stage, progress.fraction * _WRITTEN)
            return
        self._timer.end()
        self.stage = "check"
        self._listeners.on_progress(_("Checking every volume"), _WRITTEN)
        self._run_command(["check", str(self.call.dataset)], self._checked)

    def _checked(self, report: Mapping[str, Any]) -> None:
        problems = report.get("problems", [])
        if problems:
            self._fail(dataset_error(problems))
            return
        self.stage = "launch"
        self._listeners.on_progress(_("Starting the training"), _CHECKED)
        self._run_command(self.call.words(), self._launched)

    def _launched(self, _document: Any) -> None:
        self.stage = "train"
        self._listeners.on_started(self.run)
        self._watcher.watch(self.run.path)

    def _look(self) -> None:
        status = self._watcher.status
        if self._watcher.error is not None:
            self._end(self._watcher.error)
        elif status is not None and status.state == "finished":
            self._end(None)
        elif status is not None and status.state not in ("running", "created"):
            self._end(run_error(status))

    def _run_command(self, words: Sequence[str], on_done: Callable[[Any], None]) -> None:
        def done(document: Any) -> None:
            self._running_command = None
            on_done(document)

        def failed(error: LeudaError) -> None:
            self._running_command = None
            self._fail(error)

        self._running_command = self._command(words, onDone=done, onError=failed, onLine=self._listeners.on_line)
        self._running_command.start()

    def _fail(self, error: LeudaError) -> None:
        """End before the run has started, and delete the files written so far."""
        if self._writing is not None:
            self._writing.close()
        if self._wrote and not self.run.config.exists():
            discard_dataset(self.call.dataset.parent)
        self._end(error)

    def _end(self, error: LeudaError | None) -> None:
        self._timer.end()
        self._watcher.stop()
        self.stage, self.error = "ended", error
        if error is None:
            self._listeners.on_done(self.run)
        else:
            self._listeners.on_error(error)


def dataset_error(problems: Sequence[str]) -> InputError:
    """Return one error for all problems of a dataset."""
    if len(problems) == 1:
        message, _semicolon, remedy = problems[0].partition("; ")
        return InputError(message, remedy)
    listed = " ".join(f"({number}) {problem}." for number, problem in enumerate(problems, start=1))
    return InputError(
        _("the dataset has {count} problems").format(count=len(problems)), _("fix them: {list}").format(list=listed)
    )


def run_error(status: RunStatus) -> LeudaError:
    """Return the error of a run that did not finish."""
    if status.state == "stopped":
        return Cancelled(_("the training was stopped at step {step}").format(step=status.step))
    message = status.message or _("the training {state}").format(state=status.state)
    return LeudaError(message, status.remedy or _("see the log of the run"))

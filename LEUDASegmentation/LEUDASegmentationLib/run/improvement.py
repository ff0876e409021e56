"""Improving a model with corrected results: write them, adapt the model in a child process, add the new model."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from leuda_core.bundle.store import ModelEntry, import_model
from leuda_core.errors import Cancelled, LeudaError, as_leuda_error
from leuda_core.runs.folder import Run
from leuda_core.runs.state import status
from LEUDASegmentationLib.processes.commands import LeudaCommand
from LEUDASegmentationLib.run.progress import Progress
from LEUDASegmentationLib.scene.steps import EventLoopWork, Pulse

_LOOK_MS = 300
_SHORT_PAUSE_S = 0.005
_WRITTEN = 0.1  # fraction of the progress until the adaptation starts


class ImprovementJob:
    """One improvement, in the event loop. The model that it began with is not changed.

    Args:
        model: the model to go on from.
        writing: writes the dataset into ``folder``, and returns its file.
        folder: a private temporary folder for dataset and run, removed at the end.
        models: the folder of the list of models.
        steps: of the adaptation; by default its own number.
        onPreview: called with each new picture of a target slice, one for each checkpoint.

    Attributes:
        running: whether it was started and has not ended.
        model: the new ``ModelEntry`` when it is done; before that, ``None``.
        error: the LeudaError that ended it, or ``None``.
    """

    def __init__(
        self,
        model: ModelEntry,
        writing: Generator[float, None, Path],
        folder: Path,
        models: Path,
        *,
        device: str = "auto",
        steps: int | None = None,
        onProgress: Callable[[Progress], None] | None = None,
        onPreview: Callable[[Path], None] | None = None,
        onDone: Callable[[ModelEntry], None] | None = None,
        onError: Callable[[LeudaError], None] | None = None,
    ) -> None:
        self._on_preview = onPreview
        self._previewed: Path | None = None
        self._start_model, self._folder, self._models = model, folder, models
        self._device, self._steps = device, steps
        self._on_progress, self._on_done, self._on_error = onProgress, onDone, onError
        self._run = Run(folder / "run")
        self._writing: EventLoopWork = EventLoopWork(self._told(writing), self._on_written, self._fail)
        self._command: LeudaCommand | None = None
        self._looking = Pulse(self._look, _LOOK_MS)
        self.running = False
        self.model: ModelEntry | None = None
        self.error: LeudaError | None = None

    def start(self) -> ImprovementJob:
        """Start; the work continues in the event loop."""
        self.running = True
        slicer.app.connect("aboutToQuit()", self._on_quit)
        self._writing.start()
        return self

    def wait(self) -> ModelEntry:
        """Return the new model when it is there. Slicer keeps processing events meanwhile.

        Raises:
            LeudaError: the improvement failed.
        """
        while self.running:
            slicer.app.processEvents()
            time.sleep(_SHORT_PAUSE_S)
        if self.error is not None:
            raise self.error
        assert self.model is not None, "it ended without an error"
        return self.model

    def cancel(self) -> None:
        """Cancel; ``onError`` gets ``Cancelled``, and nothing is left behind."""
        if self._command is not None and self._command.running:
            self._command.cancel()
        else:
            self._fail(Cancelled())

    def _told(self, writing: Generator[float, None, Path]) -> Generator[float, None, Path]:
        """Report the progress of the steps, and convert every other error, so that the job ends with it."""
        try:
            while True:
                part = next(writing)
                self._tell(Progress("corrections", _WRITTEN * part))
                yield part
        except StopIteration as end:
            return end.value
        except LeudaError:
            raise
        except Exception as error:  # for example a node that was deleted meanwhile
            raise as_leuda_error(error, _("try again; if it fails again, report it with the log")) from error

    def _on_written(self, dataset: Path) -> None:
        words = ["adapt", dataset, "--from", self._start_model.path, "--out", self._run.path, "--device", self._device]
        words += ["--steps", self._steps] if self._steps is not None else []
        self._command = LeudaCommand(words, onDone=self._on_adapted, onError=self._fail).start()
        self._tell(Progress("improve", _WRITTEN))
        self._looking.start()

    def _look(self) -> None:
        if not self._run.config.exists():
            return
        found = status(self._run)
        self._tell(Progress("improve", _WRITTEN + (1 - _WRITTEN) * found.progress, found.seconds_left))
        newest = max(self._run.previews.glob("step-*.png"), default=None)
        if newest != self._previewed and newest is not None and self._on_preview is not None:
            self._previewed = newest
            self._on_preview(newest)

    def _on_adapted(self, _document: Any) -> None:
        try:
            self.model = import_model(self._run.bundle, self._models)
        except Exception as error:
            self._fail(as_leuda_error(error, _("free disk space, and improve the model again")))
            return
        self._end()
        if self._on_done is not None:
            self._on_done(self.model)

    def _tell(self, progress: Progress) -> None:
        if self.running and self._on_progress is not None:
            self._on_progress(progress)

    def _fail(self, error: LeudaError) -> None:
        if not self.running:
            return
        self.error = error
        self._end()
        if self._on_error is not None:
            self._on_error(error)

    def _on_quit(self) -> None:
        """End without the event loop, which has ended: no image of a patient may stay behind."""
        if self._command is not None:
            self._command.kill()
        self._end()

    def _end(self) -> None:
        if self.running:
            slicer.app.disconnect("aboutToQuit()", self._on_quit)
        self.running = False
        self._looking.end()
        self._writing.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

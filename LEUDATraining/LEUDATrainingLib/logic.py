"""What LEUDATraining does, without its window: also for the Python console and for scripts.

logic = slicer.util.getModuleLogic("LEUDATraining")
run = logic.train("/data/dataset.json", steps=200)        # blocks; Slicer stays alive
slicer.util.getModuleLogic("LEUDASegmentation").segment(volumeNode, run.bundle)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from leuda_core.errors import InputError, LeudaError
from leuda_core.runs import control, state
from leuda_core.runs.folder import Run
from leuda_core.runs.state import RunStatus
from LEUDASegmentationLib.processes.commands import LeudaCommand
from LEUDASegmentationLib.processes.environment import runs_folder
from LEUDATrainingLib.dataset.dataset_writer import DATASET_FILE, write_dataset
from LEUDATrainingLib.method_catalog import RECOMMENDED
from LEUDATrainingLib.parameter_node import LEUDATrainingParameterNode, named
from LEUDATrainingLib.runs.training_job import Listeners, TrainingCall, TrainingJob, ignore

RUN_FOLDER = "run"


class LEUDATrainingLogic(ScriptedLoadableModuleLogic):
    """Writes datasets, starts trainings, lists and controls runs.

    Attributes:
        commandFactory: makes the commands, ``LeudaCommand`` unless a test puts its own here.

    A job whose run has begun only looks on, so several trainings may run at once.
    """

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self, parent)
        self.commandFactory: Callable[..., Any] = LeudaCommand
        self._jobs: list[TrainingJob] = []
        self._resuming: Any = None

    @property
    def job(self) -> TrainingJob | None:
        """The training that was started last, ``None`` before the first."""
        return self._jobs[-1] if self._jobs else None

    def getParameterNode(self) -> LEUDATrainingParameterNode:
        """Return the module's state in the current scene."""
        return named(super().getParameterNode())

    def train(
        self,
        dataset: Any,
        method: str = RECOMMENDED,
        *,
        out: Path | str | None = None,
        steps: int | None = None,
        seed: int = 0,
        device: str = "auto",
        settings: Mapping[str, Any] | None = None,
        wait: bool = True,
        onStarted: Callable[[Run], None] | None = None,
        onDone: Callable[[Run], None] | None = None,
        onError: Callable[[LeudaError], None] | None = None,
        onProgress: Callable[[str, float | None], None] | None = None,
        onLine: Callable[[str], None] | None = None,
    ) -> Run:
        """Adapt a model in a process of its own, which survives Slicer.

        Args:
            dataset: a dataset file; or the module's parameter node, whose dataset is written first.
            out: the run folder to make; by default a new one in the folder of all runs.
            settings: settings of the method that differ from its defaults.
            wait: return when the model is there. Otherwise return at once, and tell the callbacks: ``onProgress(stage,
                fraction)`` and ``onLine(text)`` before the run starts, ``onStarted(run)``, then ``onDone(run)`` or
                ``onError(LeudaError)``.

        Raises:
            LeudaError: with ``wait``: the call or a volume is wrong (all problems at once), or the training failed.
                Without, only when a training is being started already.
        """
        if self.job is not None and self.job.stage in ("write", "check", "launch"):
            raise InputError(_("a training is being started already"), _("wait until it runs, or cancel it"))
        dataset = _wrapped(dataset)
        run = Run(Path(out) if out else self.newRunFolder(_name_of(dataset, method)))
        writes = not isinstance(dataset, (str, Path))
        path = run.path.parent / DATASET_FILE if writes else Path(dataset).absolute()
        call = TrainingCall(path, method, run.path, steps, seed, device, dict(settings or {}))
        listeners = Listeners(
            on_progress=onProgress or ignore,
            on_started=onStarted or ignore,
            on_done=onDone or ignore,
            on_error=onError or ignore,
            on_line=onLine or ignore,
        )
        writing = write_dataset(dataset, run.path.parent) if writes else None
        job = TrainingJob(call, self.commandFactory, listeners, writing=writing).start()
        self._jobs = [one for one in self._jobs if not one.ended] + [job]
        return job.wait() if wait else run

    def cancel(self) -> None:
        """Give up the training that is being started, or ask the one this logic started to stop."""
        if self.job is not None and not self.job.ended:
            self.job.cancel()

    def release(self) -> None:
        """Let go of the trainings, which go on by themselves; for the end of Slicer."""
        for job in self._jobs:
            job.release()

    def writeDataset(self, parameterNode: LEUDATrainingParameterNode, folder: Path | str) -> Path:
        """Write the dataset of a parameter node into a folder and return its file; blocks.

        Raises:
            LeudaError: a volume cannot be used, or the folder cannot be written; nothing is left behind then.
        """
        for _progress in write_dataset(parameterNode, Path(folder)):
            pass
        return Path(folder) / DATASET_FILE

    def newRunFolder(self, name: str) -> Path:
        """Return ``NAME/run`` in the folder of all runs; a name taken gets a number."""
        base = _folder_name(name)
        folder, number = runs_folder() / base, 2
        while folder.exists():
            folder, number = runs_folder() / f"{base} {number}", number + 1
        return folder / RUN_FOLDER

    def runs(self) -> list[RunStatus]:
        """Return what every run in the folder of all runs is doing, the latest first."""
        return [state.status(path) for path in _newest_first(runs_folder().glob(f"*/{RUN_FOLDER}/run.json"))]

    def status(self, run: Run | Path | str) -> RunStatus:
        """Return what one run is doing."""
        return state.status(run)

    def stop(self, run: Run | Path | str) -> None:
        """Ask a run to write a checkpoint and end."""
        control.request_stop(run)

    def kill(self, run: Run | Path | str) -> bool:
        """End a run: after five seconds by force. Return whether force was needed."""
        return control.kill(run)

    def resume(
        self,
        run: Run | Path | str,
        *,
        wait: bool = False,
        onDone: Callable[[Run], None] | None = None,
        onError: Callable[[LeudaError], None] | None = None,
    ) -> Run:
        """Go on with a stopped or crashed run from its last checkpoint, in a process of its own.

        ``onDone`` is told when it runs again; ``wait`` blocks until then.
        """
        found = run if isinstance(run, Run) else Run(Path(run))
        command = self.commandFactory(
            ["resume", str(found.path), "--detach"],
            onDone=lambda _document: onDone(found) if onDone else None,
            onError=onError or (lambda _error: None),
        )
        command.start()
        self._resuming = command  # else nothing keeps the process alive
        if wait:
            command.wait(60)
        return found


def _wrapped(dataset: Any) -> Any:
    """Return a parameter node with its names, also when it was found in the scene; anything else as it is."""
    return named(dataset) if hasattr(dataset, "GetID") else dataset


def _name_of(dataset: Any, method: str) -> str:
    if isinstance(dataset, (str, Path)):
        return f"{Path(dataset).stem} {method}"
    return dataset.runName.strip() or f"training {method}"


def _folder_name(name: str) -> str:
    """Return a name as every file system takes it."""
    return re.sub(r"[^\w .()-]", "_", name).strip(" .")[:80] or "training"


def _newest_first(files: Iterable[Path]) -> list[Path]:
    return [path.parent for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)]

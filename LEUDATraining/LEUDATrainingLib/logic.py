"""The functions of LEUDATraining without its window, for the Python console and for scripts.

logic = slicer.util.getModuleLogic("LEUDATraining")
run = logic.train("/data/dataset.json", steps=200)        # returns when the model is ready; Slicer stays responsive
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
        commandFactory: creates the commands; ``LeudaCommand``, unless a test replaces it.

    After its run has started, a job only observes it, so several trainings may run at once.
    """

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self, parent)
        self.commandFactory: Callable[..., Any] = LeudaCommand
        self._jobs: list[TrainingJob] = []
        self._resuming: Any = None

    @property
    def job(self) -> TrainingJob | None:
        """The training that was started last; ``None`` if there was none."""
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
        budget: float | None = None,
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
        """Adapt a model in a separate process, which runs independently of Slicer.

        Args:
            dataset: a dataset file, or the parameter node of the module; its dataset is then written first.
            out: the run folder to create; by default a new one in the folder of all runs.
            steps: training steps of the segmenter; by default, as many as fit into the budget.
            budget: minutes for the whole training; 25 if neither this nor ``steps`` is given.
            settings: settings of the method that differ from its defaults.
            wait: return when the model is ready. Otherwise return immediately and call ``onProgress(stage, fraction)``
                and ``onLine(text)`` before the run starts, ``onStarted(run)``, then ``onDone(run)`` or
                ``onError(LeudaError)``.

        Raises:
            LeudaError: with ``wait``: an argument or a volume is invalid (all problems at once), or the training
                failed. Without ``wait``: only if another training is being started.
        """
        if self.job is not None and self.job.stage in ("write", "check", "launch"):
            raise InputError(_("another training is being started"), _("wait until it runs, or cancel it"))
        dataset = _wrapped(dataset)
        run = Run(Path(out) if out else self.newRunFolder(_name_of(dataset, method)))
        writes = not isinstance(dataset, (str, Path))
        path = run.path.parent / DATASET_FILE if writes else Path(dataset).absolute()
        call = TrainingCall(path, method, run.path, steps, seed, device, dict(settings or {}), budget)
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
        """Cancel the training that is being started, or ask it to stop if it runs already."""
        if self.job is not None and not self.job.ended:
            self.job.cancel()

    def release(self) -> None:
        """Stop observing the trainings, which continue; called when Slicer quits."""
        for job in self._jobs:
            job.release()

    def writeDataset(self, parameterNode: LEUDATrainingParameterNode, folder: Path | str) -> Path:
        """Write the dataset of a parameter node into a folder and return its file; blocks.

        Raises:
            LeudaError: a volume cannot be used, or the folder cannot be written; no files are left behind.
        """
        for _progress in write_dataset(parameterNode, Path(folder)):
            pass
        return Path(folder) / DATASET_FILE

    def newRunFolder(self, name: str) -> Path:
        """Return ``NAME/run`` in the folder of all runs; a number is added to a name that exists."""
        base = _folder_name(name)
        folder, number = runs_folder() / base, 2
        while folder.exists():
            folder, number = runs_folder() / f"{base} {number}", number + 1
        return folder / RUN_FOLDER

    def runs(self) -> list[RunStatus]:
        """Return the status of every run in the folder of all runs, the newest first."""
        return [state.status(path) for path in _newest_first(runs_folder().glob(f"*/{RUN_FOLDER}/run.json"))]

    def status(self, run: Run | Path | str) -> RunStatus:
        """Return the status of one run."""
        return state.status(run)

    def stop(self, run: Run | Path | str) -> None:
        """Ask a run to write a checkpoint and stop."""
        control.request_stop(run)

    def kill(self, run: Run | Path | str) -> bool:
        """Stop a run, by force after five seconds. Return whether force was needed."""
        return control.kill(run)

    def resume(
        self,
        run: Run | Path | str,
        *,
        wait: bool = False,
        onDone: Callable[[Run], None] | None = None,
        onError: Callable[[LeudaError], None] | None = None,
    ) -> Run:
        """Resume a stopped or crashed run from its last checkpoint, in a separate process.

        ``onDone`` is called when it runs again; ``wait`` blocks until then.
        """
        found = run if isinstance(run, Run) else Run(Path(run))
        command = self.commandFactory(
            ["resume", str(found.path), "--detach"],
            onDone=lambda _document: onDone(found) if onDone else None,
            onError=onError or (lambda _error: None),
        )
        command.start()
        self._resuming = command  # otherwise the process would be garbage-collected
        if wait:
            command.wait(60)
        return found


def _wrapped(dataset: Any) -> Any:
    """Return a node of the scene as a parameter node; anything else unchanged."""
    return named(dataset) if hasattr(dataset, "GetID") else dataset


def _name_of(dataset: Any, method: str) -> str:
    if isinstance(dataset, (str, Path)):
        return f"{Path(dataset).stem} {method}"
    return dataset.runName.strip() or f"training {method}"


def _folder_name(name: str) -> str:
    """Return a name that every file system accepts."""
    return re.sub(r"[^\w .()-]", "_", name).strip(" .")[:80] or "training"


def _newest_first(files: Iterable[Path]) -> list[Path]:
    return [path.parent for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)]

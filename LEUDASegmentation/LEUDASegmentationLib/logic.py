"""The logic of LEUDASegmentation, called by its panel, the Python console and scripts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from leuda_core.bundle.store import ModelEntry
from leuda_core.errors import InputError, LeudaError
from LEUDASegmentationLib.model_list import ModelListLogic
from LEUDASegmentationLib.processes import environment
from LEUDASegmentationLib.processes.exchange_folder import new_private_folder
from LEUDASegmentationLib.processes.worker_client import WorkerClient, shared_worker
from LEUDASegmentationLib.run import statistics
from LEUDASegmentationLib.run.corrected_cases import Result, results_of, write_scene
from LEUDASegmentationLib.run.history import RunHistory
from LEUDASegmentationLib.run.improvement import ImprovementJob
from LEUDASegmentationLib.run.job import SegmentationJob
from LEUDASegmentationLib.run.job_queue import SegmentationQueue
from LEUDASegmentationLib.run.order import Order, make_order
from LEUDASegmentationLib.run.progress import Progress
from LEUDASegmentationLib.run.trainings import training_dataset
from LEUDASegmentationLib.scene import corrections
from LEUDASegmentationLib.scene import steps as steps_of
from LEUDASegmentationLib.scene.volume_files import VolumeFiles, files_of

OnProgress = Callable[[Progress], None]
OnError = Callable[[LeudaError], None]


class LEUDASegmentationLogic(ModelListLogic):
    """Segments volumes with adapted models, in a process next to Slicer that keeps the model loaded.

    In Slicer's Python console::

        logic = slicer.util.getModuleLogic("LEUDASegmentation")
        print([model.name for model in logic.models()])
        segmentation = logic.segment(getNode("MRHead"), "my model")

    Args:
        worker: the process that computes; by default the one that the whole application shares.
        modelsFolder: the folder with the list of models; by default that of the user.
    """

    def __init__(self, worker: WorkerClient | None = None, modelsFolder: Path | None = None) -> None:
        super().__init__(modelsFolder)
        self._worker = worker
        self._history = RunHistory()

    @property
    def worker(self) -> WorkerClient:
        """The client of the process that computes; the process starts with the first request."""
        if self._worker is None:
            self._worker = shared_worker()
        return self._worker

    @property
    def volumeFiles(self) -> VolumeFiles:
        """The copies of volumes that the worker reads."""
        return files_of(self.worker)

    def segment(
        self,
        volumeNode: Any,
        model: str | Path | ModelEntry,
        outputSegmentation: Any | None = None,
        *,
        segments: Sequence[str] | None = None,
        roiNode: Any | None = None,
        device: str = "auto",
        largestComponent: bool = False,
        probabilities: bool = False,
        showIn3D: bool = False,
        smoothing: float | None = None,
        keepCorrections: bool = True,
        wait: bool = True,
        onProgress: OnProgress | None = None,
        onDone: Callable[[Any], None] | None = None,
        onError: OnError | None = None,
    ) -> Any:
        """Segment a volume.

        Args:
            volumeNode: a scalar volume with one component.
            model: its name in the list, or the path of a bundle folder or zip.
            outputSegmentation: a segmentation to write into: segments with the same names are replaced, the others
                are kept with all corrections. By default, a new one.
            segments: names of the labels to write; all by default.
            roiNode: a vtkMRMLMarkupsROINode; voxels outside it stay empty.
            device: ``auto``, ``cpu``, ``cuda``, ``cuda:K``, ``xpu``, ``xpu:K`` or ``mps``.
            largestComponent: keep only the largest connected component of each label.
            probabilities: also add one scalar volume per label.
            showIn3D: also create closed surfaces; a large one blocks Slicer for one or two seconds.
            smoothing: of the closed surfaces, 0 to 1; by default the setting of the segmentation.
            keepCorrections: slices of ``outputSegmentation`` that were drawn on since the last run stay as they are;
                otherwise they are replaced. ``undo`` restores either.
            wait: return the segmentation when it is done; otherwise return a job at once.
            onProgress: called with a ``Progress``.
            onDone: called with the segmentation node. onError: called with a ``LeudaError``.

        Returns:
            The vtkMRMLSegmentationNode, or with ``wait=False`` the ``SegmentationJob``.

        Raises:
            LeudaError: an argument is wrong or, with ``wait=True``, the work failed; ``remedy`` says what to do.
        """
        order = make_order(
            volumeNode,
            self.modelEntry(model),
            outputSegmentation,
            segments=segments,
            roiNode=roiNode,
            device=device,
            largestComponent=largestComponent,
            probabilities=probabilities,
            showIn3D=showIn3D,
            smoothing=smoothing,
            keepCorrections=keepCorrections,
        )
        job = self._job(order, dict(onProgress=onProgress, onDone=onDone, onError=onError))
        if wait:
            return job.run()
        job.start()
        return job

    def segmentMany(
        self,
        volumeNodes: Sequence[Any],
        model: str | Path | ModelEntry,
        *,
        wait: bool = True,
        onProgress: OnProgress | None = None,
        onVolumeDone: Callable[[Any, Any | None, LeudaError | None], None] | None = None,
        onDone: Callable[[list[Any]], None] | None = None,
        **options: Any,
    ) -> Any:
        """Segment volumes one after another; a volume that fails does not stop the others.

        Args:
            options: as for ``segment``, except the output: every volume gets a new segmentation.
            onProgress: called with a ``Progress`` over all volumes.
            onVolumeDone: called with (volume, segmentation or None, error or None).
            onDone: called with the list of results at the end, also after ``cancel``.

        Returns:
            A list of ``(volume, segmentation or None, error or None)``, or with ``wait=False`` the
            ``SegmentationQueue``.
        """
        inspect.signature(make_order).bind(None, None, None, **options)  # raises TypeError before the first volume

        def make_job(volumeNode: Any, **callbacks: Any) -> SegmentationJob:
            return self._job(make_order(volumeNode, self.modelEntry(model), None, **options), callbacks)

        queue = SegmentationQueue(
            volumeNodes, make_job, onProgress=onProgress, onVolumeDone=onVolumeDone, onDone=onDone
        )
        if wait:
            return queue.run()
        queue.start()
        return queue

    def improve(
        self,
        model: str | Path | ModelEntry,
        *,
        steps: int | None = None,
        device: str = "auto",
        source: Path | None = None,
        wait: bool = True,
        onProgress: OnProgress | None = None,
        onPreview: Callable[[Path], None] | None = None,
        onDone: Callable[[ModelEntry], None] | None = None,
        onError: OnError | None = None,
    ) -> Any:
        """Adapt a model to the slices that were corrected in its results, and add the new model to the list.

        All results in the scene that have the model's segments are used: those with corrected slices as labelled
        cases, the others as volumes without labels. The model itself stays as it is.

        Args:
            model: as for ``segment``.
            steps: of the adaptation; 300 by default. device, onProgress, onError: as for ``segment``.
            source: the dataset file of the model's training, whose labelled source cases are replayed so that nothing
                is forgotten; by default that of LE-UDA Training, if it is still there.
            wait: return the new model when it is there; otherwise return a job at once.
            onPreview: called with each new picture of a target slice. onDone: called with the new ``ModelEntry``.

        Returns:
            The ``ModelEntry``, or with ``wait=False`` the ``ImprovementJob``.

        Raises:
            LeudaError: the model is unknown or, with ``wait=True``, no slice was corrected or the work failed.
        """
        entry = self.modelEntry(model)
        folder = new_private_folder()
        source = source or training_dataset(entry, environment.runs_folder(), self.modelsFolder)
        job = ImprovementJob(
            entry,
            write_scene(slicer.mrmlScene, entry, folder / "data", source),
            folder,
            self.modelsFolder,
            device=device,
            steps=steps,
            onProgress=onProgress,
            onPreview=onPreview,
            onDone=onDone,
            onError=onError,
        ).start()
        return job.wait() if wait else job

    def results(
        self,
        model: str | Path | ModelEntry,
        *,
        wait: bool = True,
        onDone: Callable[[list[Result]], None] | None = None,
        onError: OnError | None = None,
    ) -> Any:
        """Return the results that ``improve`` would learn from; with ``wait=False``, an object with ``stop``."""
        finding = results_of(slicer.mrmlScene, self.modelEntry(model))
        return steps_of.run(finding, wait=wait, on_done=onDone, on_error=onError)

    def correctedSlices(
        self, segmentationNode: Any, model: str | Path | ModelEntry, segments: Sequence[str] | None = None
    ) -> int:
        """Return how many slices of a segmentation were drawn on since a run wrote its segments.

        Args:
            model, segments: what the next run would write, as for ``segment``.
        """
        labels = [label for label in self.modelEntry(model).labels if segments is None or label.name in segments]
        drawn = steps_of.finish(corrections.drawn_slices(segmentationNode.GetSegmentation(), labels))
        return len(set().union(*drawn.values()))

    def canUndo(self, segmentationNode: Any) -> bool:
        """Return whether there is a run to undo."""
        return segmentationNode is not None and self._history.find(segmentationNode) is not None

    def undo(
        self,
        segmentationNode: Any,
        *,
        wait: bool = True,
        onDone: Callable[[None], None] | None = None,
        onError: OnError | None = None,
    ) -> steps_of.EventLoopWork | None:
        """Undo the last run; later corrections of other segments are kept.

        A segmentation that the run created is removed, with its probability volumes.

        Args:
            wait: return when it is done; otherwise return at once, with an object that has ``stop``.

        Raises:
            InputError: there is no run to undo.
        """
        record = self._history.take(segmentationNode)
        if record is None:
            raise InputError(
                _("there is no run of “{name}” to undo").format(name=segmentationNode.GetName()),
                _("only the last run since Slicer was started can be undone"),
            )
        return steps_of.run(record.undo(), wait=wait, on_done=onDone, on_error=onError)

    def statistics(
        self,
        segmentationNode: Any,
        volumeNode: Any,
        *,
        wait: bool = True,
        onDone: Callable[[list[statistics.SegmentStatistics]], None] | None = None,
        onError: OnError | None = None,
    ) -> Any:
        """Return name, volume in mL and mean intensity of every segment, in the order of the segments.

        Args:
            wait: return the rows; otherwise return at once, with an object that has ``stop``.
            onDone: called with the rows.

        Raises:
            InputError: with ``wait=True``, the segments cannot be converted to voxels, or the volume cannot be used.
        """
        counting = statistics.count_segments(segmentationNode, volumeNode)
        return steps_of.run(counting, wait=wait, on_done=onDone, on_error=onError)

    def statisticsTable(self, segmentationNode: Any, volumeNode: Any) -> Any:
        """Add a vtkMRMLTableNode with the statistics to the scene, next to the segmentation, and return it."""
        return statistics.add_table(segmentationNode, volumeNode, self.statistics(segmentationNode, volumeNode))

    def _job(self, order: Order, callbacks: dict) -> SegmentationJob:
        return SegmentationJob(order, self.worker, self.volumeFiles, onRecord=self._history.keep, **callbacks)

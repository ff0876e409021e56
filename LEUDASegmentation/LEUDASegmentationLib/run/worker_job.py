"""Work on a volume in small steps, some of which the worker does.

The work is a generator: it yields its progress, or a request for the worker, whose result is sent back into it. In the
background, the event loop runs between any two steps, so that the window keeps responding.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import qt
from slicer.i18n import tr as _

from leuda_core.errors import Cancelled, InputError, LeudaError, as_leuda_error
from LEUDASegmentationLib.processes.worker_client import WorkerClient
from LEUDASegmentationLib.run.progress import Progress, fraction_of_job
from LEUDASegmentationLib.scene.geometry import ijk_to_ras, same_affine
from LEUDASegmentationLib.scene.scene_watch import SceneWatch
from LEUDASegmentationLib.scene.steps import is_running
from LEUDASegmentationLib.scene.volume_files import VolumeFiles, changed_meanwhile, content_stamp

logger = logging.getLogger(__name__)

_FOREVER_S = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Call:
    """A request to send to the worker; its result is then sent back into the work."""

    name: str
    fields: dict[str, Any]


class WorkerJob(ABC):
    """Runs the work of a subclass; it fails if the volume is deleted or the scene is closed.

    Args:
        volume_node: what the work is about. worker: answers the requests. files: copies of volumes for the worker.
        onProgress: called with a ``Progress``. onDone: called with the result. onError: called with a ``LeudaError``.

    Attributes:
        running: whether it was started and has not ended.
        error: the LeudaError that ended it, or None.
        notes: what the user should know, such as a fallback to the CPU.
    """

    def __init__(
        self,
        volume_node: Any,
        worker: WorkerClient,
        files: VolumeFiles,
        *,
        onProgress: Callable[[Progress], None] | None = None,
        onDone: Callable[[Any], None] | None = None,
        onError: Callable[[LeudaError], None] | None = None,
    ) -> None:
        self._volume, self._worker, self._files = volume_node, worker, files
        self._on_progress, self._on_done, self._on_error = onProgress, onDone, onError
        self._stamp = content_stamp(volume_node)
        self._affine = ijk_to_ras(volume_node)
        self._work = self._steps()
        self._request_id: int | None = None
        self._watch: SceneWatch | None = None
        self._blocking = self._cancelled = False
        self._fraction = 0.0
        self._result: Any = None
        self.running = False
        self.error: LeudaError | None = None
        self.notes: list[str] = []

    def start(self) -> None:
        """Start; the work continues in the event loop."""
        self.running = True
        self._watch = SceneWatch(self._volume.GetScene(), self._on_node_removed, self._on_scene_closing)
        self._go_on()

    def run(self) -> Any:
        """Do all of the work and return its result. Slicer keeps processing events meanwhile.

        Raises:
            LeudaError: the work failed.
        """
        self._blocking = True
        self.start()
        while self.running:
            if self._request_id is None:
                self._advance(partial(next, self._work))
            else:
                with suppress(LeudaError):  # also reported through the callbacks
                    self._worker.wait(self._request_id, _FOREVER_S)
        if self.error is not None:
            raise self.error
        return self._result

    def cancel(self) -> None:
        """Cancel the job; ``onError`` gets ``Cancelled`` within a second, and nothing is written."""
        if self.running and self._request_id is not None:
            self._cancelled = True  # the answer may be on its way
            self._worker.cancel(self._request_id)
        else:
            self._fail(Cancelled())

    @abstractmethod
    def _steps(self) -> Generator[Any, Any, Any]:
        """Do the work: yield (stage, fraction done) and ``Call``, return the result."""

    def _check_unchanged(self) -> None:
        """Raise an ``InputError`` if the volume has changed since the work began."""
        if content_stamp(self._volume) != self._stamp or not same_affine(ijk_to_ras(self._volume), self._affine):
            raise changed_meanwhile(self._volume)

    def _on_node_removed(self, node: Any) -> None:
        if node is self._volume:
            self._abandon(_("“{name}” was deleted while it was being segmented"), node)

    def _on_scene_closing(self) -> None:
        self._fail(InputError(_("the scene was closed while a volume was being segmented"), _("segment it again")))

    def _abandon(self, message: str, node: Any) -> None:
        self._fail(InputError(message.format(name=node.GetName()), _("load it again to segment it")))

    def _go_on(self) -> None:
        if not self._blocking:
            qt.QTimer.singleShot(0, lambda: self._advance(partial(next, self._work)))

    def _advance(self, resume: Callable[[], Any]) -> None:
        """Run the work to its next ``yield``."""
        if not self.running:
            return
        try:
            step = resume()
        except StopIteration as end:
            self._finish(end.value)
        except Exception as error:
            if not isinstance(error, LeudaError):
                logger.exception("the work failed")
            self._fail(as_leuda_error(error, _("report the problem and attach the log")))
        else:
            self._take(step)

    def _take(self, step: Any) -> None:
        if isinstance(step, Call):
            self._request_id = self._worker.request(
                step.name, self._on_reply, self._on_failure, self._on_worker_progress, **step.fields
            )
        else:
            self._report(*step)
            self._go_on()

    def _on_reply(self, reply: dict[str, Any]) -> None:
        self._request_id = None
        if self._cancelled:
            self._fail(Cancelled())
        else:
            self._advance(partial(self._work.send, reply))

    def _on_failure(self, error: LeudaError) -> None:
        self._request_id = None
        self._advance(partial(self._work.throw, error))

    def _on_worker_progress(self, event: dict[str, Any]) -> None:
        part = event["done"] / event["total"] if event.get("total") else 0.0
        self._report(event["stage"], part, event.get("seconds_left"))

    def _report(self, stage: str, part: float, seconds_left: float | None = None) -> None:
        self._fraction = max(self._fraction, fraction_of_job(stage, part))
        if self.running and self._on_progress is not None:
            self._on_progress(Progress(stage, self._fraction, seconds_left))

    def _finish(self, result: Any) -> None:
        self._result = result
        self._end()
        if self._on_progress is not None:
            self._on_progress(Progress("result", 1.0))
        if self._on_done is not None:
            self._on_done(result)

    def _fail(self, error: LeudaError) -> None:
        if not self.running or is_running(self._work):  # too late while the result is being written
            return
        self.error = error
        self._end()
        if self._on_error is not None:
            self._on_error(error)

    def _end(self) -> None:
        self.running = False
        if self._watch is not None:
            self._watch.stop()
        self._work.close()
        if self._request_id is not None:
            self._worker.cancel(self._request_id)
            self._request_id = None


def staged(stage: str, steps: Generator[float, None, Any]) -> Generator[tuple[str, float], None, Any]:
    """Add the name of the stage to each step; return the result of the steps."""
    try:
        while True:
            yield stage, next(steps)
    except StopIteration as end:
        return end.value
    finally:
        steps.close()

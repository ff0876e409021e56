"""What one can do with a run: stop, end by force, resume, report, export. Nothing here blocks the window.

Starting, ending and reporting go through ``python -m leuda_core`` in another process; asking a run to stop touches a
file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from leuda_core.bundle.store import export_model
from leuda_core.errors import Cancelled, LeudaError
from leuda_core.runs.control import request_stop
from leuda_core.runs.folder import Run
from LEUDASegmentationLib.processes.commands import LeudaCommand
from LEUDASegmentationLib.processes.installation import ensure_installed

REPORT_FILE = "report.html"


class RunActions:
    """Carries out one action at a time.

    Args:
        on_busy: called with what is being done, and with ``""`` when it is over.
        on_error: called with the LeudaError of an action that failed.
        on_line: called with each line that a command logs.
    """

    def __init__(
        self,
        *,
        on_busy: Callable[[str], None],
        on_error: Callable[[LeudaError], None],
        on_line: Callable[[str], None],
    ) -> None:
        self._on_busy, self._on_error, self._on_line = on_busy, on_error, on_line
        self._command: LeudaCommand | None = None

    @property
    def busy(self) -> bool:
        """Whether an action is being carried out."""
        return self._command is not None

    def stop(self, run: Run) -> None:
        """Ask the run to write a checkpoint and end."""
        try:
            request_stop(run)
        except OSError as error:
            self._on_error(LeudaError(f"{run.stop}: {error.strerror}", _("check that the folder can be written")))
        except LeudaError as error:
            self._on_error(error)

    def kill(self, run: Run) -> None:
        """End the run's processes; what was done since its last checkpoint is lost."""
        self._start(["stop", run.path, "--force"], _("Ending the training…"))

    def resume(self, run: Run, parent: Any = None) -> None:
        """Go on from the last checkpoint, or begin, in a process that outlives Slicer."""
        try:
            ready = ensure_installed(parent)
        except LeudaError as error:
            self._on_error(error)
            return
        if ready:
            self._start(["resume", run.path, "--detach"], _("Starting the training…"))

    def report(self, run: Run) -> None:
        """Write a page about the run into its folder and open it in the browser."""
        page = run.path / REPORT_FILE
        self._start(["report", run.path, "--out", page], _("Writing the report…"), lambda _result: open_file(page))

    def export(self, run: Run, zip_path: Path) -> bool:
        """Pack the model of a finished run into one file. Return whether that worked."""
        qt.QApplication.setOverrideCursor(qt.QCursor(qt.Qt.WaitCursor))
        try:
            export_model(run.bundle, zip_path)
        except LeudaError as error:
            self._on_error(error)
            return False
        finally:
            qt.QApplication.restoreOverrideCursor()
        return True

    def cancel(self) -> None:
        """Give up the action under way; a training goes on."""
        if self._command is not None:
            self._command.cancel()

    def _start(self, words: Sequence[Any], text: str, on_done: Callable[[Any], None] | None = None) -> None:
        if self.busy:
            return

        def done(result: Any) -> None:
            self._end()
            if on_done:
                on_done(result)

        self._command = LeudaCommand(words, onDone=done, onError=self._failed, onLine=self._on_line)
        self._on_busy(text)
        self._command.start()

    def _failed(self, error: LeudaError) -> None:
        self._end()
        if not isinstance(error, Cancelled):
            self._on_error(error)

    def _end(self) -> None:
        self._command = None
        self._on_busy("")


def open_file(path: Path) -> None:
    """Open a file, or a folder, as the system does on a double click."""
    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))

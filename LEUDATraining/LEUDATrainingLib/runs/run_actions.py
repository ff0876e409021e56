"""The actions on a run: stop, stop by force, resume, report, export. None of them blocks the window.

Resuming, stopping by force and reporting run ``python -m leuda_core`` in another process; stopping creates a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from leuda_core.bundle.store import export_model
from leuda_core.errors import Cancelled, LeudaError, reason_of
from leuda_core.runs.control import request_stop
from leuda_core.runs.folder import Run
from LEUDASegmentationLib.processes.commands import LeudaCommand
from LEUDASegmentationLib.processes.installation import ensure_installed

REPORT_FILE = "report.html"


class RunActions:
    """Runs one action at a time.

    Args:
        on_busy: called with a description of the action, and with ``""`` when it has ended.
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
        """Whether an action is running."""
        return self._command is not None

    def stop(self, run: Run) -> None:
        """Ask the run to write a checkpoint and stop."""
        try:
            request_stop(run)
        except OSError as error:
            self._on_error(LeudaError(f"{run.stop}: {reason_of(error)}", _("check that the folder can be written")))
        except LeudaError as error:
            self._on_error(error)

    def kill(self, run: Run) -> None:
        """Stop the processes of the run by force; the steps since the last checkpoint are lost."""
        self._start(["stop", run.path, "--force"], _("Stopping the training…"))

    def resume(self, run: Run, parent: Any = None) -> None:
        """Resume from the last checkpoint, or start, in a process that is independent of Slicer."""
        try:
            ready = ensure_installed(parent)
        except LeudaError as error:
            self._on_error(error)
            return
        if ready:
            self._start(["resume", run.path, "--detach"], _("Starting the training…"))

    def report(self, run: Run) -> None:
        """Write a report into the folder of the run and open it in the browser."""
        page = run.path / REPORT_FILE
        self._start(["report", run.path, "--out", page], _("Writing the report…"), lambda _result: open_file(page))

    def export(self, run: Run, zip_path: Path) -> bool:
        """Export the model of a finished run as one zip file. Return whether this succeeded."""
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
        """Cancel the current action; a training continues."""
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
    """Open a file or a folder with the default program of the system."""
    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))

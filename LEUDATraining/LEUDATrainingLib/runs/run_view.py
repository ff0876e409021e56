"""One run: its progress, learning curves, previews and log, and the actions on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from leuda_core.errors import LeudaError
from leuda_core.runs.folder import Run
from leuda_core.runs.state import RunStatus
from LEUDASegmentationLib.widgets.layout import column_in
from LEUDASegmentationLib.widgets.log_panel import LogPanel
from LEUDASegmentationLib.widgets.message_strip import MessageStrip
from LEUDASegmentationLib.widgets.run_progress import RunProgress
from LEUDASegmentationLib.widgets.tables import empty_state
from LEUDATrainingLib.runs.learning_curves import LearningCurves, phase_title
from LEUDATrainingLib.runs.preview_scrubber import PreviewScrubber
from LEUDATrainingLib.runs.run_actions import RunActions
from LEUDATrainingLib.runs.run_buttons import RunButtons
from LEUDATrainingLib.runs.run_facts import headline, label_colors
from LEUDATrainingLib.runs.run_log import LogTail
from LEUDATrainingLib.runs.run_records import run_name
from LEUDATrainingLib.runs.run_watcher import RunWatcher

KILL_AFTER_S = 10.0
"""How long a run may take to stop before stopping it by force is offered."""

_TICK_MS = 1000


class RunView(qt.QWidget):
    """Shows a run and updates it.

    ``on_use_model`` is called with the bundle of a finished run when the user wants to segment with it, ``on_status``
    without arguments when the status of the run was read.
    """

    def __init__(self, parent: Any = None) -> None:
        qt.QWidget.__init__(self, parent)
        self.on_use_model: Callable[[Path], None] | None = None
        self.on_status: Callable[[], None] = lambda: None
        self._watcher = RunWatcher(self, self._on_run_changed)
        self._actions = RunActions(on_busy=self._on_busy, on_error=self._on_action_error, on_line=self._add_line)
        self._undrawn = False
        self._shown_state = ""
        self._shown_warnings: tuple[Any, ...] = ()
        self._tail: LogTail | None = None
        self._build()
        self._timer = qt.QTimer(self)
        self._timer.setInterval(_TICK_MS)
        self._timer.connect("timeout()", self._on_tick)
        self.set_run(None)

    @property
    def run_path(self) -> Path | None:
        """The folder of the run that is shown, or None."""
        return self._watcher.run.path if self._watcher.run else None

    @property
    def status(self) -> RunStatus | None:
        """The status of the run, None before it is read."""
        return self._watcher.status

    def set_run(self, path: Path | None) -> None:
        """Show another run, or none. Setting the same run again has no effect."""
        if path is not None and Path(path) == self.run_path:
            return
        self._undrawn, self._shown_state, self._shown_warnings = False, "", ()
        self._message.clear()
        self._warnings.clear()
        self._curves.clear()
        self._previews.clear()
        self._log.clear()
        self._content.visible = path is not None
        self._empty.visible = path is None
        self._watcher.watch(Path(path) if path else None)
        run = self._watcher.run
        self._tail = LogTail(run.log) if run else None
        self._title.text = headline(run) if run else ""
        if run:
            self._previews.set_labels(label_colors(run))
            self._timer.start()
            self._on_tick()
        else:
            self._timer.stop()

    def cleanup(self) -> None:
        """Stop observing the run, and remove the nodes of the plot from the scene."""
        self._watcher.stop()
        self._timer.stop()
        self._curves.cleanup()

    def _build(self) -> None:
        column = column_in(self)
        text = _("Select a run above, or start a training: progress, curves and previews appear here.")
        self._empty = empty_state("noRunLabel", text)
        column.addWidget(self._empty)
        self._content = qt.QWidget()
        column.addWidget(self._content)
        inner = column_in(self._content)
        self._build_head(inner)
        self._curves = LearningCurves()
        self._previews = PreviewScrubber()
        inner.addWidget(_section("curvesSection", _("Learning curves"), self._curves))
        inner.addWidget(_section("previewSection", _("Preview"), self._previews))
        self._log = LogPanel()
        inner.addWidget(self._log.widget)
        inner.addStretch(1)

    def _build_head(self, layout: Any) -> None:
        self._title = qt.QLabel()
        self._title.objectName = "runTitle"
        self._title.setWordWrap(True)
        layout.addWidget(self._title)
        self._progress = RunProgress(on_cancel=self._with_run(self._stop), cancel_text=_("Stop"))
        self._progress.cancel_button.objectName = "stopButton"
        self._progress.cancel_button.toolTip = _("Write a checkpoint and stop; the run can be resumed")
        layout.addWidget(self._progress.widget)
        self._message = MessageStrip()
        layout.addWidget(self._message.widget)
        self._warnings = MessageStrip()
        self._warnings.widget.objectName = "runWarnings"
        layout.addWidget(self._warnings.widget)
        self._work = RunProgress(on_cancel=self._actions.cancel)
        layout.addWidget(self._work.widget)
        self._buttons = RunButtons(
            kill=self._with_run(self._actions.kill),
            resume=self._with_run(lambda run: self._actions.resume(run, self)),
            use_model=self._with_run(self._use_model),
            report=self._with_run(self._actions.report),
            export=self._with_run(self._export),
        )
        layout.addWidget(self._buttons.widget)

    def _with_run(self, action: Callable[[Run], None]) -> Callable[[], None]:
        """Return a function that applies an action to the run that is shown, if there is one."""

        def act() -> None:
            if self._watcher.run is not None:
                action(self._watcher.run)

        return act

    def _on_run_changed(self) -> None:
        if self._watcher.error is not None:
            self._message.show_error(self._watcher.error)
            self._progress.finish()
        elif self._watcher.run is not None:
            self._take_events(self._watcher.run)
        if self._watcher.status is not None:
            self._show_progress(self._watcher.status)
            self._show_state(self._watcher.status)
            self._show_warnings(self._watcher.status)
        self._show_buttons()
        self.on_status()

    def _take_events(self, run: Run) -> None:
        """Pass new events to the curves and the previews."""
        new = self._watcher.new
        if self._watcher.replaced:
            self._curves.clear()
            self._previews.clear()
            self._previews.set_labels(label_colors(run))
        if new:
            self._curves.add_events(new)
            self._previews.add_events(run.previews, new)
        self._undrawn = self._undrawn or bool(new)
        if self._undrawn and self._watcher.status is not None:  # otherwise more events follow immediately
            self._undrawn = False
            self._curves.draw()

    def _show_progress(self, status: RunStatus) -> None:
        if status.state != "running":
            self._progress.finish()
            return
        if not self._progress.running:
            self._progress.start("")
        stopping = self._watcher.stop_requested_at is not None
        self._progress.cancel_button.enabled = not stopping
        self._progress.cancel_button.text = _("Stopping…") if stopping else _("Stop")
        stage, fraction = _stage(status, self._watcher.last, stopping)
        self._progress.update(stage, fraction, None if stopping else status.seconds_left)

    def _show_state(self, status: RunStatus) -> None:
        """Show a message for each new state once, so that a dismissed message does not return."""
        if status.state == self._shown_state:
            return
        self._shown_state = status.state
        self._message.clear()
        if status.state in ("failed", "crashed"):
            self._message.show_error(_failure(status))
        elif status.state == "stopped":
            where = _("Stopped at step {step} of {total}").format(step=status.step, total=status.total)
            self._message.show_info(where, _("Resume continues exactly from there."))
        elif status.state == "created":
            self._message.show_info(_("This run has not started"), _("Press Resume to start it."))
        elif status.state == "finished":
            self._message.show_info(_("Finished"), _("The model can be used for segmentation."))

    def _show_warnings(self, status: RunStatus) -> None:
        """Show the warnings of the training whenever they change, so that dismissed ones do not return."""
        if status.warnings != self._shown_warnings:
            self._shown_warnings = status.warnings
            self._warnings.show_warnings([(one["message"], one["remedy"]) for one in status.warnings])

    def _show_buttons(self) -> None:
        state = self._watcher.status.state if self._watcher.status else ""
        waited = self._watcher.seconds_since_stop()
        self._buttons.show(state, busy=self._actions.busy)
        offered = waited is not None and waited >= KILL_AFTER_S and not self._actions.busy
        if offered and not self._buttons.kill_offered:
            self._message.show_warning(
                _("The training has not stopped yet"),
                _("It stops after the current step. Stop now loses the steps since the last checkpoint."),
            )
        self._buttons.offer_kill(offered)

    def _on_tick(self) -> None:
        for line in self._tail.new_lines() if self._tail else []:
            self._add_line(line)
        if self.isVisible():
            self._curves.restore()
        self._show_buttons()

    def _add_line(self, line: str) -> None:
        self._log.append(line)

    def _stop(self, run: Run) -> None:
        self._actions.stop(run)
        self._watcher.poll()

    def _use_model(self, run: Run) -> None:
        if self.on_use_model:
            self.on_use_model(run.bundle)

    def _export(self, run: Run) -> None:
        name = f"{run_name(run.path)}.zip"
        chosen = qt.QFileDialog.getSaveFileName(self, _("Export model"), name, _("Model (*.zip)"))
        if not chosen:
            return
        path = Path(chosen if chosen.lower().endswith(".zip") else f"{chosen}.zip")
        if self._actions.export(run, path):
            self._message.show_info(_("Exported to {path}").format(path=path))

    def _on_busy(self, text: str) -> None:
        if text:
            self._message.clear()
            self._work.start(text)
        else:
            self._work.finish()
            self._watcher.poll()
        self._show_buttons()

    def _on_action_error(self, error: LeudaError) -> None:
        self._message.show_error(error)


def _section(name: str, title: str, widget: Any) -> Any:
    section = ctk.ctkCollapsibleButton()
    section.objectName = name
    section.text = title
    layout = qt.QVBoxLayout(section)
    layout.setContentsMargins(6, 6, 6, 6)
    layout.addWidget(widget)
    return section


def _stage(status: RunStatus, last: dict[str, Any], stopping: bool) -> tuple[str, float | None]:
    """Return the current stage of a running run, and its progress in [0, 1] or None."""
    if stopping:
        return _("Stopping: a checkpoint is written first…"), status.progress
    if last.get("event") == "progress" and last.get("stage") == "prepare":
        counts = _("{done} of {total}").format(done=last.get("step"), total=last.get("total"))
        return f"{phase_title('prepare')}: {counts}", None
    if not status.step:
        return _("Starting…"), None
    counts = _("step {step} of {total}").format(step=status.step, total=status.total)
    return f"{phase_title(status.stage)}: {counts}", status.progress


def _failure(status: RunStatus) -> LeudaError:
    if status.state == "crashed":
        return LeudaError(
            _("The training stopped unexpectedly at step {step}").format(step=status.step),
            _("Press Resume to continue from the last checkpoint; the log below may show the cause."),
        )
    return LeudaError(status.message or _("the training failed"), status.remedy or _("see the log below"))

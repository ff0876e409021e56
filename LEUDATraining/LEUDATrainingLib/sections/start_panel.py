"""The section Train: what is missing, warnings, and starting a training until its process runs independently."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from leuda_core.errors import Cancelled, LeudaError
from leuda_core.runs.folder import Run
from LEUDASegmentationLib.processes import installation
from LEUDASegmentationLib.widgets.layout import column_in
from LEUDASegmentationLib.widgets.log_panel import LogPanel
from LEUDASegmentationLib.widgets.message_strip import MessageStrip, sentence
from LEUDASegmentationLib.widgets.run_progress import RunProgress
from LEUDATrainingLib.dataset.readiness import Readiness, examine
from LEUDATrainingLib.labels.case_marks import CaseMarks
from LEUDATrainingLib.logic import LEUDATrainingLogic
from LEUDATrainingLib.method.method_form import MethodForm


class StartPanel:
    """The start button, the notes above it and the progress below it.

    ``readiness`` is what the last ``refresh`` found.

    Args:
        message: shows errors.
        on_started: called with the run when its process has started.
    """

    def __init__(
        self,
        logic: LEUDATrainingLogic,
        marks: CaseMarks,
        form: MethodForm,
        message: MessageStrip,
        on_started: Callable[[Run], None],
    ) -> None:
        self._logic, self._marks, self._form = logic, marks, form
        self._message, self._on_started = message, on_started
        self._parameter_node: Any = None
        self.readiness = Readiness((), ())
        self.widget = qt.QWidget()
        layout = column_in(self.widget)
        self.notes = qt.QLabel()
        self.notes.objectName = "startNotes"
        self.notes.wordWrap = True
        self.notes.setTextFormat(qt.Qt.RichText)
        self.notes.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)
        layout.addWidget(self.notes)
        self.start_button = self._new_button()
        layout.addWidget(self.start_button)
        self._progress = RunProgress(logic.cancel)
        layout.addWidget(self._progress.widget)
        self._log = LogPanel()
        layout.addWidget(self._log.widget)

    def set_parameter_node(self, node: Any) -> None:
        """Use another parameter node; ``None`` for none."""
        self._parameter_node = node
        self.refresh()

    def refresh(self) -> None:
        """Show what is missing; enable Start if nothing is."""
        starting = self._progress.running
        if self._parameter_node is None:
            self.start_button.enabled = False
            return
        found = self.readiness = examine(self._parameter_node, self._marks)
        self.notes.text = _notes(found)
        self.notes.visible = bool(self.notes.text)
        self.start_button.enabled = not found.problems and not starting
        self.start_button.toolTip = _tooltip(found, starting)

    def start(self) -> None:
        """Write the dataset and start its training."""
        self._message.clear()
        self.start_button.enabled = False  # packages may have to be installed first, which processes events
        try:
            if not installation.ensure_installed(slicer.util.mainWindow()):
                self._message.show_warning(
                    _("Packages that training needs are not installed"), _("Press Start training again to install them")
                )
                return
            self._log.clear()
            self._progress.start(_("Writing the volumes"))
            self._train()
        except LeudaError as error:
            self._progress.finish()
            self._message.show_error(error)
        self.refresh()

    def _train(self) -> None:
        self._logic.train(
            self._parameter_node,
            self._form.method,
            steps=self._form.steps or None,
            budget=self._form.budget or None,
            seed=self._form.seed,
            device=self._form.device,
            settings=self._form.settings,
            wait=False,
            onStarted=self._started,
            onDone=self._finished,
            onError=self._failed,
            onProgress=self._progress.update,
            onLine=self._log.append,
        )

    def _started(self, run: Run) -> None:
        self._progress.finish()
        self._message.show_info(
            _("“{name}” is training").format(name=run.path.parent.name),
            _("It runs independently of Slicer; see step 5"),
        )
        self._on_started(run)
        self.refresh()

    def _finished(self, run: Run) -> None:
        name = run.path.parent.name
        self._message.show_info(_("“{name}” is trained").format(name=name), _("Its model is in step 5"))

    def _failed(self, error: LeudaError) -> None:
        """Show why a training did not start; errors of a running training are shown with the run."""
        if not self._progress.running:
            self._message.clear()  # it said that the run is training
        elif isinstance(error, Cancelled):
            self._message.show_info(_("The start was cancelled"), "")
        else:
            self._message.show_error(error)
        self._progress.finish()
        self.refresh()

    def _new_button(self) -> Any:
        button = qt.QPushButton(_("Start training"))
        button.objectName = "startButton"
        button.setMinimumHeight(round(1.4 * button.sizeHint.height()))
        font = qt.QFont(button.font)
        font.setBold(True)
        button.setFont(font)
        button.connect("clicked()", self.start)
        return button


def _notes(found: Readiness) -> str:
    """Return the problems, or else the warnings, as a list in rich text."""
    lines = found.problems or found.warnings
    if not lines:
        return ""
    title = _("Required before the start:") if found.problems else _("Warnings:")
    return f"<b>{html.escape(title)}</b><ul style='margin: 2px 0 2px -22px'>{_items(lines)}</ul>"


def _items(lines: Sequence[tuple[str, str]]) -> str:
    texts = [sentence(f"{message}: {remedy}") for message, remedy in lines]
    return "".join(f"<li>{html.escape(text)}</li>" for text in texts)


def _tooltip(found: Readiness, starting: bool) -> str:
    if starting:
        return _("A training is being started")
    if found.problems:
        message, remedy = found.problems[0]
        return sentence(f"{message}: {remedy}")
    return _("Write the dataset and train in a separate process")

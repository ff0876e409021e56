"""The progress of a task, and the button that cancels it. Shared by both modules."""

from __future__ import annotations

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from leuda_core.durations import estimated_duration

_STEPS = 1000


class RunProgress:
    """A progress bar with the stage, the remaining time and Cancel; hidden while nothing runs.

    Args:
        on_cancel: called once when the user presses Cancel; the task then ends by itself.
        cancel_text: text of the button.
    """

    def __init__(self, on_cancel: Callable[[], None], *, cancel_text: str = "") -> None:
        self._on_cancel = on_cancel
        self._cancel_text = cancel_text or _("Cancel")
        self.widget = qt.QWidget()
        self.widget.objectName = "runProgress"
        layout = qt.QGridLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        self.bar = qt.QProgressBar()
        self.bar.objectName = "progressBar"
        self.bar.setMinimum(0)
        layout.addWidget(self.bar, 0, 0, 1, 2)
        self.cancel_button = qt.QPushButton(self._cancel_text)
        self.cancel_button.objectName = "cancelButton"
        self.cancel_button.connect("clicked()", self._cancel)
        layout.addWidget(self.cancel_button, 0, 2)
        self.stage_label = qt.QLabel()
        self.stage_label.objectName = "stageLabel"
        self.stage_label.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)
        layout.addWidget(self.stage_label, 1, 0)
        self.time_label = qt.QLabel()
        self.time_label.objectName = "timeLeftLabel"
        layout.addWidget(self.time_label, 1, 1, 1, 2, qt.Qt.AlignRight)
        layout.setColumnStretch(0, 1)
        self.finish()

    @property
    def running(self) -> bool:
        """Whether something is shown as running."""
        return not self.widget.isHidden()

    def start(self, stage: str) -> None:
        """Show the bar at its start."""
        self.cancel_button.enabled = True
        self.cancel_button.text = self._cancel_text
        self.widget.show()
        self.update(stage, None)

    def update(self, stage: str, fraction: float | None, seconds_left: float | None = None) -> None:
        """Show the progress.

        Args:
            stage: text that says what is being done.
            fraction: fraction done, in [0, 1]; ``None`` if unknown (the bar is then animated).
            seconds_left: ``None`` if unknown.
        """
        self.stage_label.text = stage
        self.stage_label.toolTip = stage
        self.bar.setMaximum(0 if fraction is None else _STEPS)
        if fraction is not None:
            self.bar.setValue(round(_STEPS * min(1.0, max(0.0, fraction))))
        self.time_label.text = "" if seconds_left is None else time_left(seconds_left)

    def finish(self) -> None:
        """Hide the widget."""
        self.widget.hide()

    def _cancel(self) -> None:
        self.cancel_button.enabled = False
        self.cancel_button.text = _("Cancelling…")
        self._on_cancel()


def time_left(seconds: float) -> str:
    """Return a remaining time as text, rounded to the precision of the estimate."""
    if seconds < 1:
        return _("almost done")
    return _("about {time} left").format(time=estimated_duration(seconds))

"""The buttons of a run; only those that make sense in its state are there."""

from __future__ import annotations

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from LEUDASegmentationLib.widgets.layout import column_in, new_button

_RESUMABLE = ("created", "stopped", "failed", "crashed")


class RunButtons:
    """Use this model, above a row of End now, Resume, Report and Export. Each argument is called on a click."""

    def __init__(
        self,
        *,
        kill: Callable[[], None],
        resume: Callable[[], None],
        use_model: Callable[[], None],
        report: Callable[[], None],
        export: Callable[[], None],
    ) -> None:
        self.widget = qt.QWidget()
        column = column_in(self.widget)
        self.use_model = new_button(column, "useModelButton", _("Use this model"), use_model)
        self.use_model.toolTip = _("Put the model into LEUDASegmentation and go there")
        font = self.use_model.font
        font.setBold(True)
        self.use_model.setFont(font)
        self.use_model.setMinimumHeight(32)
        self._row = qt.QHBoxLayout()
        column.addLayout(self._row)
        tip = _("The run has not stopped yet. End its process: what it did since the last checkpoint is lost")
        self.kill = self._add("killButton", _("End now"), kill, tip)
        self.kill.hide()
        self.resume = self._add("resumeButton", _("Resume"), resume, _("Go on from the last checkpoint"))
        tip = _("Write one page with curves, pictures and scores, and open it in the browser")
        self.report = self._add("reportButton", _("Report"), report, tip)
        self.export = self._add("exportButton", _("Export…"), export, _("Save the model as one zip file"))
        self._row.addStretch(1)

    def _add(self, name: str, text: str, on_clicked: Callable[[], None], tip: str) -> qt.QPushButton:
        button = new_button(self._row, name, text, on_clicked)
        button.toolTip = tip
        return button

    def show(self, state: str, *, busy: bool) -> None:
        """Show what can be done in a state (``""``: unknown); while ``busy`` nothing can be pressed."""
        finished = state == "finished"
        self.use_model.visible = self.export.visible = finished
        self.report.visible = finished or state in ("running", "stopped", "failed", "crashed")
        self.resume.visible = state in _RESUMABLE
        for button in (self.use_model, self.export, self.report, self.resume):
            button.enabled = not busy

    @property
    def kill_offered(self) -> bool:
        """Whether ending the run by force is offered."""
        return not self.kill.isHidden()

    def offer_kill(self, offered: bool) -> None:
        """Offer to end the run by force, or take the offer back."""
        self.kill.visible = offered

"""Learning curves of a run: one loss, its steps pale and their mean bold, or all losses of a phase at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from LEUDASegmentationLib.widgets.layout import column_in
from LEUDASegmentationLib.widgets.tables import empty_state
from LEUDATrainingLib.method.schema_form import readable
from LEUDATrainingLib.method.setting_fields import ChoiceBox
from LEUDATrainingLib.runs.curve_plot import Curve, CurvePlot
from LEUDATrainingLib.runs.loss_history import LossHistory, smooth

ALL = ""
_HEIGHT_PX = 260
_COLORS = ((0.12, 0.40, 0.75), (0.84, 0.37, 0.0), (0.0, 0.55, 0.40), (0.70, 0.25, 0.55), (0.45, 0.45, 0.45))
_FEW = 10  # points, below which a mean says nothing new


class LearningCurves(qt.QWidget):
    """A plot with a choice of phase and of loss. Follows the run's current phase until another one is chosen."""

    def __init__(self, parent: Any = None) -> None:
        qt.QWidget.__init__(self, parent)
        self._history = LossHistory()
        self._follows = True
        self._filling = False
        self._drawn_phase = ""
        self._build()
        self.clear()

    def _build(self) -> None:
        column = column_in(self)
        self._empty = empty_state("noCurvesLabel", _("The curves begin with the first ten training steps."))
        column.addWidget(self._empty)
        self._choices = qt.QWidget()
        row = qt.QHBoxLayout(self._choices)
        row.setContentsMargins(0, 0, 0, 0)
        self._phase = self._add_choice(row, _("Phase:"), "curvePhase", self._on_phase_chosen)
        self._loss = self._add_choice(row, _("Loss:"), "curveLoss", self._on_loss_chosen)
        column.addWidget(self._choices)
        self._view = slicer.qMRMLPlotWidget()
        self._view.setMinimumHeight(_HEIGHT_PX)
        self._view.setMaximumHeight(_HEIGHT_PX)
        self._view.plotController().hide()  # it would let one put another chart here
        column.addWidget(self._view)
        self._plot = CurvePlot(self._view)

    @staticmethod
    def _add_choice(row: Any, text: str, name: str, on_chosen: Any) -> Any:
        box = ChoiceBox()
        box.objectName = name
        label = qt.QLabel(text)
        label.setBuddy(box)
        row.addWidget(label)
        row.addWidget(box)
        box.connect("currentIndexChanged(int)", on_chosen)
        return box

    @property
    def chart_node(self) -> Any:
        """The vtkMRMLPlotChartNode that is shown, or None while there is nothing to show."""
        return self._plot.chart_node

    def clear(self) -> None:
        """Show nothing, for another run."""
        self._history = LossHistory()
        self._follows = True
        self._drawn_phase = ""
        self._refill(self._phase, [])
        self._refill(self._loss, [])
        self._plot.remove()
        self._show_empty(True)

    def add_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in further events of the run; ``draw`` shows them."""
        self._history.add(events)

    def draw(self) -> None:
        """Show what was taken in."""
        phases = self._history.phases()
        self._show_empty(not phases)
        if not phases:
            return
        chosen = phases[-1] if self._follows else self._chosen(self._phase)
        self._refill(self._phase, [(phase_title(phase), phase) for phase in phases], chosen)
        self._draw()

    def restore(self) -> None:
        """Draw again if the scene was closed, and the plot's nodes with it."""
        if self._drawn_phase and self.chart_node is None and not slicer.mrmlScene.IsBatchProcessing():
            self._draw()

    def cleanup(self) -> None:
        """Take the plot's nodes out of the scene."""
        self._plot.remove()

    def _on_phase_chosen(self, _index: int) -> None:
        if not self._filling:
            self._follows = self._chosen(self._phase) == self._history.phases()[-1]
            self._draw()

    def _on_loss_chosen(self, _index: int) -> None:
        if not self._filling:
            self._draw()

    def _draw(self) -> None:
        phase = self._chosen(self._phase)
        self._refill_losses(phase)
        loss = self._chosen(self._loss)
        curves = self._all_curves(phase) if loss == ALL else self._one_curve(phase, loss)
        what = _("all losses") if loss == ALL else _("{name} loss").format(name=readable(loss).lower())
        self._plot.show(
            curves,
            title=f"{phase_title(phase)}: {what}",
            x_title=_("Training step"),
            y_title=_("Loss"),
            x_range=self._history.span(phase),
        )

    def _one_curve(self, phase: str, loss: str) -> list[Curve]:
        steps, values = self._history.curve(phase, loss)
        if len(values) < _FEW:
            return [Curve(readable(loss), steps, values, _COLORS[0])]
        return [
            Curve(_("Single steps"), steps, values, _COLORS[0], width=1, opacity=0.35),
            Curve(_("Running mean"), steps, smooth(values), _COLORS[0], width=3),
        ]

    def _all_curves(self, phase: str) -> list[Curve]:
        curves = []
        for index, loss in enumerate(self._history.losses(phase)):
            steps, values = self._history.curve(phase, loss)
            curves.append(Curve(readable(loss), steps, smooth(values), _COLORS[index % len(_COLORS)]))
        return curves

    def _refill_losses(self, phase: str) -> None:
        """Offer the phase's losses, the main one first chosen; keep the choice while the phase stays."""
        losses = self._history.losses(phase)
        chosen = self._chosen(self._loss) if phase == self._drawn_phase else losses[0]
        self._drawn_phase = phase
        items = [(readable(loss), loss) for loss in losses]
        self._refill(self._loss, [*items, (_("All"), ALL)] if len(losses) > 1 else items, chosen)

    def _refill(self, box: Any, items: list[tuple[str, str]], chosen: str | None = None) -> None:
        """Put (text, value) into a combo box without calling back; leave it alone when nothing changed."""
        self._filling = True
        try:
            if [value for _text, value in items] != [box.itemData(index) for index in range(box.count)]:
                box.clear()
                for text, value in items:
                    box.addItem(text, value)
            if items:
                box.setCurrentIndex(max(0, box.findData(chosen)))
        finally:
            self._filling = False

    @staticmethod
    def _chosen(box: Any) -> str:
        return box.itemData(box.currentIndex)

    def _show_empty(self, empty: bool) -> None:
        self._empty.visible = empty
        self._choices.visible = not empty
        self._view.visible = not empty


def phase_title(phase: str) -> str:
    """Return a phase of training in words."""
    known = {
        "": _("Training"),
        "prepare": _("Reading volumes"),
        "translate": _("Image translation"),
        "train": _("Adaptation"),
    }
    return known.get(phase, readable(phase))

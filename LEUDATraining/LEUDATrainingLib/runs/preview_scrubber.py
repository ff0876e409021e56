"""The preview slice with the outlines of each checkpoint; a slider shows earlier checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from LEUDASegmentationLib.widgets.layout import column_in
from LEUDASegmentationLib.widgets.picture import Picture

HEIGHT_PX = 280


class PreviewScrubber(qt.QWidget):
    """A picture, a slider over the checkpoints, and a legend. Shows the newest checkpoint until the slider is moved."""

    def __init__(self, parent: Any = None) -> None:
        qt.QWidget.__init__(self, parent)
        self._files: dict[int, Path] = {}
        self._filling = False
        self._build()
        self.clear()

    def _build(self) -> None:
        column = column_in(self)
        self._picture = Picture(HEIGHT_PX)
        column.addWidget(self._picture)
        self._caption = qt.QLabel()
        self._caption.objectName = "previewCaption"
        self._caption.setAlignment(qt.Qt.AlignCenter)
        self._caption.setWordWrap(True)
        self._slider = qt.QSlider(qt.Qt.Horizontal)
        self._slider.objectName = "previewSlider"
        self._slider.toolTip = _("Earlier checkpoints to the left, the newest on the right")
        self._slider.connect("valueChanged(int)", lambda _value: self._show())
        column.addWidget(self._slider)
        column.addWidget(self._caption)
        self._legend = qt.QLabel()
        self._legend.objectName = "previewLegend"
        self._legend.setAlignment(qt.Qt.AlignCenter)
        self._legend.setWordWrap(True)
        column.addWidget(self._legend)

    @property
    def steps(self) -> list[int]:
        """The checkpoints that have a picture."""
        return sorted(self._files)

    @property
    def current_step(self) -> int | None:
        """The checkpoint that is shown."""
        return self.steps[self._slider.value] if self._files else None

    def clear(self) -> None:
        """Clear everything, before another run is shown."""
        self._files = {}
        self._legend.text = ""
        self._update()

    def set_labels(self, labels: Sequence[tuple[str, str]]) -> None:
        """Set the legend: (name, CSS colour) of each structure."""
        parts = [f"<span style='color:{color}'>■</span>&nbsp;{_escape(name)}" for name, color in labels]
        self._legend.text = "&nbsp;&nbsp; ".join(parts)
        self._update()

    def add_events(self, folder: Path, events: Iterable[Mapping[str, Any]]) -> None:
        """Add the previews among further events; ``folder`` contains their pictures."""
        new = {}
        for event in events:
            step, name = event.get("step"), event.get("file")
            if event["event"] == "preview" and isinstance(step, int) and isinstance(name, str):
                new[step] = folder / Path(name).name  # never a file outside of that folder
        if new:
            self._files |= new
            self._update()

    def _update(self) -> None:
        """Extend the slider; if it was at the newest picture, move it to the new one."""
        at_end = self._slider.value == self._slider.maximum
        self._filling = True
        self._slider.setRange(0, max(0, len(self._files) - 1))
        if at_end:
            self._slider.setValue(self._slider.maximum)
        self._filling = False
        self._slider.visible = len(self._files) > 1
        self._legend.visible = bool(self._files and self._legend.text)
        self._show()

    def _show(self) -> None:
        if self._filling:
            return
        step = self.current_step
        if step is None:
            self._picture.hide()
            self._caption.text = _("The first picture appears with the first checkpoint of the adaptation phase.")
            return
        shown = self._picture.load(self._files[step])
        self._picture.visible = shown
        last = _(" (newest)") if step == self.steps[-1] else ""
        text = (
            _("Middle slice of the first target volume at step {step}{last}")
            if shown
            else _("The picture of step {step} has been deleted{last}")
        )
        self._caption.text = text.format(step=step, last=last)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")

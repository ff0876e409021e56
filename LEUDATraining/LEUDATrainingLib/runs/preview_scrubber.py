"""The pinned target slice as the model outlined it at each checkpoint; a slider goes back in time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from LEUDASegmentationLib.widgets.layout import column_in

HEIGHT_PX = 280


class PreviewScrubber(qt.QWidget):
    """A picture, a slider over the checkpoints, and what the colours mean. Shows the newest until scrubbed back."""

    def __init__(self, parent: Any = None) -> None:
        qt.QWidget.__init__(self, parent)
        self._files: dict[int, Path] = {}
        self._filling = False
        self._build()
        self.clear()

    def _build(self) -> None:
        column = column_in(self)
        self._picture = Picture()
        column.addWidget(self._picture)
        self._caption = qt.QLabel()
        self._caption.objectName = "previewCaption"
        self._caption.setAlignment(qt.Qt.AlignCenter)
        self._caption.setWordWrap(True)
        self._slider = qt.QSlider(qt.Qt.Horizontal)
        self._slider.objectName = "previewSlider"
        self._slider.toolTip = _("Earlier checkpoints to the left, the newest at the right")
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
        """Show nothing, for another run."""
        self._files = {}
        self._legend.text = ""
        self._update()

    def set_labels(self, labels: Sequence[tuple[str, str]]) -> None:
        """Tell what the outlines mean: (name, CSS colour) of each structure."""
        parts = [f"<span style='color:{color}'>■</span>&nbsp;{_escape(name)}" for name, color in labels]
        self._legend.text = "&nbsp;&nbsp; ".join(parts)
        self._update()

    def add_events(self, folder: Path, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in the previews among further events; ``folder`` holds their pictures."""
        new = {}
        for event in events:
            step, name = event.get("step"), event.get("file")
            if event["event"] == "preview" and isinstance(step, int) and isinstance(name, str):
                new[step] = folder / Path(name).name  # whatever an event says, only from that folder
        if new:
            self._files |= new
            self._update()

    def _update(self) -> None:
        """Make room for new pictures; who looks at the newest goes on to the newest."""
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
            self._caption.text = _("The first picture comes with the first checkpoint of the adaptation phase.")
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


class Picture(qt.QLabel):
    """A picture as large as the panel's width and ``HEIGHT_PX`` allow, in its proportions."""

    def __init__(self, parent: Any = None) -> None:
        qt.QLabel.__init__(self, parent)
        self._full = qt.QPixmap()
        self.setAlignment(qt.Qt.AlignCenter)
        self.setMinimumSize(1, HEIGHT_PX)  # else a picture could never become narrower again
        self.setMaximumHeight(HEIGHT_PX)

    def load(self, path: Path) -> bool:
        """Show a file. Return whether it could be read."""
        self._full = qt.QPixmap(str(path))
        self._fit()
        return not self._full.isNull()

    def resizeEvent(self, _event: Any) -> None:
        self._fit()

    def _fit(self) -> None:
        if self._full.isNull():
            self.clear()
            return
        size = qt.QSize(self.width, HEIGHT_PX)
        self.setPixmap(self._full.scaled(size, qt.Qt.KeepAspectRatio, qt.Qt.SmoothTransformation))


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")

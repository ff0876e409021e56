"""A picture from a file, as large as its place allows. Shared by both modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt


class Picture(qt.QLabel):
    """A picture, scaled without distortion to a fixed height, or less where the panel is narrow."""

    def __init__(self, height_px: int, parent: Any = None) -> None:
        qt.QLabel.__init__(self, parent)
        self._full, self._height_px = qt.QPixmap(), height_px
        self.setAlignment(qt.Qt.AlignCenter)
        self.setMinimumSize(1, height_px)  # otherwise the panel could not become narrower
        self.setMaximumHeight(height_px)

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
        size = qt.QSize(self.width, self._height_px)
        self.setPixmap(self._full.scaled(size, qt.Qt.KeepAspectRatio, qt.Qt.SmoothTransformation))

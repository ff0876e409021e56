"""The output of the child processes, as details of a message. Shared by both modules."""

from __future__ import annotations

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from LEUDASegmentationLib.widgets.tables import line_height

_FLUSH_MS = 100
_MOST_LINES = 5000
_SHOWN_LINES = 9


class LogPanel:
    """A collapsed section with the last lines and a button that copies them.

    Lines are collected and shown ten times per second, so that much output does not block the window.
    """

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self.widget = ctk.ctkCollapsibleButton()
        self.widget.objectName = "logSection"
        self.widget.text = _("Log")
        self.widget.collapsed = True
        layout = qt.QVBoxLayout(self.widget)
        self._lines = self._new_view()
        layout.addWidget(self._lines)
        self.copy_button = qt.QPushButton(_("Copy log"))
        self.copy_button.objectName = "copyLogButton"
        self.copy_button.connect("clicked()", self.copy)
        layout.addWidget(self.copy_button, 0, qt.Qt.AlignRight)
        self._timer = qt.QTimer(self.widget)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_FLUSH_MS)
        self._timer.connect("timeout()", self.flush)
        self._update_button()

    @property
    def text(self) -> str:
        """All stored lines."""
        self.flush()
        return self._lines.plainText

    def append(self, line: str) -> None:
        """Add a line."""
        self._waiting.append(line.rstrip("\n"))
        del self._waiting[:-_MOST_LINES]
        if not self._timer.active:
            self._timer.start()

    def flush(self) -> None:
        """Show the collected lines."""
        if self._waiting:
            lines, self._waiting = self._waiting, []
            self._lines.appendPlainText("\n".join(lines))
            self._update_button()

    def clear(self) -> None:
        """Remove all lines."""
        self._waiting = []
        self._lines.clear()
        self._update_button()

    def copy(self) -> None:
        """Copy all lines to the clipboard."""
        slicer.app.clipboard().setText(self.text)

    def _update_button(self) -> None:
        self.copy_button.enabled = bool(self._lines.plainText)

    @staticmethod
    def _new_view():
        view = qt.QPlainTextEdit()
        view.objectName = "logText"
        view.readOnly = True
        view.setMaximumBlockCount(_MOST_LINES)
        view.setLineWrapMode(qt.QPlainTextEdit.WidgetWidth)
        view.setFont(qt.QFontDatabase.systemFont(qt.QFontDatabase.FixedFont))
        view.setPlaceholderText(_("Nothing yet: the output of the program appears here."))
        view.setFixedHeight(_SHOWN_LINES * line_height(view))
        return view

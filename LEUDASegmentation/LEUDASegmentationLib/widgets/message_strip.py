"""Messages in the panel: what happened and what to do about it. Shared by both modules."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

import qt
from slicer.i18n import tr as _

_TINTS = {"error": "200, 40, 40", "warning": "215, 145, 0", "info": "50, 120, 200"}
_ICONS = {
    "error": qt.QStyle.SP_MessageBoxCritical,
    "warning": qt.QStyle.SP_MessageBoxWarning,
    "info": qt.QStyle.SP_MessageBoxInformation,
}
_ICON_PIXELS = 20


class MessageStrip:
    """A framed line with an icon, the cause in bold, and the remedy; hidden while there is no message.

    Args:
        action: text of a button, such as "Install…"; without it, there is no button.
        on_action: called when this button is pressed.
        closable: whether the user can dismiss the message.
    """

    def __init__(self, *, action: str = "", on_action: Callable[[], None] | None = None, closable: bool = True) -> None:
        self.kind = ""
        self.cause = ""
        self.remedy = ""
        self.widget = qt.QFrame()
        self.widget.objectName = "messageStrip"
        layout = qt.QHBoxLayout(self.widget)
        layout.setContentsMargins(8, 6, 6, 6)
        self._icon = self._add_icon(layout)
        self._text = self._add_text(layout)
        self.action_button = self._add_action(layout, action, on_action) if action else None
        self.close_button = self._add_close(layout) if closable else None
        self.clear()

    def show_error(self, error: BaseException) -> None:
        """Show an error; a ``LeudaError`` has a remedy, any other exception is an internal error."""
        cause = getattr(error, "message", "") or f"{type(error).__name__}: {error}"
        remedy = getattr(error, "remedy", "")
        if not hasattr(error, "remedy"):
            remedy = _("This is an error in the module: copy the log and report it.")
        self._show("error", cause, remedy)

    def show_warning(self, cause: str, remedy: str = "") -> None:
        """Show that something went differently than expected, or is still missing."""
        self._show("warning", cause, remedy)

    def show_warnings(self, warnings: Sequence[tuple[str, str]]) -> None:
        """Show any number of warnings, each a cause and its remedy, as one message; none removes the message."""
        if len(warnings) < 2:
            self.clear()
        if len(warnings) == 1:
            self.show_warning(*warnings[0])
        elif warnings:
            listed = [f"({number}) {cause}; {remedy}." for number, (cause, remedy) in enumerate(warnings, start=1)]
            self.show_warning(_("{count} warnings").format(count=len(warnings)), " ".join(listed))

    def show_info(self, cause: str, remedy: str = "") -> None:
        """Show that something was done."""
        self._show("info", cause, remedy)

    def clear(self) -> None:
        """Remove the message."""
        self.kind = self.cause = self.remedy = ""
        self.widget.hide()

    def _show(self, kind: str, cause: str, remedy: str) -> None:
        self.kind, self.cause, self.remedy = kind, sentence(cause), sentence(remedy)
        tint = _TINTS[kind]
        frame = f"border: 1px solid rgba({tint}, 150); border-radius: 3px; background: rgba({tint}, 30);"
        self.widget.styleSheet = f"#messageStrip {{ {frame} }}"  # the name excludes the strip's own children
        icon = self.widget.style().standardIcon(_ICONS[kind])
        self._icon.setPixmap(icon.pixmap(_ICON_PIXELS, _ICON_PIXELS))
        self._text.text = f"<b>{html.escape(self.cause)}</b> {html.escape(self.remedy)}"
        self.widget.show()

    @staticmethod
    def _add_icon(layout):
        icon = qt.QLabel()
        icon.setFixedSize(_ICON_PIXELS, _ICON_PIXELS)
        layout.addWidget(icon, 0, qt.Qt.AlignTop)
        return icon

    @staticmethod
    def _add_text(layout):
        text = qt.QLabel()
        text.objectName = "messageText"
        text.wordWrap = True
        text.setTextFormat(qt.Qt.RichText)
        text.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
        text.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)  # wraps, and never widens the panel
        layout.addWidget(text, 1)
        return text

    @staticmethod
    def _add_action(layout, text: str, on_action):
        button = qt.QPushButton(text)
        button.objectName = "messageAction"
        button.connect("clicked()", on_action)
        layout.addWidget(button, 0, qt.Qt.AlignVCenter)
        return button

    def _add_close(self, layout):
        button = qt.QToolButton()
        button.objectName = "messageClose"
        button.autoRaise = True
        button.setIcon(button.style().standardIcon(qt.QStyle.SP_TitleBarCloseButton))
        button.toolTip = _("Dismiss")
        button.connect("clicked()", self.clear)
        layout.addWidget(button, 0, qt.Qt.AlignTop)
        return button


def sentence(text: str) -> str:
    """Return a text as a sentence: error messages start with a lower-case letter and have no full stop.

    A first word that is no word, such as the name of a file, is left as it is.
    """
    text = " ".join(str(text).split())
    if not text:
        return ""
    first = text.split(" ", 1)[0].rstrip(",;:")
    return (text[0].upper() if first.isalpha() else text[0]) + text[1:] + ("" if text[-1] in ".!?…" else ".")

"""What tests see and do in the window of LEUDATraining and in that of a run."""

from __future__ import annotations

import html

from shown_widgets import child

REFRESH_S = 2.0


def texts(table) -> list[list[str]]:
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]


def settle(slicer_app, widget) -> None:
    """Wait until what was done is shown."""
    slicer_app.processEvents()
    slicer_app.wait_until(lambda: not widget._refreshTimer.active, REFRESH_S)
    slicer_app.processEvents()


def open_section(slicer_app, section) -> None:
    section.collapsed = False
    slicer_app.processEvents()


def seen(widget) -> set[str]:
    """The buttons that a user can see."""
    names = ("useModelButton", "stopButton", "killButton", "resumeButton", "reportButton", "exportButton")
    return {name.removesuffix("Button") for name in names if child(widget, name).isVisible()}


def said(widget) -> str:
    label = child(widget, "messageText")
    return html.unescape(label.text) if label.isVisible() else ""


def poll(widget) -> None:
    widget._watcher.poll()

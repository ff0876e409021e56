"""Small parts that the panels of both modules are built of."""

from __future__ import annotations

from collections.abc import Callable

import qt


def column_in(widget):
    """Return a column without margins for the content of a widget."""
    layout = qt.QVBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    return layout


def new_button(layout, name: str, text: str, on_click: Callable[[], None] | None = None):
    """Add a ``QPushButton`` to a layout and return it; one without ``on_click`` is given a menu later."""
    button = qt.QPushButton(text)
    button.objectName = name
    if on_click is not None:
        button.connect("clicked()", on_click)
    layout.addWidget(button)
    return button

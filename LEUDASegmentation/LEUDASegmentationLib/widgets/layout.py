"""Small layout helpers for the panels of both modules."""

from __future__ import annotations

from collections.abc import Callable

import qt


def column_in(widget):
    """Give a widget a vertical layout without margins and return the layout."""
    layout = qt.QVBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    return layout


def new_button(layout, name: str, text: str, on_click: Callable[[], None] | None = None):
    """Add a ``QPushButton`` to a layout and return it; leave out ``on_click`` for a button with a menu."""
    button = qt.QPushButton(text)
    button.objectName = name
    if on_click is not None:
        button.connect("clicked()", on_click)
    layout.addWidget(button)
    return button

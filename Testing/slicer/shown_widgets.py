"""Widgets of LEUDATraining, each in a window of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WIDTH = 420  # about that of Slicer's panel, pixels


@contextmanager
def shown(widget: Any, height: int) -> Iterator[Any]:
    """Show a widget, and take it down as the panel does that it belongs to."""
    widget.resize(WIDTH, height)
    widget.show()
    yield widget
    if hasattr(widget, "cleanup"):
        widget.cleanup()
    widget.close()


def child(widget: Any, name: str) -> Any:
    """Return the child of that name, of several the one that can be seen."""
    import slicer

    found = slicer.util.findChildren(widget, name=name)
    assert found, f"there is no {name}"
    return next((one for one in found if one.isVisible()), found[0])

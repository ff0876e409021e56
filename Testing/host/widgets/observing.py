"""VTK observers for widgets: they outlive the C++ side of a widget, so each looks whether it is still there."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import shiboken6

LAST = -10.0  # priority: nodes have brought themselves in order by then
_all: weakref.WeakSet = weakref.WeakSet()


class Observers:
    """The observations one widget has of VTK objects. Silent as soon as the widget is gone."""

    def __init__(self, owner: Any):
        self._owner = owner
        self._tags: list[tuple[Any, int]] = []
        _all.add(self)

    def add(self, observed: Any, events: Iterable[int], callback: Callable[[Any], None]) -> None:
        """Call ``callback(observed)`` at each of the events."""
        for event in events:
            tag = observed.AddObserver(event, lambda *_: self._call(callback, observed), LAST)
            self._tags.append((observed, tag))

    def clear(self) -> None:
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._tags = []

    def _call(self, callback: Callable[[Any], None], observed: Any) -> None:
        if shiboken6.isValid(self._owner):
            callback(observed)


def forget() -> None:
    """End every observation: nodes that are freed while their observers are, too, would call what is half gone."""
    for observers in list(_all):
        observers.clear()

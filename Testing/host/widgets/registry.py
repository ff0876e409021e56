"""What stands in for Slicer's C++ classes, by the library Slicer has them in ("ctk" or "slicer")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from PySide6.QtCore import Property
from PySide6.QtWidgets import QWidget

classes: dict[str, dict[str, type]] = {"ctk": {}, "slicer": {}}

C = TypeVar("C", bound=type)


def stands_in(library: str) -> Callable[[C], C]:
    """Register a class as the stand-in of the C++ class of the same name; its objects refuse new attributes."""

    def mark(cls: C) -> C:
        cls._standsIn = True
        add_setters(cls)
        classes[library][cls.__name__] = cls
        return cls

    return mark


def parent_among(arguments: tuple[object, ...]) -> QWidget | None:
    """Return the parent in what a widget is made with, such as a title and its parent."""
    return next((one for one in arguments if isinstance(one, QWidget)), None)


def stored(kind: type | str, name: str, default: Any) -> Property:
    """A Qt property that is only kept: nothing of the stand-in depends on it. Set in code, in a .ui file, or both."""
    key = f"_stored_{name}"
    return Property(
        kind, lambda self: self.__dict__.get(key, default), lambda self, value: self.__dict__.update({key: value})
    )


def add_setters(cls: type) -> None:
    """Give each property of a stand-in the setter Qt has beside it, ``setX``, where the class does not define it."""
    for name, member in list(vars(cls).items()):
        setter = f"set{name[0].upper()}{name[1:]}"
        if isinstance(member, Property) and member.fset is not None and not hasattr(cls, setter):
            setattr(cls, setter, member.fset)


def find(name: str) -> type | None:
    """Return the stand-in of that name."""
    return classes["ctk"].get(name) or classes["slicer"].get(name)

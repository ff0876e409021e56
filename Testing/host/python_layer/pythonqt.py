"""PythonQt's way of speaking to Qt, laid over PySide6.

Slicer's Python talks to Qt through PythonQt: Qt properties are plain attributes (``label.text``), all other members
methods, ``widget.connect("clicked(bool)", f)`` connects by signature, callbacks get only as many arguments as they
take, and objects of C++ classes refuse new attributes. `install` gives the PySide6 classes these rules, once a process.
Where PythonQt only warns (an unknown signal), an exception is raised here: such a mistake must fail a test.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import QObject, SignalInstance

from host.python_layer import signals

LIBRARIES: tuple[ModuleType, ...] = (QtCore, QtGui, QtWidgets)
GETTER_PREFIXES = ("", "is", "has")
SETTERS = {"size": "resize", "pos": "move"}
MISSING = object()

plain_set_attribute = QObject.__mro__[1].__setattr__  # QObject's own refuses to be called from an override


class PropertyOverlay:
    """A Qt property as a data descriptor; asked of the class it is what the class had under that name before."""

    def __init__(self, name: str, original: Any, read: Callable[[Any], Any], write: Callable | None):
        self.name, self.original, self.read, self.write = name, original, read, write

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is not None:
            return self.read(instance)
        return self if self.original is MISSING else self.original.__get__(None, owner)

    def __set__(self, instance: Any, value: Any) -> None:
        if self.write is None:
            raise AttributeError(f"Property '{self.name}' of {type(instance).__name__} object is not writable")
        self.write(instance, value)


def install() -> None:
    """Lay the rules over every class of Qt. Calling it again does nothing."""
    if isinstance(QObject.__dict__.get("objectName"), PropertyOverlay):
        return
    _keep_none_alive()
    classes = list(_qt_classes())
    for cls in classes:
        for name, overlay in list(_overlays(cls)):
            setattr(cls, name, overlay)
    for cls in classes:
        if "__getattribute__" in cls.__dict__:  # some classes bring their own, the others inherit QObject's
            cls.__getattribute__ = _getter(cls.__dict__["__getattribute__"])
        cls.__setattr__ = _set  # on each: types of C++ do not see that QObject's has changed


def _keep_none_alive() -> None:
    """PySide6 6.12 takes one reference of None too many at each call of a void method.

    Python before 3.12 counts them, and ends the process when none is left.
    """
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value = 1 << 40


def is_cpp_class(cls: type) -> bool:
    """Return whether objects of exactly this class are what Slicer would make in C++."""
    return cls.__module__.startswith("PySide6") or "_standsIn" in cls.__dict__


def _qt_classes() -> Iterator[type]:
    for library in LIBRARIES:
        for name in dir(library):  # the classes are made when asked for: vars() would show few
            value = getattr(library, name)
            if isinstance(value, type) and issubclass(value, QObject):
                yield value


def _overlays(cls: type) -> Iterator[tuple[str, PropertyOverlay]]:
    meta = cls.staticMetaObject
    for index in range(meta.propertyCount()):
        prop = meta.property(index)
        name = prop.name()
        if index >= meta.propertyOffset() or name in cls.__dict__:  # its own, or an inherited one with its own getter
            yield name, PropertyOverlay(name, _original(cls, name), _reader(cls, prop), _writer(cls, prop))


def _original(cls: type, name: str) -> Any:
    for base in cls.__mro__:
        if name in base.__dict__:
            found = base.__dict__[name]
            return found.original if isinstance(found, PropertyOverlay) else found
    return MISSING


def _reader(cls: type, prop: QtCore.QMetaProperty) -> Callable[[Any], Any]:
    name = prop.name()
    for prefix in GETTER_PREFIXES:
        getter = _original(cls, prefix + name[0].upper() + name[1:] if prefix else name)
        if getter is not MISSING and callable(getter) and not isinstance(getter, (staticmethod, type)):
            return getter
    return lambda self: QObject.property(self, name)


def _writer(cls: type, prop: QtCore.QMetaProperty) -> Callable[[Any, Any], Any] | None:
    name = prop.name()
    if not prop.isWritable():
        return None
    setter = _original(cls, SETTERS.get(name, f"set{name[0].upper()}{name[1:]}"))
    if setter is not MISSING and callable(setter):
        return setter
    return lambda self, value: QObject.setProperty(self, name, value)


def _getter(get_attribute: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def get(self: Any, name: str) -> Any:
        try:
            value = get_attribute(self, name)
        except AttributeError:
            return _fallback(self, name)
        if name in ("connect", "disconnect"):
            return partial(_connect_or_disconnect, self, name, value)
        return signals.BoundSignal(self, name, value) if isinstance(value, SignalInstance) else value

    return get


def _connect_or_disconnect(self: Any, name: str, original: Callable, *arguments: Any) -> Any:
    if arguments and isinstance(arguments[0], str):
        return getattr(signals, name)(self, *arguments)
    return original(*arguments)  # PySide6 itself, as in QTimer.singleShot


def _fallback(self: Any, name: str) -> Any:
    """What PythonQt finds when the class has no such member: extra methods, dynamic properties, named children."""
    if name in EXTRAS:
        return EXTRAS[name](self)
    if name.startswith("__"):
        raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")
    if name.endswith("_"):  # exec_ finds exec
        return getattr(self, name[:-1])
    if shiboken6.isValid(self):
        value = QObject.property(self, name)
        if value is not None:
            return value
        for child in QObject.children(self):
            if QObject.objectName(child) == name:
                return child
    raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")


EXTRAS: dict[str, Callable[[Any], Any]] = {
    "name": lambda self: QObject.objectName(self),
    "className": lambda self: lambda: type(self).__name__,
    "delete": lambda self: lambda: shiboken6.delete(self),
}


def _set(self: Any, name: str, value: Any) -> None:
    found = getattr(type(self), name, MISSING) if not name.startswith("_") else MISSING
    if _is_member(type(self), name) or name.startswith("_") or isinstance(value, SignalInstance):  # PySide6 keeps these
        _set_plain(self, name, value)
    elif name == "name":
        QObject.setObjectName(self, value)
    elif found is not MISSING and _is_inherited_from_cpp(type(self), name):
        raise AttributeError(f"Slot '{name}' can not be overwritten on {type(self).__name__} object")
    elif QObject.dynamicPropertyNames(self) and QObject.property(self, name) is not None:
        QObject.setProperty(self, name, value)
    elif isinstance(value, QObject) and QObject.objectName(value) == name:
        return  # the loader of .ui files offers named children, which are found by name anyway
    elif is_cpp_class(type(self)):
        kind = type(self).__name__
        raise AttributeError(f"'{name}' does not exist on {kind}; C++ objects take no new attributes")
    else:
        _set_plain(self, name, value)


def _set_plain(self: Any, name: str, value: Any) -> None:
    prop = next((base.__dict__[name] for base in type(self).__mro__ if name in base.__dict__), None)
    if not isinstance(prop, QtCore.Property):
        plain_set_attribute(self, name, value)
    elif prop.fset is None:
        raise AttributeError(f"Property '{name}' of {type(self).__name__} object is not writable")
    else:
        prop.fset(self, value)


def _is_member(cls: type, name: str) -> bool:
    """Return whether the class has a data descriptor of that name: a Qt property or a Python one."""
    found = [base.__dict__[name] for base in cls.__mro__ if name in base.__dict__]
    return any(isinstance(member, QtCore.Property) or hasattr(type(member), "__set__") for member in found)


def _is_inherited_from_cpp(cls: type, name: str) -> bool:
    owner = next(base for base in cls.__mro__ if name in base.__dict__)
    return is_cpp_class(owner) or isinstance(getattr(owner, name), QtCore.Signal)


def argument_limit(callback: Callable) -> int | None:
    """Return how many arguments PythonQt passes at most; None for as many as the signal has.

    Only plain functions and methods are asked. Arguments with defaults count: ``lambda name=x: …`` gets the signal's.
    """
    is_method = isinstance(callback, MethodType)
    function = callback.__func__ if is_method else callback
    if not isinstance(function, FunctionType) or function.__code__.co_flags & 0x04:
        return None
    return function.__code__.co_argcount - is_method


def report(error: BaseException) -> None:
    """Show an exception of a callback as Slicer does, on the console; the event loop goes on."""
    sys.excepthook(type(error), error, error.__traceback__)

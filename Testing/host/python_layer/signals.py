"""Connections as PythonQt makes them: by signature or by attribute, to any callable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6.QtCore import SIGNAL, QMetaObject, QObject, SignalInstance

_open: dict[int, list[tuple[str, Callable, Callable]]] = {}


class BoundSignal:
    """A signal of one object: ``button.clicked.connect(f)``, ``.disconnect(f)``, ``.emit(…)`` or a plain call."""

    def __init__(self, sender: QObject, name: str, instance: SignalInstance):
        self._sender, self._name, self._instance = sender, name, instance

    def connect(self, callback: Callable) -> bool:
        return connect(self._sender, self._signature(), callback)

    def disconnect(self, callback: Callable | None = None) -> bool:
        return disconnect(self._sender, self._signature(), callback)

    def emit(self, *arguments: Any) -> None:
        self._instance.emit(*arguments)

    __call__ = emit

    def _signature(self) -> str:
        """Return the overload with the most arguments, of which a callback takes what it can."""
        meta = self._sender.metaObject()
        found = [meta.method(i).methodSignature().data().decode() for i in range(meta.methodCount())]
        return max((s for s in found if s.split("(")[0] == self._name), key=lambda s: (s.count(","), len(s)))


def connect(sender: QObject, signature: str, receiver: Any, slot: str | None = None) -> bool:
    """Connect a signal, "toggled(bool)", to a callable, or to a slot of another object given by its signature.

    Raises:
        ValueError: the sender has no such signal (PythonQt prints a warning and returns False).
    """
    actual, count = _resolve(sender, signature)
    callback = getattr(receiver, slot.split("(")[0]) if slot else receiver
    if not callable(callback):
        raise TypeError(f"{signature} of {type(sender).__name__} can be connected to callables only, not {callback!r}")
    forward = _forward(callback, count)
    address = shiboken6.getCppPointer(sender)[0]
    if address not in _open:
        _open[address] = []
        QObject.connect(sender, SIGNAL("destroyed(QObject*)"), lambda *_: _open.pop(address, None))
    _open[address].append((actual, callback, forward))
    QObject.connect(sender, SIGNAL(actual), forward)
    return True


def disconnect(sender: QObject, signature: str, receiver: Any = None, slot: str | None = None) -> bool:
    """Undo what `connect` did; without a receiver all of the signal's connections. Returns whether there were any."""
    actual, _ = _resolve(sender, signature)
    callback = getattr(receiver, slot.split("(")[0]) if slot else receiver
    known = _open.get(shiboken6.getCppPointer(sender)[0], [])
    found = [entry for entry in known if entry[0] == actual and (callback is None or entry[1] == callback)]
    for entry in found:
        known.remove(entry)
        QObject.disconnect(sender, SIGNAL(actual), entry[2])
    return bool(found)


def callbacks(sender: QObject, signature: str) -> list[Callable]:
    """Return what is connected to a signal."""
    known = _open.get(shiboken6.getCppPointer(sender)[0], [])
    return [callback for actual, callback, _ in known if actual == signature]


def _resolve(sender: QObject, signature: str) -> tuple[str, int]:
    """Return the signature Qt knows the signal by and how many arguments to pass on."""
    normalized = QMetaObject.normalizedSignature(signature)
    wanted = normalized if isinstance(normalized, str) else bytes(normalized).decode()
    count = _argument_count(wanted)
    meta = sender.metaObject()
    if meta.indexOfSignal(wanted) >= 0:
        return wanted, count
    for cls in type(sender).__mro__:
        actual = cls.__dict__.get("_signatures", {}).get(wanted)
        if actual:
            return actual, count
    raise ValueError(f"{type(sender).__name__} has no signal '{signature}'; compare its documentation")


def _argument_count(signature: str) -> int:
    arguments = signature.partition("(")[2].rstrip(")")
    return arguments.count(",") + 1 if arguments else 0


def _forward(callback: Callable, count: int) -> Callable:
    from host.python_layer.pythonqt import argument_limit, report

    limit = argument_limit(callback)
    taken = count if limit is None else min(count, limit)

    def forward(*arguments: Any) -> None:
        try:
            callback(*arguments[:taken])
        except Exception as error:
            report(error)

    return forward

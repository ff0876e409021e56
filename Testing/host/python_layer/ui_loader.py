"""Loading .ui files with the stand-ins in the places of Slicer's widgets."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from PySide6 import QtUiTools
from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QObject
from PySide6.QtWidgets import QWidget

from host.python_layer import signals
from host.widgets import registry

_kept: list[QWidget] = []  # the loader owns what createWidget returns without telling Python


class UiLoader(QtUiTools.QUiLoader):
    """QUiLoader that knows Slicer's widgets.

    Python classes cannot be told to Qt as custom widgets with slots, so ``<customwidgets>`` and ``<connections>`` are
    taken out before Qt reads the file; the connections are made here.
    """

    def createWidget(self, className: str, parent: QWidget | None = None, name: str = "") -> QWidget:
        cls = registry.find(className)
        if cls is None:
            return super().createWidget(className, parent, name)
        widget = cls(parent)
        widget.setObjectName(name)
        _kept.append(widget)
        return widget

    def load(self, device: QIODevice, parent: QWidget | None = None) -> QWidget:
        root = ET.fromstring(device.readAll().data())
        self._check(root)
        connections, enums = root.find("connections"), _take_enums(root)
        for part in ("customwidgets", "connections"):
            for element in root.findall(part):
                root.remove(element)
        buffer = QBuffer()
        buffer.setData(QByteArray(ET.tostring(root)))
        buffer.open(QIODevice.OpenModeFlag.ReadOnly)
        widget = super().load(buffer, parent)
        for name, key, words in enums:
            setattr(_child(widget, name), key, _value(registry.find(type(_child(widget, name)).__name__), words))
        for connection in connections if connections is not None else ():
            _connect(widget, connection)
        return widget

    def _check(self, root: ET.Element) -> None:
        """Raise here for what is not known: an exception out of `createWidget` would be lost in C++."""
        used = {element.get("class", "") for element in root.iter("widget")}
        unknown = sorted(name for name in used if not registry.find(name) and name not in self.availableWidgets())
        if unknown:
            raise ValueError(f"no {', '.join(unknown)} in the test host: add stand-ins to Testing/host")


def forget() -> None:
    """Drop the widgets of loaded files."""
    _kept.clear()


def _take_enums(root: ET.Element) -> list[tuple[str, str, str]]:
    """Take the enum and flag properties of stand-ins out of the file: Qt cannot read those of Python classes."""
    taken = []
    for widget in root.iter("widget"):
        cls = registry.find(widget.get("class", ""))
        for element in widget.findall("property") if cls else ():
            value = element.find("set") if element.find("set") is not None else element.find("enum")
            if value is not None and isinstance(vars(cls).get(element.get("name")), registry.Property):
                widget.remove(element)
                taken.append((widget.get("name", ""), element.get("name", ""), value.text or ""))
    return taken


def _value(cls: type, words: str) -> int:
    """Return "ctkPathLineEdit::Dirs|ctkPathLineEdit::Drives" as a number; flags a stand-in lacks count as none."""
    result = 0
    for word in words.split("|"):
        result |= int(getattr(cls, word.rpartition("::")[2], 0))
    return result


def _child(widget: QWidget, name: str) -> Any:
    if QObject.objectName(widget) == name:
        return widget
    found = widget.findChild(QObject, name)
    if found is None:
        raise ValueError(f"the .ui file connects '{name}', which is not in it")
    return found


def _connect(widget: QWidget, connection: ET.Element) -> None:
    sender, signal, receiver, slot = (connection.findtext(k, "") for k in ("sender", "signal", "receiver", "slot"))
    signals.connect(_child(widget, sender), signal, _child(widget, receiver), slot)

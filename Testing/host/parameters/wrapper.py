"""``@parameterNodeWrapper``: a class whose annotated members live in a scripted module node and in widgets."""

from __future__ import annotations

from typing import Any

import vtk
from PySide6.QtWidgets import QWidget

from host.parameters.annotations import Default
from host.parameters.connectors import GuiConnector, createGuiConnector
from host.parameters.containers import modifying
from host.parameters.packs import Member, member_type, members_of

PROPERTY = "SlicerParameterName"


def parameterNodeWrapper(cls: type | None = None) -> Any:
    """Class decorator, with or without parentheses."""
    return _make(cls) if cls is not None else _make


def isParameterNodeWrapper(obj: Any) -> bool:
    return getattr(obj, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget: QWidget, parameter: str) -> QWidget | None:
    """Return the child that shows a parameter."""
    return next((child for child in widget.findChildren(QWidget) if child.property(PROPERTY) == parameter), None)


def _make(cls: type) -> type:
    members = members_of(cls)
    for name, member in members.items():
        setattr(cls, name, _property(name, member))
    methods = {name: value for name, value in vars(Methods).items() if not name.startswith("__")}
    taken = [name for name in (*methods, "allParameters") if hasattr(cls, name)]
    if taken:
        raise ValueError(f"'{taken[0]}' is reserved and can be no member of a parameterNodeWrapper")
    cls.allParameters, cls._is_parameter_node_wrapper, cls.__init__ = members, True, _init
    for name, method in methods.items():
        setattr(cls, name, method)
    return cls


def _property(name: str, member: Member) -> property:
    def read(self: Any) -> Any:
        _write_default(self, name, member)
        return member.serializer.read(self.parameterNode, self._prefix + name)

    return property(read, lambda self, value: member.serializer.write(self.parameterNode, self._prefix + name, value))


def _write_default(self: Any, name: str, member: Member) -> None:
    if not member.serializer.isIn(self.parameterNode, self._prefix + name):
        member.serializer.write(self.parameterNode, self._prefix + name, member.default.value)


def _init(self: Any, parameterNode: Any, prefix: str | None = None) -> None:
    if parameterNode is None:
        raise ValueError("a parameterNodeWrapper needs a parameter node")
    self.parameterNode, self._prefix = parameterNode, prefix or ""
    self._guis, self._tags, self._nextTag, self._updating = {}, {}, 0, False
    for name, member in self.allParameters.items():
        _write_default(self, name, member)


class Methods:
    """What the decorator adds to a class."""

    def default(self, name: str) -> Default:
        member_type(type(self), name)
        return self.allParameters[name].default

    @classmethod
    def dataType(cls, name: str) -> Any:
        return member_type(cls, name)

    def getValue(self, name: str) -> Any:
        member_type(type(self), name)
        top, _, rest = name.partition(".")
        return getattr(self, top).getValue(rest) if rest else getattr(self, top)

    def setValue(self, name: str, value: Any) -> None:
        member_type(type(self), name)
        top, _, rest = name.partition(".")
        if rest:
            getattr(self, top).setValue(rest, value)
        else:
            setattr(self, top, value)

    def connectGui(self, gui: Any) -> int:
        """Bind every widget that has the property SlicerParameterName; returns a tag for `disconnectGui`.

        ``gui`` is a widget, or what `slicer.util.childWidgetVariables` returned.

        Raises:
            ValueError: a widget names a parameter that does not exist.
            RuntimeError: a widget cannot show its parameter's type.
        """
        widgets = gui.findChildren(QWidget) if isinstance(gui, QWidget) else vars(gui).values()
        return self.connectParametersToGui({w.property(PROPERTY): w for w in widgets if w.property(PROPERTY)})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        """Bind parameters, by name, to widgets or connectors."""
        types = {name: self.dataType(name) for name in mapping}
        tag, self._nextTag = self._nextTag, self._nextTag + 1
        self._guis[tag] = {
            name: widget if isinstance(widget, GuiConnector) else createGuiConnector(widget, types[name])
            for name, widget in mapping.items()
        }
        for name, connector in self._guis[tag].items():
            connector.write(self.getValue(name))
            connector.onChanged(lambda name=name, connector=connector: self._onWidget(name, connector))
        self._tags[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._updateGui())
        return tag

    def disconnectGui(self, tag: int) -> None:
        for connector in self._guis.pop(tag, {}).values():
            connector.onChanged(None)
        if tag in self._tags:
            self.RemoveObserver(self._tags.pop(tag))

    def _onWidget(self, name: str, connector: GuiConnector) -> None:
        if not self._updating:
            with modifying(self.parameterNode):
                self.setValue(name, connector.read())

    def _updateGui(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for connectors in list(self._guis.values()):
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._updating = False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, before: int) -> int:
        return self.parameterNode.EndModify(before)

    def AddObserver(self, event: int, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()

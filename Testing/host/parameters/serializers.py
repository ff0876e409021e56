"""How values are written into a scripted module node, and read back: as text, or as references to nodes.

The names in the node are Slicer's, so that a scene saved here opens there: "x" for a plain value, "x.len" and "x.0",
"x.1" … for a list, "x.0" … for a tuple and for the alternatives of a union, "x.member" for a pack.
"""

from __future__ import annotations

import enum
import types
import typing
from typing import Any

import slicer_core as core
from PySide6.QtGui import QColor

from host.parameters.annotations import IsInstance, NotNone, Validator, split
from host.parameters.containers import ObservedDict, ObservedList, modifying
from host.parameters.value_serializers import (
    PATHS,
    BoolSerializer,
    ColorSerializer,
    EnumSerializer,
    NodeSerializer,
    NoneSerializer,
    Serializer,
)

UNIONS = (typing.Union, types.UnionType)


class ListSerializer(Serializer):
    def __init__(self, kind: Any):
        super().__init__(kind)
        self.element = serializer_for((typing.get_args(kind) or (str,))[0])

    def fits(self, value: Any) -> bool:
        return isinstance(value, (list, ObservedList))

    def default(self) -> list[Any]:
        return []

    def isIn(self, node: Any, name: str) -> bool:
        return node.HasParameter(f"{name}.len")

    def write(self, node: Any, name: str, values: Any) -> None:
        values = list(values)
        for value in values:
            self.element.validate(value)  # all before the first is written: a refused list changes nothing
        with modifying(node):
            for index in range(len(values), self._length(node, name)):
                self.element.remove(node, f"{name}.{index}")
            for index, value in enumerate(values):
                self.element.write(node, f"{name}.{index}", value)
            node.SetParameter(f"{name}.len", str(len(values)))

    def _length(self, node: Any, name: str) -> int:
        return int(node.GetParameter(f"{name}.len")) if self.isIn(node, name) else 0

    def read(self, node: Any, name: str) -> ObservedList:
        return ObservedList(lambda new: self._rewrite(node, name, new), self._values(node, name))

    def _values(self, node: Any, name: str) -> list[Any]:
        return [self.element.read(node, f"{name}.{index}") for index in range(self._length(node, name))]

    def _rewrite(self, node: Any, name: str, values: list[Any]) -> list[Any]:
        self.write(node, name, values)
        return self._values(node, name)

    def remove(self, node: Any, name: str) -> None:
        with modifying(node):
            for index in range(self._length(node, name)):
                self.element.remove(node, f"{name}.{index}")
            node.UnsetParameter(f"{name}.len")


class TupleSerializer(Serializer):
    def __init__(self, kind: Any):
        super().__init__(kind)
        self.elements = [serializer_for(part) for part in typing.get_args(kind)]

    def fits(self, value: Any) -> bool:
        return isinstance(value, tuple)

    def default(self) -> tuple[Any, ...]:
        return tuple(element.default() for element in self.elements)

    def isIn(self, node: Any, name: str) -> bool:
        return self.elements[0].isIn(node, f"{name}.0")

    def validate(self, values: Any) -> None:
        if len(tuple(values)) != len(self.elements):
            raise ValueError(f"{values!r} does not have {len(self.elements)} values")
        for element, value in zip(self.elements, values, strict=True):
            element.validate(value)

    def write(self, node: Any, name: str, values: Any) -> None:
        self.validate(values)
        with modifying(node):
            for index, (element, value) in enumerate(zip(self.elements, values, strict=True)):
                element.write(node, f"{name}.{index}", value)

    def read(self, node: Any, name: str) -> tuple[Any, ...]:
        return tuple(element.read(node, f"{name}.{index}") for index, element in enumerate(self.elements))

    def remove(self, node: Any, name: str) -> None:
        for index, element in enumerate(self.elements):
            element.remove(node, f"{name}.{index}")


class DictSerializer(Serializer):
    """A list of (key, value): the order is kept."""

    def __init__(self, kind: Any):
        super().__init__(kind)
        key, value = typing.get_args(kind) or (str, str)
        self.items = ListSerializer(list[tuple[key, value]])

    def fits(self, value: Any) -> bool:
        return isinstance(value, (dict, ObservedDict))

    def default(self) -> dict[Any, Any]:
        return {}

    def isIn(self, node: Any, name: str) -> bool:
        return self.items.isIn(node, name)

    def write(self, node: Any, name: str, value: Any) -> None:
        self.items.write(node, name, value.items())

    def read(self, node: Any, name: str) -> ObservedDict:
        def rewrite(new: dict[Any, Any]) -> dict[Any, Any]:
            self.write(node, name, new)
            return dict(self.items.read(node, name))

        return ObservedDict(rewrite, dict(self.items.read(node, name)))

    def remove(self, node: Any, name: str) -> None:
        self.items.remove(node, name)


class UnionSerializer(Serializer):
    """One of several types, "x.0" for the first; ``Optional`` has None as its last."""

    def __init__(self, kind: Any):
        super().__init__(kind)
        self.options = [serializer_for(part) for part in typing.get_args(kind)]

    def default(self) -> Any:
        optional = len(self.options) == 2 and isinstance(self.options[1], NoneSerializer)
        return None if optional else self.options[0].default()

    def validate(self, value: Any) -> None:
        self._chosen(value)
        super().validate(value)

    def fits(self, value: Any) -> bool:
        return any(option.fits(value) for option in self.options)

    def _chosen(self, value: Any) -> int:
        """Return the place of the option for a value; of several that refuse it the last tells why."""
        error: Exception = TypeError(f"the value {value!r} is none of {self.kind}")
        for index, option in enumerate(self.options):
            if option.fits(value):
                try:
                    option.validate(value)
                    return index
                except (TypeError, ValueError) as refused:
                    error = refused
        raise error

    def isIn(self, node: Any, name: str) -> bool:
        return any(option.isIn(node, f"{name}.{index}") for index, option in enumerate(self.options))

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        index = self._chosen(value)
        with modifying(node):
            self.remove(node, name)
            self.options[index].write(node, f"{name}.{index}", value)

    def read(self, node: Any, name: str) -> Any:
        for index, option in enumerate(self.options):
            if option.isIn(node, f"{name}.{index}"):
                return option.read(node, f"{name}.{index}")
        raise KeyError(name)

    def remove(self, node: Any, name: str) -> None:
        with modifying(node):
            for index, option in enumerate(self.options):
                option.remove(node, f"{name}.{index}")


def serializer_for(kind: Any) -> Serializer:
    """Return the serializer of a possibly annotated type, with the rules of its annotations.

    Raises:
        TypeError: values of this type cannot be kept in a parameter node.
    """
    plain, annotations = split(kind)
    serializer = _plain(plain)
    serializer.rules += [rule for rule in annotations if _is_rule(rule)]
    return serializer


def _is_rule(annotation: Any) -> bool:
    """A rule may be given as a class too, if it needs no values."""
    return isinstance(annotation, Validator) or (isinstance(annotation, type) and issubclass(annotation, Validator))


def _plain(kind: Any) -> Serializer:
    origin = typing.get_origin(kind) or kind
    for container, cls in ((list, ListSerializer), (dict, DictSerializer), (tuple, TupleSerializer)):
        if origin is container:
            return cls(kind)
    if origin in UNIONS:
        return UnionSerializer(kind)
    if kind is type(None):
        return NoneSerializer(kind)
    if getattr(kind, "_is_parameterPack", False):
        from host.parameters.packs import PackSerializer

        return PackSerializer(kind)
    return _simple(kind)


def _simple(kind: Any) -> Serializer:
    if not isinstance(kind, type):
        raise TypeError(f"no serializer for {kind}")
    if issubclass(kind, core.vtkMRMLNode):
        return NodeSerializer(kind, IsInstance(kind))
    if issubclass(kind, enum.Enum):
        return EnumSerializer(kind, NotNone(), IsInstance(kind))
    found = {bool: BoolSerializer, QColor: ColorSerializer}.get(kind)
    if found is None and kind not in (int, float, str, *PATHS):
        raise TypeError(f"no serializer for {kind}")
    return (found or Serializer)(kind, NotNone(), IsInstance((int, float) if kind is float else kind))

"""How single values are written into a scripted module node: as text, or as a reference to a node."""

from __future__ import annotations

import enum
import pathlib
from typing import Any

from PySide6.QtGui import QColor

from host.parameters.annotations import Validator

PATHS = (
    pathlib.Path,
    pathlib.PosixPath,
    pathlib.WindowsPath,
    pathlib.PurePath,
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
)
NUMBERS = (int, float)


class Serializer:
    """One type of value."""

    def __init__(self, kind: Any, *rules: Validator):
        self.kind, self.rules = kind, list(rules)

    def validate(self, value: Any) -> None:
        for rule in self.rules:
            rule.validate(value)

    def fits(self, value: Any) -> bool:
        """Return whether a value is of this type; a bool is no number here."""
        family = next((kinds for kinds in (NUMBERS, PATHS) if self.kind in kinds), None)
        return type(value) in family if family else isinstance(value, self.kind)

    def default(self) -> Any:
        return self.kind()

    def isIn(self, node: Any, name: str) -> bool:
        return node.HasParameter(name)

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        node.SetParameter(name, self.toText(value))

    def read(self, node: Any, name: str) -> Any:
        return self.fromText(node.GetParameter(name))

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)

    def toText(self, value: Any) -> str:
        return str(value)

    def fromText(self, text: str) -> Any:
        return self.kind(text)


class BoolSerializer(Serializer):
    def fromText(self, text: str) -> bool:
        return text == "True"


class ColorSerializer(Serializer):
    def toText(self, value: QColor) -> str:
        return value.name(QColor.NameFormat.HexArgb)


class EnumSerializer(Serializer):
    def default(self) -> Any:
        return next(iter(self.kind))

    def toText(self, value: enum.Enum) -> str:
        return value.name

    def fromText(self, text: str) -> Any:
        try:
            return self.kind[text]
        except KeyError:
            raise ValueError(f"{text!r} in the parameter node is no name of {self.kind}") from None


class NoneSerializer(Serializer):
    def default(self) -> None:
        return None

    def fromText(self, text: str) -> None:
        return None


class NodeSerializer(Serializer):
    """A node of the scene: an empty text, and a reference that the scene follows and saves."""

    def default(self) -> None:
        return None

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)

"""Which widgets can show which types of parameters, and how. Types of widgets are compared exactly, as Slicer does."""

from __future__ import annotations

import enum
import logging
import pathlib
import types
import typing
from collections.abc import Callable
from typing import Any

import slicer_core as core
from PySide6 import QtWidgets
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QWidget

from host.parameters import packs
from host.parameters.annotations import (
    Choice,
    Decimals,
    Maximum,
    Minimum,
    RangeBounds,
    SingleStep,
    WithinRange,
    first,
    split,
)
from host.parameters.serializers import UNIONS
from host.parameters.value_serializers import PATHS
from host.widgets import ctk_buttons, ctk_values, mrml_values, node_selectors

INT_LIMITS = (-(2**31), 2**31 - 1)
NODE_SELECTORS = (node_selectors.qMRMLNodeComboBox,)
FLOAT_WIDGETS = (
    QtWidgets.QDoubleSpinBox,
    ctk_values.ctkSliderWidget,
    ctk_values.ctkDoubleSlider,
    ctk_buttons.ctkDoubleSpinBox,
    mrml_values.qMRMLSliderWidget,
    mrml_values.qMRMLSpinBox,
)
RANGE_WIDGETS = (ctk_values.ctkRangeWidget, ctk_values.ctkDoubleRangeSlider, mrml_values.qMRMLRangeWidget)
BOUNDED_WIDGETS = (ctk_values.ctkSliderWidget, mrml_values.qMRMLSliderWidget, QtWidgets.QSlider)


class GuiConnector:
    """One widget that shows one parameter: ``signal`` names what tells of a change, ``key`` the widget's property."""

    signal, key = "", ""

    def __init__(self, widget: QWidget, datatype: Any):
        self._widget = widget
        self.kind, self.annotations = split(datatype)
        self._callback: Callable[[], None] | None = None
        self.prepare()

    def prepare(self) -> None:
        """Set up the widget from the annotations."""

    def widget(self) -> QWidget:
        return self._widget

    def onChanged(self, callback: Callable[[], None] | None) -> None:
        if self._callback and self.signal:
            getattr(self._widget, self.signal).disconnect(self.changed)
        self._callback = callback
        if callback and self.signal:
            getattr(self._widget, self.signal).connect(self.changed)

    def changed(self) -> None:
        if self._callback:
            self._callback()

    def read(self) -> Any:
        return getattr(self._widget, self.key)

    def write(self, value: Any) -> None:
        setattr(self._widget, self.key, value)


class CheckBox(GuiConnector):
    signal, key = "stateChanged", "checked"


class PushButton(GuiConnector):
    signal, key = "toggled", "checked"

    def prepare(self) -> None:
        if not self._widget.checkable:
            logging.warning("push button %s is made checkable to show a bool", self._widget.objectName)
            self._widget.checkable = True


class Number(GuiConnector):
    signal, key = "valueChanged", "value"

    def prepare(self) -> None:
        low, high = self._limits()
        if type(self._widget) in BOUNDED_WIDGETS and None in (low, high):
            raise RuntimeError(f"{self._widget.objectName}: a slider needs WithinRange, or Minimum and Maximum")
        step = first(self.annotations, SingleStep)
        if step:
            self._widget.singleStep = step.value
        if isinstance(self._widget, (QtWidgets.QSpinBox, QtWidgets.QSlider)):
            lowest, highest = INT_LIMITS
        else:
            lowest, highest = float("-inf"), float("inf")
            self._setDecimals()
        self._widget.minimum = lowest if low is None else low
        self._widget.maximum = highest if high is None else high

    def _setDecimals(self) -> None:
        decimals = first(self.annotations, Decimals)
        if self.kind is int:
            decimals = Decimals(0)
        if decimals and not isinstance(self._widget, ctk_values.ctkDoubleSlider):
            self._widget.decimals = decimals.value

    def _limits(self) -> tuple[float | None, float | None]:
        within = first(self.annotations, WithinRange)
        if within:
            return within.minimum, within.maximum
        low, high = first(self.annotations, Minimum), first(self.annotations, Maximum)
        return (low.minimum if low else None), (high.maximum if high else None)

    def read(self) -> Any:
        return self.kind(super().read())


class ChoiceBox(GuiConnector):
    """A combo box whose entries are the parameter's choices, or the names of an enumeration."""

    signal, key = "currentIndexChanged", "currentIndex"

    def prepare(self) -> None:
        choice = first(self.annotations, Choice)
        if isinstance(self.kind, type) and issubclass(self.kind, enum.Enum):
            label = getattr(self.kind, "label", lambda member: member.name)
            self._choices = {member: label(member) for member in self.kind}
        elif choice is None:
            raise RuntimeError(f"{self._widget.objectName}: a combo box needs a parameter with Choice")
        else:
            self._choices = {value: str(value) for value in choice.choices}
        self._widget.clear()
        self._widget.addItems(list(self._choices.values()))

    def read(self) -> Any:
        return list(self._choices)[self._widget.currentIndex]

    def write(self, value: Any) -> None:
        if value not in self._choices:
            raise ValueError(f"{value!r} is none of {list(self._choices)}")
        self._widget.currentIndex = list(self._choices).index(value)


class LineEdit(GuiConnector):
    signal, key = "textChanged", "text"

    def write(self, value: str) -> None:
        if value != self._widget.text:  # setting it would move the cursor while the user types
            self._widget.text = value


class Label(GuiConnector):
    key = "text"


class TextEdit(GuiConnector):
    signal, key = "textChanged", "plainText"


class Path(GuiConnector):
    signal, key = "currentPathChanged", "currentPath"

    def read(self) -> pathlib.PurePath:
        return self.kind(super().read())

    def write(self, value: Any) -> None:
        super().write(str(value))


class Directory(Path):
    signal, key = "directoryChanged", "directory"


class Range(GuiConnector):
    signal = "valuesChanged"

    def prepare(self) -> None:
        bounds = first(self.annotations, RangeBounds)
        if bounds is None:
            raise RuntimeError(f"{self._widget.objectName}: a range widget needs a parameter with RangeBounds")
        self._widget.setRange(bounds.minimum, bounds.maximum)

    def read(self) -> packs.FloatRange:
        return packs.FloatRange(self._widget.minimumValue, self._widget.maximumValue)

    def write(self, value: Any) -> None:
        self._widget.setValues(value.minimum, value.maximum)


class Node(GuiConnector):
    signal = "currentNodeChanged"

    def prepare(self) -> None:
        self._widget.nodeTypes = tuple(kind().GetClassName() for kind in node_classes(self.kind))

    def read(self) -> Any:
        return self._widget.currentNode()

    def write(self, value: Any) -> None:
        self._widget.setCurrentNode(value)


class Color(GuiConnector):
    signal, key = "colorChanged", "color"


def node_classes(kind: Any) -> list[type]:
    """Return the node classes of a type that is one, or a union of some (and None)."""
    parts = typing.get_args(kind) if typing.get_origin(kind) in UNIONS else (kind,)
    plain = [split(part)[0] for part in parts]
    fits = all(part is type(None) or (isinstance(part, type) and issubclass(part, core.vtkMRMLNode)) for part in plain)
    return [part for part in plain if part is not type(None)] if fits else []


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


TABLE: tuple[tuple[type[GuiConnector], tuple[type, ...], Callable[[Any], bool]], ...] = (
    (CheckBox, (QtWidgets.QCheckBox, ctk_buttons.ctkCheckBox), lambda kind: kind is bool),
    (PushButton, (QtWidgets.QPushButton, ctk_buttons.ctkCheckablePushButton), lambda kind: kind is bool),
    (Number, (QtWidgets.QSlider, QtWidgets.QSpinBox), lambda kind: kind is int),
    (Number, FLOAT_WIDGETS, lambda kind: kind in (float, int)),
    (ChoiceBox, (QtWidgets.QComboBox, ctk_buttons.ctkComboBox), lambda k: k in (int, float, str, bool) or _is_enum(k)),
    (LineEdit, (QtWidgets.QLineEdit,), lambda kind: kind is str),
    (Label, (QtWidgets.QLabel,), lambda kind: kind is str),
    (TextEdit, (QtWidgets.QTextEdit,), lambda kind: kind is str),
    (Range, RANGE_WIDGETS, lambda kind: kind is packs.FloatRange),
    (Path, (ctk_values.ctkPathLineEdit,), lambda kind: kind in PATHS),
    (Directory, (ctk_buttons.ctkDirectoryButton,), lambda kind: kind in PATHS),
    (Node, NODE_SELECTORS, lambda kind: bool(node_classes(kind))),
    (Color, (ctk_buttons.ctkColorPickerButton,), lambda kind: kind is QColor),
)


def createGuiConnector(widget: QWidget, datatype: Any) -> GuiConnector:
    """Return the connector of a widget and a possibly annotated type.

    Raises:
        RuntimeError: Slicer has none for this pair.
    """
    kind = split(datatype)[0]
    kind = typing.Union[tuple(typing.get_args(kind))] if isinstance(kind, types.UnionType) else kind  # noqa: UP007
    for connector, widgets, fits in TABLE:
        if type(widget) in widgets and fits(kind):
            return connector(widget, datatype)
    raise RuntimeError(
        f"no GUI connector from type '{datatype}' to the widget {type(widget).__name__} {widget.objectName}"
    )

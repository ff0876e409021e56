"""Fields of a form: for each kind of setting the widget that can hold only its allowed values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import ctk
import qt

Schema = Mapping[str, Any]

_LARGEST = 1_000_000
_DECIMALS = 6


class Field:
    """A widget with its value: ``value()`` reads it, ``put(value)`` shows one."""

    def __init__(self, widget: Any, value: Callable[[], Any], put: Callable[[Any], None]) -> None:
        self.widget = widget
        self.value = value
        self.put = put


def make_field(schema: Schema, on_changed: Callable[[], None]) -> Field:
    """Return the field for a setting.

    Args:
        schema: JSON schema of one property: ``enum``, or ``type`` with its bounds.
        on_changed: called without arguments whenever the value changes.

    Raises:
        ValueError: a type that no field is known for.
    """
    if "enum" in schema:
        return _choice(schema, on_changed)
    makers = {"integer": _integer, "number": _number, "boolean": _boolean, "string": _text}
    kind = schema.get("type")
    if kind not in makers:
        raise ValueError(f"no field for a setting of type {kind!r}")
    return makers[kind](schema, on_changed)


class WholeBox(qt.QSpinBox):
    """A spin box that the wheel scrolls past: a setting must not change because the panel was scrolled."""

    def wheelEvent(self, event: Any) -> None:
        event.ignore()


class NumberBox(qt.QDoubleSpinBox):
    """The same for fractions, shown without trailing zeros."""

    def wheelEvent(self, event: Any) -> None:
        event.ignore()

    def textFromValue(self, value: float) -> str:
        return f"{value:.{_DECIMALS}f}".rstrip("0").rstrip(".")  # never 5e-05, which a spin box cannot read back


class ChoiceBox(qt.QComboBox):
    """A combo box that the wheel scrolls past, and that may be narrower than its longest entry."""

    def __init__(self, parent: Any = None) -> None:
        qt.QComboBox.__init__(self, parent)
        self.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)

    def wheelEvent(self, event: Any) -> None:
        event.ignore()


def _choice(schema: Schema, on_changed: Callable[[], None]) -> Field:
    values = list(schema["enum"])
    box = ChoiceBox()
    for value in values:
        box.addItem(str(value))
    box.enabled = len(values) > 1
    box.connect("currentIndexChanged(int)", lambda _index: on_changed())
    return Field(box, lambda: values[box.currentIndex], lambda value: box.setCurrentIndex(_place(values, value)))


def _place(values: list[Any], value: Any) -> int:
    return values.index(value) if value in values else 0


def _integer(schema: Schema, on_changed: Callable[[], None]) -> Field:
    step = int(schema.get("multipleOf", 1))
    least = int(schema.get("minimum", schema.get("exclusiveMinimum", -_LARGEST - 1) + 1))
    most = int(schema.get("maximum", schema.get("exclusiveMaximum", _LARGEST + 1) - 1))
    box = WholeBox()
    box.setRange(math.ceil(least / step) * step, most // step * step)
    box.setSingleStep(step)
    box.setKeyboardTracking(False)

    def put(value: Any) -> None:
        box.setValue(round(int(value) / step) * step)

    def changed(value: int) -> None:
        if value % step:
            put(value)  # comes back here with a multiple
        else:
            on_changed()

    box.connect("valueChanged(int)", changed)
    return Field(box, lambda: box.value, put)


def _number(schema: Schema, on_changed: Callable[[], None]) -> Field:
    smallest = 10.0**-_DECIMALS
    least = schema.get("minimum", schema.get("exclusiveMinimum", -_LARGEST - smallest) + smallest)
    most = schema.get("maximum", schema.get("exclusiveMaximum", _LARGEST + smallest) - smallest)
    box = NumberBox()
    box.setLocale(qt.QLocale("C"))  # a point, as in the papers and on the command line
    box.setDecimals(_DECIMALS)
    box.setRange(least, most)
    box.stepType = qt.QAbstractSpinBox.AdaptiveDecimalStepType  # an arrow changes the second digit
    box.setKeyboardTracking(False)
    box.connect("valueChanged(double)", lambda _value: on_changed())
    return Field(box, lambda: round(box.value, _DECIMALS), lambda value: box.setValue(float(value)))


def _boolean(schema: Schema, on_changed: Callable[[], None]) -> Field:
    box = qt.QCheckBox()
    box.connect("toggled(bool)", lambda _on: on_changed())
    return Field(box, lambda: box.checked, lambda value: box.setChecked(bool(value)))


def _text(schema: Schema, on_changed: Callable[[], None]) -> Field:
    """Return a line, or for a setting that is described as a folder a line with a button to choose one."""
    if "folder" in schema.get("description", ""):
        edit = ctk.ctkPathLineEdit()
        edit.filters = ctk.ctkPathLineEdit.Dirs
        edit.connect("currentPathChanged(QString)", lambda _path: on_changed())
        return Field(edit, lambda: edit.currentPath, lambda value: edit.setCurrentPath(str(value)))
    line = qt.QLineEdit()
    line.connect("textChanged(QString)", lambda _text: on_changed())
    return Field(line, lambda: line.text, lambda value: line.setText(str(value)))

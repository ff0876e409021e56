"""A form for a JSON schema: one row per setting, with its range, its description and a button to reset it.

A value out of range cannot be entered, so the values of a form are always valid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from LEUDATrainingLib.method.setting_fields import make_field

Schema = Mapping[str, Any]


class SchemaForm(qt.QWidget):
    """Rows for the properties of a JSON schema.

    ``on_changed`` is called without arguments after every change by the user, not after ``set_values``.
    """

    def __init__(self, parent: Any = None) -> None:
        qt.QWidget.__init__(self, parent)
        self.on_changed: Callable[[], None] | None = None
        self._rows: dict[str, _Row] = {}
        self._grid = qt.QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(1, 1)

    def set_properties(self, properties: Mapping[str, Schema]) -> None:
        """Show these settings with their defaults, instead of those shown before."""
        for row in self._rows.values():
            row.remove()
        self._rows = {
            name: _Row(self._grid, index, name, schema, self._changed)
            for index, (name, schema) in enumerate(properties.items())
        }

    @property
    def values(self) -> dict[str, Any]:
        """Every setting by name."""
        return {name: row.field.value() for name, row in self._rows.items()}

    @property
    def changed_values(self) -> dict[str, Any]:
        """The settings that differ from their defaults."""
        return {name: row.field.value() for name, row in self._rows.items() if row.is_changed()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Set the settings in ``values`` and keep the others; names that are not in the schema are ignored.

        A value out of range is replaced by the nearest valid one.
        """
        for name, value in values.items():
            if name in self._rows:
                self._rows[name].put(value)

    def reset(self) -> None:
        """Reset every setting to its default."""
        for row in self._rows.values():
            row.reset()

    def field(self, name: str) -> Any:
        """Return the widget of a setting, such as a spin box."""
        return self._rows[name].field.widget

    def _changed(self) -> None:
        if self.on_changed:
            self.on_changed()


class _Row:
    """The name of a setting, its field and the button that resets it."""

    def __init__(self, grid: Any, index: int, name: str, schema: Schema, on_changed: Callable[[], None]) -> None:
        self._default = schema.get("default")
        self._on_changed = on_changed
        self._putting = False
        self.field = make_field(schema, self._edited)
        self._label = qt.QLabel(readable(name))
        self._label.setBuddy(self.field.widget)
        self._back = qt.QToolButton()
        self._back.text = "↺"
        self._back.autoRaise = True
        self._back.connect("clicked()", self._reset_by_hand)
        self._describe(name, schema)
        for column, widget in enumerate((self._label, self.field.widget, self._back)):
            grid.addWidget(widget, index, column)
        self.put(self._default)

    def is_changed(self) -> bool:
        return self.field.value() != self._default

    def put(self, value: Any) -> None:
        """Show a value without calling ``on_changed``."""
        self._putting = True
        try:
            self.field.put(value)
        finally:
            self._putting = False
        self._mark()

    def reset(self) -> None:
        self.put(self._default)

    def remove(self) -> None:
        for widget in (self._label, self.field.widget, self._back):
            widget.hide()
            widget.setParent(None)
            widget.deleteLater()

    def _describe(self, name: str, schema: Schema) -> None:
        text = schema.get("description", "")
        tip = f"{text[:1].upper()}{text[1:]}\n{name}, {allowed(schema)}".strip()
        self._label.toolTip = tip
        self.field.widget.toolTip = tip
        self.field.widget.objectName = name
        self._back.objectName = f"{name}Reset"
        self._back.toolTip = _("Reset to the default ({value})").format(value=shown(self._default))

    def _edited(self) -> None:
        if not self._putting:
            self._mark()
            self._on_changed()

    def _reset_by_hand(self) -> None:
        self.reset()
        self._on_changed()

    def _mark(self) -> None:
        """Highlight a setting that differs from its default."""
        font = self._label.font
        font.setBold(self.is_changed())
        self._label.setFont(font)
        self._back.enabled = self.is_changed()


def readable(name: str) -> str:
    """Return the label of a setting: ``patch_size`` becomes ``Patch size``, ``spacing_mm`` ``Spacing (mm)``."""
    name = f"CT {name[3:]}" if name.startswith("ct_") else name
    words = name.replace("_mm", " (mm)").replace("_deg", " (degrees)").replace("ema_", "EMA ").replace("_", " ")
    return words[:1].upper() + words[1:]


def allowed(schema: Schema) -> str:
    """Describe the valid values of a setting."""
    if "enum" in schema:
        return _("one of: {values}").format(values=", ".join(map(str, schema["enum"])))
    parts = []
    for key, text in (
        ("minimum", _("at least {value}")),
        ("exclusiveMinimum", _("more than {value}")),
        ("maximum", _("at most {value}")),
        ("exclusiveMaximum", _("less than {value}")),
        ("multipleOf", _("a multiple of {value}")),
    ):
        if key in schema:
            parts.append(text.format(value=shown(schema[key])))
    return ", ".join([*parts, _("default: {value}").format(value=shown(schema.get("default")))])


def shown(value: Any) -> str:
    """Return a value in readable form."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return str(value) if value not in ("", None) else _("empty")

"""Stand-ins for CTK's widgets that hold a number, a range, a path or checked items."""

from __future__ import annotations

import math
import os

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QFileDialog, QHBoxLayout, QSlider, QToolButton, QWidget

from host.widgets.registry import parent_among, stands_in, stored

STEPS = 1000


@stands_in("ctk")
class ctkDoubleSlider(QWidget):
    """A slider over floating-point values."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    sliderReleased = Signal()

    def __init__(self, *arguments: object) -> None:
        super().__init__(parent_among(arguments))
        self._range, self._value, self._busy = (0.0, 99.0), 0.0, False
        self._slider = QSlider(Qt.Orientation.Horizontal, self)
        self._slider.setRange(0, STEPS)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider)
        self._slider.valueChanged.connect(lambda position: self._onMoved(position))
        self._slider.sliderReleased.connect(lambda: self.sliderReleased.emit())

    def _onMoved(self, position: int) -> None:
        if not self._busy:
            low, high = self._range
            self.setValue(low + (high - low) * position / STEPS)

    def setValue(self, value: float) -> None:
        low, high = self._range
        value = min(max(float(value), low), high)
        changed, self._value, self._busy = value != self._value, value, True
        is_finite = math.isfinite(high - low) and high > low
        self._slider.setValue(round((value - low) / (high - low) * STEPS) if is_finite else 0)
        self._busy = False
        if changed:
            self.valueIsChanging.emit(value)
            self.valueChanged.emit(value)

    def setRange(self, low: float, high: float) -> None:
        self._range = (float(low), max(float(low), float(high)))
        self.setValue(self._value)

    def setMinimum(self, low: float) -> None:
        self.setRange(low, self._range[1])

    def setMaximum(self, high: float) -> None:
        self.setRange(min(self._range[0], float(high)), high)

    value = Property(float, lambda self: self._value, setValue)
    minimum = Property(float, lambda self: self._range[0], setMinimum)
    maximum = Property(float, lambda self: self._range[1], setMaximum)
    singleStep = stored(float, "singleStep", 1.0)
    pageStep = stored(float, "pageStep", 10.0)
    tracking = stored(bool, "tracking", True)


@stands_in("ctk")
class ctkSliderWidget(QWidget):
    """A slider and a number field that show the same value."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)

    def __init__(self, *arguments: object) -> None:
        super().__init__(parent_among(arguments))
        self._slider, self._spin = ctkDoubleSlider(self), QDoubleSpinBox(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider)
        row.addWidget(self._spin)
        self.setRange(0, 99)
        self._slider.valueChanged.connect(lambda value: self._spin.setValue(value))
        self._spin.valueChanged.connect(lambda value: self._onChanged(value))

    def _onChanged(self, value: float) -> None:
        self._slider.setValue(value)
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    def setRange(self, low: float, high: float) -> None:
        self._slider.setRange(low, high)
        self._spin.setRange(low, high)

    def setMinimum(self, low: float) -> None:
        self.setRange(low, max(low, self._spin.maximum))

    def setMaximum(self, high: float) -> None:
        self.setRange(min(high, self._spin.minimum), high)

    def setDecimals(self, decimals: int) -> None:
        self._spin.setDecimals(decimals)

    def setSingleStep(self, step: float) -> None:
        self._spin.setSingleStep(step)

    def setSuffix(self, suffix: str) -> None:
        self._spin.setSuffix(suffix)

    def setPrefix(self, prefix: str) -> None:
        self._spin.setPrefix(prefix)

    value = Property(float, lambda self: self._spin.value, setValue)
    minimum = Property(float, lambda self: self._spin.minimum, setMinimum)
    maximum = Property(float, lambda self: self._spin.maximum, setMaximum)
    decimals = Property(int, lambda self: self._spin.decimals, setDecimals)
    singleStep = Property(float, lambda self: self._spin.singleStep, setSingleStep)
    suffix = Property(str, lambda self: self._spin.suffix, setSuffix)
    prefix = Property(str, lambda self: self._spin.prefix, setPrefix)
    pageStep = stored(float, "pageStep", 10.0)
    tickInterval = stored(float, "tickInterval", 0.0)
    tracking = stored(bool, "tracking", True)
    spinBoxVisible = stored(bool, "spinBoxVisible", True)


@stands_in("ctk")
class ctkRangeWidget(QWidget):
    """Two values, the lower of which never passes the upper."""

    valuesChanged = Signal(float, float)

    def __init__(self, *arguments: object) -> None:
        super().__init__(parent_among(arguments))
        self._low, self._high = QDoubleSpinBox(self), QDoubleSpinBox(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for box in (self._low, self._high):
            row.addWidget(box)
            box.valueChanged.connect(lambda _: self.valuesChanged.emit(self._low.value, self._high.value))

    def setRange(self, low: float, high: float) -> None:
        self._low.setRange(low, high)
        self._high.setRange(low, high)

    def setValues(self, low: float, high: float) -> None:
        self._low.setValue(min(low, high))
        self._high.setValue(max(low, high))

    minimumValue = Property(float, lambda self: self._low.value, lambda self, v: self._low.setValue(v))
    maximumValue = Property(float, lambda self: self._high.value, lambda self, v: self._high.setValue(v))
    minimum = Property(float, lambda self: self._low.minimum, lambda self, v: self.setRange(v, self._high.maximum))
    maximum = Property(float, lambda self: self._high.maximum, lambda self, v: self.setRange(self._low.minimum, v))
    decimals = stored(int, "decimals", 2)
    singleStep = stored(float, "singleStep", 1.0)


@stands_in("ctk")
class ctkDoubleRangeSlider(ctkRangeWidget):
    pass


@stands_in("ctk")
class ctkPathLineEdit(QWidget):
    """A path that can be typed, chosen again from what was used before, or browsed for."""

    currentPathChanged = Signal(str)

    Dirs, AllDirs, Files, Executable, Readable, Writable, NoDotAndDotDot = 0x1, 0x400, 0x2, 0x40, 0x10, 0x20, 0x6000

    def __init__(self, *arguments: object) -> None:
        super().__init__(parent_among(arguments))
        self._box, self._button = QComboBox(self), QToolButton(self)
        self._box.setEditable(True)
        self._button.text = "…"
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box, 1)
        row.addWidget(self._button)
        self._box.editTextChanged.connect(lambda text: self.currentPathChanged.emit(text))
        self._button.clicked.connect(lambda: self.browse())

    def setCurrentPath(self, path: str) -> None:
        self._box.setEditText(path)

    def addCurrentPathToHistory(self) -> None:
        if self.currentPath and self._box.findText(self.currentPath) < 0:
            self._box.addItem(self.currentPath)

    def browse(self) -> None:
        if int(self.filters) & self.Files:
            path = QFileDialog.getOpenFileName(self, self.label, self.currentPath, ";;".join(self.nameFilters or []))
        else:
            path = QFileDialog.getExistingDirectory(self, self.label, self.currentPath)
        if path:
            self.setCurrentPath(os.path.normpath(path))
            self.addCurrentPathToHistory()

    currentPath = Property(str, lambda self: self._box.currentText, setCurrentPath)
    filters = stored(int, "filters", Files | NoDotAndDotDot)
    nameFilters = stored("QStringList", "nameFilters", [])
    label = stored(str, "label", "")
    settingKey = stored(str, "settingKey", "")
    showBrowseButton = stored(bool, "showBrowseButton", True)
    showHistoryButton = stored(bool, "showHistoryButton", True)
    options = stored(int, "options", 0)

"""Stand-ins for CTK's sections, buttons, boxes and messages."""

from __future__ import annotations

import os

from PySide6.QtCore import Property, QEvent, QRect, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QColorDialog,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QWidget,
)

from host.widgets.registry import parent_among, stands_in, stored


class ChildrenHider:
    """Hides the children of a section while it is collapsed and gives each what it wants to be when it is opened."""

    def _startHiding(self) -> None:
        self._collapsed, self._wanted, self._busy = False, {}, False

    def _follow(self, child: QWidget) -> None:
        if id(child) not in self._wanted:
            self._wanted[id(child)] = (child, not child.isHidden())
            child.installEventFilter(self)
            self._apply(child)

    def _apply(self, child: QWidget) -> None:
        self._busy = True
        child.setVisible(not self._collapsed and self._wanted[id(child)][1])
        self._busy = False

    def _applyAll(self) -> None:
        for child, _ in list(self._wanted.values()):
            self._apply(child)
        self.updateGeometry()
        self.update()

    def eventFilter(self, child: QWidget, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.ShowToParent, QEvent.Type.HideToParent) and not self._busy:
            self._wanted[id(child)] = (child, event.type() == QEvent.Type.ShowToParent)
            if self._collapsed:
                self._apply(child)
        return False

    def childEvent(self, event: QEvent) -> None:
        child = event.child()
        if event.type() == QEvent.Type.ChildPolished and isinstance(child, QWidget):
            self._follow(child)
        elif event.type() == QEvent.Type.ChildRemoved:
            self._wanted.pop(id(child), None)


@stands_in("ctk")
class ctkCollapsibleButton(ChildrenHider, QWidget):
    """A section with a title bar; its layout is set on it directly, and a click on the bar opens or closes it."""

    contentsCollapsed = Signal(bool)
    clicked = Signal(bool)
    toggled = Signal(bool)

    BAR = 26

    def __init__(self, *arguments: object) -> None:
        title = next((a for a in arguments if isinstance(a, str)), "")
        super().__init__(parent_among(arguments))
        self._startHiding()
        self._text = title
        self.setSizePolicy(QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Preferred)
        self.setContentsMargins(0, self.BAR, 0, 0)

    def setText(self, text: str) -> None:
        self._text = text
        self.update()

    def setCollapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self._applyAll()
        self.setMaximumHeight(self.BAR if collapsed else 16777215)
        self.contentsCollapsed.emit(collapsed)
        self.toggled.emit(not collapsed)

    def setChecked(self, checked: bool) -> None:
        self.setCollapsed(not checked)

    text = Property(str, lambda self: self._text, setText)
    collapsed = Property(bool, lambda self: self._collapsed, setCollapsed)
    checked = Property(bool, lambda self: not self._collapsed, setChecked)
    collapsedHeight = stored(int, "collapsedHeight", 0)
    contentsFrameShape = stored(int, "contentsFrameShape", 0)
    buttonTextAlignment = stored(int, "buttonTextAlignment", 0)
    flat = stored(bool, "flat", False)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.setAccepted(self.enabled and event.position().y() < self.BAR)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if 0 <= event.position().y() < self.BAR:
            self.setCollapsed(not self._collapsed)
            self.clicked.emit(not self._collapsed)

    def paintEvent(self, event: QPaintEvent) -> None:
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect = QRect(0, 0, self.width, self.BAR - 2)
        painter = QPainter(self)
        self.style().drawPrimitive(QStyle.PrimitiveElement.PE_PanelButtonCommand, option, painter, self)
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextShowMnemonic
        painter.drawText(option.rect.adjusted(26, 0, -4, 0), flags, self._text)
        arrow = (
            QStyle.PrimitiveElement.PE_IndicatorArrowRight
            if self._collapsed
            else QStyle.PrimitiveElement.PE_IndicatorArrowDown
        )
        option.rect = QRect(7, 7, 12, 12)
        self.style().drawPrimitive(arrow, option, painter, self)
        painter.end()


@stands_in("ctk")
class ctkPushButton(QPushButton):
    buttonTextAlignment = stored(int, "buttonTextAlignment", 0)
    elideMode = stored(int, "elideMode", 0)


@stands_in("ctk")
class ctkCheckablePushButton(QPushButton):
    checkBoxControlsButtonToggleState = stored(bool, "checkBoxControlsButtonToggleState", False)


@stands_in("ctk")
class ctkCheckBox(QCheckBox):
    indicatorIconSize = stored("QSize", "indicatorIconSize", None)


@stands_in("ctk")
class ctkComboBox(QComboBox):
    scrollWheelEnabled = stored(bool, "scrollWheelEnabled", True)
    elideMode = stored(int, "elideMode", 0)
    forceDefault = stored(bool, "forceDefault", False)


@stands_in("ctk")
class ctkMessageBox(QMessageBox):
    """Remembers the answer under ``dontShowAgainSettingsKey`` when the box is ticked, as CTK's does."""

    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")
    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)
    dontShowAgain = stored(bool, "dontShowAgain", False)


@stands_in("ctk")
class ctkDoubleSpinBox(QDoubleSpinBox):
    decimalsOption = stored(int, "decimalsOption", 0)
    invertedControls = stored(bool, "invertedControls", False)


@stands_in("ctk")
class ctkDirectoryButton(QWidget):
    """A button that shows a folder and asks for another one."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)

    def __init__(self, *arguments: object) -> None:
        super().__init__(parent_among(arguments))
        self._directory, self._button = "", QPushButton(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._button)
        self._button.clicked.connect(lambda: self.browse())

    def setDirectory(self, path: str) -> None:
        path = path if path in ("", ".") else os.path.abspath(path)
        changed, self._directory = path != self._directory, path
        self._button.text = path
        if changed:
            self.directoryChanged.emit(path)

    def browse(self) -> None:
        path = QFileDialog.getExistingDirectory(self, self.caption, self._directory)
        if path:
            self.setDirectory(path)
            self.directorySelected.emit(path)

    directory = Property(str, lambda self: self._directory, setDirectory)
    caption = stored(str, "caption", "")
    text = stored(str, "text", "")


@stands_in("ctk")
class ctkColorPickerButton(QPushButton):
    """A button that shows a colour and asks for another one."""

    colorChanged = Signal(QColor)

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._color = QColor(0, 0, 0)
        self.clicked.connect(lambda: self.changeColor())

    def setColor(self, color: QColor) -> None:
        if color != self._color:
            self._color = color
            self.setStyleSheet(f"background-color: {color.name()}")
            self.colorChanged.emit(color)

    def changeColor(self) -> None:
        color = QColorDialog.getColor(self._color, self)
        if color.isValid():
            self.setColor(color)

    color = Property(QColor, lambda self: self._color, setColor)
    displayColorName = stored(bool, "displayColorName", True)

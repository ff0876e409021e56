"""What the segment editor has for its effects: a button for each, the options of the active one, and shortcuts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtGui import QIcon, QKeySequence, QShortcut
from PySide6.QtWidgets import QGridLayout, QGroupBox, QLabel, QPushButton, QVBoxLayout, QWidget

from host.widgets.editor_effects import BUILT_IN


class EffectButtons(QGroupBox):
    """A button for no effect and one for each effect."""

    chosen = Signal(str)  # the name of the effect

    def __init__(self) -> None:
        super().__init__("Effects")
        QGridLayout(self).setSpacing(2)
        self._buttons: dict[str, QPushButton] = {}
        self.addButton("None", "None", QIcon())

    def addButton(self, name: str, title: str, icon: QIcon) -> None:
        button, place = QPushButton(icon, title), len(self._buttons)
        button.setObjectName(name)
        button.setCheckable(True)
        button.clicked.connect(lambda _: self.chosen.emit(name))
        self._buttons[name] = button
        self.layout().addWidget(button, place // 3, place % 3)

    def setUsable(self, name: str, usable: bool) -> None:
        self._buttons[name].setEnabled(usable)

    def setActive(self, name: str) -> None:
        for other, button in self._buttons.items():
            button.setChecked(other == name)


class EffectOptions(QGroupBox):
    """The help and the options of the active effect."""

    def __init__(self) -> None:
        super().__init__()
        self._help = QLabel()
        self._help.setWordWrap(True)
        QVBoxLayout(self).addWidget(self._help)
        self.hide()

    def addOptions(self, effect: Any) -> None:
        effect.optionsFrame().setVisible(False)
        self.layout().addWidget(effect.optionsFrame())

    def describe(self, effect: Any) -> None:
        self.setTitle(effect.title or effect.name)
        self._help.setText(effect.helpText())


class EffectShortcuts:
    """Keys that choose an effect: Esc ends the active one, 1 to 0 choose one."""

    def __init__(self, choose: Callable[[str], None]):
        self._choose = choose
        self._shortcuts: list[QShortcut] = []

    def install(self, parent: QWidget) -> None:
        """As in Slicer, a second call adds a second set."""
        actions = {"Esc": "None"} | {str(number % 10): BUILT_IN[number - 1] for number in range(1, 11)}
        for key, name in actions.items():
            shortcut = QShortcut(QKeySequence(key), parent)
            shortcut.activated.connect(lambda name=name: self._choose(name))
            self._shortcuts.append(shortcut)

    def uninstall(self) -> None:
        while self._shortcuts:
            shortcut = self._shortcuts.pop()
            shortcut.setEnabled(False)
            shortcut.deleteLater()

"""Answers to dialogs: nobody sits before the tests, so each question takes the next prepared answer.

``host.answers.add(True)`` answers the next message box with its accepting button, ``False`` with its rejecting one, a
text with the button or the path of that name. A question without an answer fails at once instead of waiting for ever.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from PySide6.QtWidgets import QColorDialog, QDialog, QFileDialog, QInputDialog, QMessageBox

ACCEPTING = ("Ok", "Yes", "YesToAll", "Save", "Open", "Apply", "Retry", "Discard")
REJECTING = ("Cancel", "No", "Close", "Abort", "Ignore")
FILE_DIALOGS = ("getOpenFileName", "getOpenFileNames", "getSaveFileName", "getExistingDirectory")


class UnansweredDialog(AssertionError):
    """A dialog opened for which the test had prepared no answer."""


@dataclass(frozen=True)
class Asked:
    """One question: which dialog, its title and its text."""

    dialog: str
    title: str
    text: str


class Answers:
    """Prepared answers, and the questions that were asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._prepared: deque[Any] = deque()

    def add(self, *answers: Any) -> None:
        """Prepare answers, used in this order."""
        self._prepared.extend(answers)

    def clear(self) -> None:
        self.asked.clear()
        self._prepared.clear()

    @property
    def left(self) -> list[Any]:
        """Answers nobody asked for."""
        return list(self._prepared)

    def take(self, dialog: str, title: str, text: str) -> Any:
        self.asked.append(Asked(dialog, title, text))
        if not self._prepared:
            raise UnansweredDialog(f"{dialog} '{title.strip()}' opened without an answer: {text}")
        return self._prepared.popleft()


answers = Answers()


def install() -> None:
    """Put the answers in the place of the dialogs' event loops."""
    for name in FILE_DIALOGS:
        setattr(QFileDialog, name, staticmethod(_file_answer(name)))
    for name in ("information", "question", "warning", "critical"):
        setattr(QMessageBox, name, staticmethod(_static_message(name)))
    for name in ("getText", "getItem", "getInt", "getDouble"):
        setattr(QInputDialog, name, staticmethod(_input_answer(name)))
    QColorDialog.getColor = staticmethod(lambda *a, **k: answers.take("QColorDialog.getColor", "", ""))
    for name in ("exec", "exec_"):
        setattr(QMessageBox, name, _message_box)
        setattr(QDialog, name, _dialog)


def _file_answer(name: str) -> Any:
    def ask(parent: Any = None, caption: str = "", *rest: Any, **named: Any) -> Any:
        """Return what the real one returns through PythonQt: the bare path, not a pair."""
        answer = answers.take(f"QFileDialog.{name}", caption, str(rest[0]) if rest else "")
        return tuple(map(str, answer)) if name == "getOpenFileNames" else str(answer or "")

    return ask


def _static_message(name: str) -> Any:
    def ask(parent: Any, title: str, text: str, buttons: Any = QMessageBox.StandardButton.Ok, *_: Any) -> Any:
        return _button(answers.take(f"QMessageBox.{name}", title, text), buttons)

    return ask


def _input_answer(name: str) -> Any:
    def ask(parent: Any, title: str, label: str, *_: Any, **__: Any) -> Any:
        """Return what the real one returns through PythonQt: the value alone, empty when cancelled."""
        return answers.take(f"QInputDialog.{name}", title, label)

    return ask


def _message_box(box: QMessageBox) -> Any:
    box.show()  # so that a test that grabs windows sees it
    try:
        answer = answers.take(type(box).__name__, box.windowTitle, box.text)
        return _press(box, answer)
    finally:
        box.hide()


def _press(box: QMessageBox, answer: Any) -> Any:
    for button in box.buttons():
        if isinstance(answer, str) and button.text.replace("&", "") == answer:
            button.click()
            return box.result()
    standard = _button(answer, box.standardButtons)
    box.button(standard).click()
    return standard


def _button(answer: Any, buttons: Any) -> Any:
    if isinstance(answer, QMessageBox.StandardButton):
        return answer
    names = ACCEPTING if answer is True else REJECTING if answer is False else (str(answer),)
    for name in names:
        button = getattr(QMessageBox.StandardButton, name, None)
        if button is not None and button in QMessageBox.StandardButton(buttons):
            return button
    if answer is False:  # one button alone: closing the box presses it
        return QMessageBox.StandardButton(buttons)
    raise UnansweredDialog(f"the dialog has no button for the answer {answer!r}")


def _dialog(dialog: QDialog) -> int:
    """Any other dialog: True accepts, False rejects, a callable is given the dialog to use and then decides."""
    dialog.show()
    try:
        answer = answers.take(type(dialog).__name__, dialog.windowTitle, dialog.objectName)
        accepted = answer(dialog) if callable(answer) else answer
        dialog.done(int(bool(accepted)))
        return dialog.result()
    finally:
        dialog.hide()

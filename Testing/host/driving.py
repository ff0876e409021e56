"""Using the widgets as a person does, and waiting for what follows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QCoreApplication, QEventLoop, QPoint, QPointF, Qt, QTimer
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox, QComboBox, QRadioButton, QWidget

from timing import waited_for_a_core_s

LOOK_AGAIN_MS = 10
NOTCH = 120  # Qt's unit of one step of a mouse wheel


def wait_until(predicate: Callable[[], Any], timeout_s: float = 10.0, what: str = "") -> Any:
    """Run the event loop until the predicate returns something true, and return that.

    Raises:
        TimeoutError: it did not within the time.
    """
    end = time.monotonic() + timeout_s
    events, waker = QEventLoop(), QTimer()
    waker.start(LOOK_AGAIN_MS)  # sleeps until then; with a time limit Qt would not sleep at all
    while not (value := predicate()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout_s} s: {what or getattr(predicate, '__name__', predicate)}")
        events.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    return value


def _now() -> tuple[float, float]:
    return time.perf_counter() - waited_for_a_core_s(), time.thread_time()


class Latency:
    """Measures the longest gap between the ticks of a 5 ms timer: how long the window would have been frozen.

    Attributes:
        gaps_s: wall time of each gap, without the time that this thread waited for a core: that others work, too.
        busy_s: CPU time that this thread spent in each, the same however busy the machine is with other things.
    """

    INTERVAL_MS = 5

    def __init__(self) -> None:
        self.gaps_s: list[float] = []
        self.busy_s: list[float] = []

    def __enter__(self) -> Latency:
        self._last = _now()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(self.INTERVAL_MS)
        return self

    def _tick(self) -> None:
        now = _now()
        self.gaps_s.append(now[0] - self._last[0])
        self.busy_s.append(now[1] - self._last[1])
        self._last = now

    def __exit__(self, *_: object) -> None:
        self._timer.stop()
        self._tick()

    @property
    def ticks(self) -> int:
        return len(self.gaps_s)

    @property
    def longest_s(self) -> float:
        return max(self.gaps_s, default=0.0)

    @property
    def busiest_s(self) -> float:
        """The most CPU time that passed between two ticks."""
        return max(self.busy_s, default=0.0)

    def percentile_s(self, percent: float) -> float:
        """Return the gap that this share of all gaps does not exceed."""
        return sorted(self.gaps_s)[min(len(self.gaps_s) - 1, int(len(self.gaps_s) * percent / 100))]


def click(widget: QWidget, *, button: Any = Qt.MouseButton.LeftButton, at: tuple[int, int] | None = None) -> None:
    """Click a widget with the mouse, in its middle or at (x, y).

    Raises:
        AssertionError: a person could not have: it is hidden or disabled.
    """
    _check(widget)
    rect = widget.rect
    point = QPoint(*at) if at else _hit_point(widget, rect.center())
    QTest.mouseClick(widget, button, Qt.KeyboardModifier.NoModifier, point)


def _hit_point(widget: QWidget, center: QPoint) -> QPoint:
    """Return where a click takes effect: check boxes react on their box and text only, at the left."""
    is_box = isinstance(widget, (QCheckBox, QRadioButton))
    return QPoint(8, center.y()) if is_box else center


def type_text(widget: QWidget, text: str) -> None:
    """Type on the keyboard, over what is selected."""
    _check(widget)
    widget.setFocus()
    QTest.keyClicks(widget, text)


def key(widget: QWidget, key: Any, modifiers: Any = Qt.KeyboardModifier.NoModifier) -> None:
    """Press one key, such as ``qt.Qt.Key_Return``."""
    _check(widget)
    QTest.keyClick(widget, key, modifiers)


def choose(box: QComboBox, text: str) -> None:
    """Choose an entry of a combo box by its text, through the keyboard.

    Raises:
        AssertionError: there is no such entry.
    """
    _check(box)
    index = box.findText(text)
    entries = [box.itemText(i) for i in range(box.count)]
    assert index >= 0, f"no entry '{text}' among {entries}"
    step = Qt.Key.Key_Down if index > box.currentIndex else Qt.Key.Key_Up
    for _ in range(abs(index - box.currentIndex)):
        QTest.keyClick(box, step)
    box.activated.emit(index)


def wheel(widget: QWidget, steps: int) -> None:
    """Turn the mouse wheel over the middle of a widget; positive is away from the person."""
    _check(widget)
    center = QPointF(widget.rect.center())
    for _ in range(abs(steps)):
        turn = QPoint(0, NOTCH if steps > 0 else -NOTCH)
        none = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase
        event = QWheelEvent(center, widget.mapToGlobal(center), QPoint(), turn, *none, False)
        QCoreApplication.sendEvent(widget, event)


def _check(widget: QWidget) -> None:
    name = f"{type(widget).__name__} '{widget.objectName}'"
    assert widget.isVisible(), f"{name} is not visible: a person could not use it"
    assert widget.isEnabled(), f"{name} is disabled: a person could not use it"

"""Work in small steps: a generator that runs to its end, or step by step so that the window keeps responding."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from typing import Any

import qt

from leuda_core.errors import LeudaError


def finish(steps: Generator[Any, None, Any]) -> Any:
    """Run a generator to its end and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def is_running(steps: Generator[Any, Any, Any]) -> bool:
    """Return whether a generator is executing right now, so that it cannot be closed."""
    return inspect.getgeneratorstate(steps) == inspect.GEN_RUNNING


def within(start: float, stop: float, steps: Generator[float, None, Any]) -> Generator[float, None, Any]:
    """Map the fraction done of the steps from [0, 1] to [start, stop]; return the result of the steps."""
    while True:
        try:
            part = next(steps)
        except StopIteration as end:
            return end.value
        yield start + part * (stop - start)


class EventLoopWork:
    """Runs a generator step by step, each step in its own turn of the event loop.

    Args:
        steps: the work.
        on_done: called with the result.
        on_error: called with the LeudaError that the work raises; without it, the error is raised as unhandled.

    Attributes:
        running: whether the work was started and has neither ended nor been stopped.
    """

    def __init__(
        self,
        steps: Generator[Any, None, Any],
        on_done: Callable[[Any], None] | None = None,
        on_error: Callable[[LeudaError], None] | None = None,
    ) -> None:
        self._steps, self._on_done, self._on_error = steps, on_done, on_error
        self.running = False

    def start(self) -> EventLoopWork:
        """Start with the next turn of the event loop; return itself."""
        self.running = True
        qt.QTimer.singleShot(0, self._step)
        return self

    def stop(self) -> None:
        """Stop; no callback is called afterwards. May be called at any time."""
        self.running = False
        if not is_running(self._steps):
            self._steps.close()

    def _step(self) -> None:
        if not self.running:
            return
        try:
            next(self._steps)
        except StopIteration as end:
            self._end(self._on_done, end.value)
        except Exception as error:
            if not isinstance(error, LeudaError) or self._on_error is None:
                self.running = False
                raise
            self._end(self._on_error, error)
        else:
            qt.QTimer.singleShot(0, self._step)

    def _end(self, callback: Callable[[Any], None] | None, outcome: Any) -> None:
        stopped, self.running = not self.running, False
        if callback is not None and not stopped:
            callback(outcome)


def run(
    steps: Generator[Any, None, Any],
    *,
    wait: bool,
    on_done: Callable[[Any], None] | None = None,
    on_error: Callable[[LeudaError], None] | None = None,
) -> Any:
    """Run a generator and return its result, or with ``wait=False`` a started ``EventLoopWork``."""
    if wait:
        return finish(steps)
    return EventLoopWork(steps, on_done, on_error).start()


class Pulse:
    """A timer that calls a function until it is ended, and then lets go of it.

    PythonQt keeps a function that is connected to a timer alive, and with it its object, as long as the timer exists.
    """

    def __init__(self, function: Callable[[], Any], interval_ms: int = 0, parent: Any = None) -> None:
        self._function = function
        self._timer: Any = qt.QTimer(parent)
        self._timer.setInterval(interval_ms)
        self._timer.connect("timeout()", function)

    def start(self) -> None:
        """Start, unless it was ended."""
        if self._timer is not None:
            self._timer.start()

    def stop(self) -> None:
        """Pause; ``start`` goes on."""
        if self._timer is not None:
            self._timer.stop()

    @property
    def active(self) -> bool:
        """Whether it was started and neither paused nor ended."""
        return self._timer is not None and bool(self._timer.active)

    def end(self) -> None:
        """End for good. May be called at any time."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()
            timer.disconnect("timeout()", self._function)
            timer.deleteLater()

"""Work in pieces: a generator, run to its end at once, or a piece at a time so that the window keeps answering."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from typing import Any

import qt

from leuda_core.errors import LeudaError


def finish(steps: Generator[Any, None, Any]) -> Any:
    """Do all of it now and return what the generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def is_running(steps: Generator[Any, Any, Any]) -> bool:
    """Return whether a generator is at work at this moment, so that it cannot be closed: its caller is further up."""
    return inspect.getgeneratorstate(steps) == inspect.GEN_RUNNING


def within(start: float, stop: float, steps: Generator[float, None, Any]) -> Generator[float, None, Any]:
    """Yield the part done of steps as what it is of something larger; return what they return."""
    while True:
        try:
            part = next(steps)
        except StopIteration as end:
            return end.value
        yield start + part * (stop - start)


class EventLoopWork:
    """Runs a generator a piece at a time, each in a turn of its own of the event loop.

    Args:
        steps: the work.
        on_done: called with what it returns.
        on_error: called with the LeudaError it raises; without, that goes where every unhandled error goes.

    Attributes:
        running: whether it was started, and has neither ended nor been stopped.
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
        """Begin with the next turn of the event loop; returns itself."""
        self.running = True
        qt.QTimer.singleShot(0, self._step)
        return self

    def stop(self) -> None:
        """Give it up; nobody is called any more. May be called at any time."""
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
    """Run a generator and return its value, or with ``wait=False`` an ``EventLoopWork`` that has been started."""
    if wait:
        return finish(steps)
    return EventLoopWork(steps, on_done, on_error).start()

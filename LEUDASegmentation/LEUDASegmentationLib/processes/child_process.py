"""A child process that never blocks Slicer: it delivers complete lines, in order, a few per turn of the event loop.

Lines that arrive together with the end of the process are delivered before the end. If a process writes its log faster
than it can be shown, older lines are dropped, never the last ones, and a note gives their number.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer

from LEUDASegmentationLib.processes.environment import child_environment
from LEUDASegmentationLib.processes.process_tree import ProcessTree

logger = logging.getLogger(__name__)

GRACE_MS = 2000
_LINES_PER_EVENT = 100
_MOST_LOG_LINES = 1000
_LONGEST_LOG_LINE = 65536

_alive: set[ChildProcess] = set()  # a QProcess that is garbage-collected while it runs kills its process

FAILED_TO_START = -1


class LineBuffer:
    """Assembles the lines of a byte stream; a chunk may end inside a line or inside a character."""

    def __init__(self, ends: bytes = b"\n", longest: int | None = None) -> None:
        """``ends``: the bytes that end a line; ``longest``: number of bytes after which a line is split."""
        self._ends = ends
        self._longest = longest
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are complete now, without their line ends and without empty lines."""
        data = self._rest + data
        for end in self._ends[1:]:
            data = data.replace(bytes([end]), self._ends[:1])
        *lines, self._rest = data.split(self._ends[:1])
        if self._longest and len(self._rest) > self._longest:
            lines, self._rest = [*lines, self._rest], b""
        return [line for line in map(self._text, lines) if line]

    def flush(self) -> list[str]:
        """Return the rest after the end of the stream."""
        return self.feed(self._ends[:1])

    @staticmethod
    def _text(line: bytes) -> str:
        return line.decode("utf-8", errors="replace").rstrip()


class ChildProcess:
    """Runs a command; calls ``onOutput(line)``, ``onLog(line)`` for each line of stderr, and finally ``onEnd(code)``.

    ``code`` is negative if the process could not be started (``FAILED_TO_START``) or was ended by a signal.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        onOutput: Callable[[str], None],
        onLog: Callable[[str], None],
        onEnd: Callable[[int], None],
    ) -> None:
        self._command = list(command)
        self._on_output, self._on_log, self._on_end = onOutput, onLog, onEnd
        self._output_buffer, self._log_buffer = LineBuffer(), LineBuffer(b"\n\r", _LONGEST_LOG_LINE)
        self._output: deque[str] = deque()
        self._log: deque[str] = deque(maxlen=_MOST_LOG_LINES)
        self._left_out = 0
        self._code: int | None = None
        self._pumping = False
        self._tree: ProcessTree | None = None
        self.started = False
        self.ended = False
        self.last_log_line = ""
        self._process: Any = self._make_process()  # None when everything is delivered

    def _make_process(self) -> qt.QProcess:
        process = qt.QProcess()
        process.setProcessEnvironment(child_environment())
        for signal, slot in self._connections():
            process.connect(signal, slot)
        return process

    def _connections(self) -> list[tuple[str, Callable[..., None]]]:
        return [
            ("readyReadStandardOutput()", self._read_output),
            ("readyReadStandardError()", self._read_log),
            ("finished(int,QProcess::ExitStatus)", self._on_finished),
            ("errorOccurred(QProcess::ProcessError)", self._on_process_error),
        ]

    def _release(self) -> None:
        """Delete the QProcess: while it exists, PythonQt keeps it and everything that is connected to it alive."""
        process, self._process = self._process, None
        for signal, slot in self._connections():
            process.disconnect(signal, slot)
        process.deleteLater()

    def start(self) -> None:
        """Start the process; a failure to start is reported through ``onEnd``."""
        assert self._process is not None, "a command is started once"
        self.started = True
        _alive.add(self)
        self._process.start(self._command[0], self._command[1:])

    @property
    def running(self) -> bool:
        """Whether the operating system's process was started and has not ended."""
        return self._process is not None and self._process.state() != qt.QProcess.NotRunning

    @property
    def pid(self) -> int:
        """The id of the started process, which may be a launcher; 0 if none runs."""
        return int(self._process.processId()) if self._process is not None else 0

    def write(self, data: bytes) -> None:
        """Send bytes to the standard input of the process, if it has not ended."""
        if self._process is not None:
            self._process.write(data)

    def close_input(self) -> None:
        """Close the standard input of the process."""
        if self._process is not None:
            self._process.closeWriteChannel()

    def close(self, timeout_ms: int) -> None:
        """End a process that ends with its input, without the event loop, for example when Slicer quits."""
        self.close_input()
        if self.running and not self._process.waitForFinished(timeout_ms):
            self.kill()
            self._process.waitForFinished(timeout_ms)

    def interrupt(self) -> None:
        """Ask the process and all its descendants to end; kill them after two seconds."""
        if not self.running:
            return
        self._tree = self._tree or self._find_tree()
        asked = self._tree.interrupt()
        qt.QTimer.singleShot(GRACE_MS if asked else 0, self.kill)

    def kill(self) -> None:
        """Kill the process and all its descendants."""
        if self._tree is None and self.running:
            self._tree = self._find_tree()
        if self._tree is not None:
            self._tree.kill()
        if self.running:
            self._process.kill()

    def _find_tree(self) -> ProcessTree:
        return ProcessTree(self.pid, launcher=Path(self._command[0]).stem == "PythonSlicer")

    def wait(self, timeout_s: float) -> bool:
        """Process events until everything is delivered; return whether that happened in time."""
        deadline = time.monotonic() + timeout_s
        while not self.ended and time.monotonic() < deadline:
            slicer.app.processEvents()
            qt.QThread.msleep(5)
        return self.ended

    def _read_output(self) -> None:
        self._output.extend(self._output_buffer.feed(bytes(self._process.readAllStandardOutput().data())))
        self._pump_soon()

    def _read_log(self) -> None:
        self._append_log(self._log_buffer.feed(bytes(self._process.readAllStandardError().data())))

    def _append_log(self, lines: list[str]) -> None:
        if lines:
            self.last_log_line = lines[-1]
        self._left_out += max(0, len(self._log) + len(lines) - _MOST_LOG_LINES)
        self._log.extend(lines)
        self._pump_soon()

    def _on_finished(self, code: int, status: int) -> None:
        crashed = status == qt.QProcess.CrashExit
        self._end(-abs(code or 1) if crashed else code)

    def _on_process_error(self, error: int) -> None:
        if error == qt.QProcess.FailedToStart:  # after any other error, finished() is emitted, too
            self._append_log([f"{self._command[0]}: {self._process.errorString()}"])
            self._end(FAILED_TO_START)

    def _end(self, code: int) -> None:
        try:
            self._read_output()
            self._read_log()
        except (RuntimeError, ValueError):  # from PySide or PythonQt: Python exits, and Qt has deleted the process
            return
        self._output.extend(self._output_buffer.flush())
        self._append_log(self._log_buffer.flush())
        self._code = code
        self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            qt.QTimer.singleShot(0, self._pump)

    def _pump(self) -> None:
        """Deliver a few lines and schedule the rest, even if a receiver fails."""
        self._pumping = False
        try:
            self._deliver_log()
            for _ in range(min(len(self._output), _LINES_PER_EVENT)):
                self._on_output(self._output.popleft())
        finally:
            if self._output or self._log:
                self._pump_soon()
            elif self._code is not None and not self.ended:
                self.ended = True
                _alive.discard(self)
                self._release()
                self._on_end(self._code)

    def _deliver_log(self) -> None:
        if self._left_out:
            note, self._left_out = f"({self._left_out} lines left out)", 0
            self._on_log(note)
        for _ in range(min(len(self._log), _LINES_PER_EVENT)):
            self._on_log(self._log.popleft())

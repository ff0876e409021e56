"""A command of ``python -m leuda_core`` in a child process: its JSON document, log and error."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from os import fspath
from typing import Any

from slicer.i18n import tr as _

from leuda_core.errors import Cancelled, DeviceError, InputError, LeudaError
from leuda_core.io.children import UTF8_MODE
from LEUDASegmentationLib.processes.child_process import FAILED_TO_START, ChildProcess
from LEUDASegmentationLib.processes.environment import python_command

logger = logging.getLogger(__name__)

OnError = Callable[[LeudaError], None]

_KINDS = {kind.kind: kind for kind in (InputError, DeviceError, LeudaError)}
_LOG_PREFIX = "leuda: error: "


def error_from_json(document: Mapping[str, Any]) -> LeudaError:
    """Return the error that a child process described with ``kind``, ``message`` and ``remedy``."""
    if document.get("kind") == Cancelled.kind:
        return Cancelled()
    kind = _KINDS.get(str(document.get("kind")), LeudaError)
    return kind(str(document.get("message", _("the operation failed"))), str(document.get("remedy", "")))


def error_of_process(code: int, last_line: str) -> LeudaError:
    """Return the error for a process that stopped without reporting one, from its exit code and last log line."""
    if code == FAILED_TO_START:
        return LeudaError(
            _("Python could not be started: {cause}").format(cause=last_line), _("restart Slicer, or reinstall it")
        )
    if "No module named" in last_line or _LOG_PREFIX + "the package" in last_line:
        return LeudaError(
            last_line.removeprefix(_LOG_PREFIX),
            _("press Install in LE-UDA Segmentation"),
        )
    if code < 0:
        message = _("the process stopped unexpectedly with signal {number}").format(number=-code)
        remedy = _("close other programs or choose a smaller volume to free memory, then try again")
    else:
        message = _("the process stopped unexpectedly with code {code}").format(code=code)
        remedy = _("see the log, then try again")
    return LeudaError(f"{message}: {last_line}" if last_line else message, remedy)


class LeudaCommand:
    """Runs ``python -m leuda_core <words> --json``.

    ``onDone`` gets the JSON document, also if the command found problems, as ``check`` does: see ``exit_code``.
    ``onError`` gets a ``LeudaError`` (``Cancelled`` after ``cancel``), ``onLine`` each line of the log.
    """

    def __init__(
        self,
        words: Sequence[Any],
        onDone: Callable[[Any], None] | None = None,
        onError: OnError | None = None,
        onLine: Callable[[str], None] | None = None,
    ) -> None:
        self._words = [fspath(word) if hasattr(word, "__fspath__") else str(word) for word in words]
        self._on_done, self._on_error = onDone or _ignore, onError or _log_error
        self._lines: list[str] = []
        self._cancelled = False
        self.exit_code: int | None = None
        self.document: Any = None
        self.error: LeudaError | None = None
        command = [*python_command(), *UTF8_MODE, "-m", "leuda_core", *self._words, "--json"]
        self._process = ChildProcess(command, onOutput=self._lines.append, onLog=onLine or _ignore, onEnd=self._on_end)

    def start(self) -> LeudaCommand:
        """Start the command and return immediately."""
        self._process.start()
        return self

    @property
    def running(self) -> bool:
        """Whether the command was started and its result is not delivered yet."""
        return self._process.started and not self._process.ended

    def cancel(self) -> None:
        """Ask the command to stop; its process tree is killed after two seconds."""
        self._cancelled = True
        self._process.interrupt()

    def kill(self) -> None:
        """Kill the process tree at once, for example when Slicer quits."""
        self._process.kill()

    def wait(self, timeout_s: float) -> Any:
        """Return the JSON document when the command is done; Slicer keeps processing events meanwhile.

        Raises:
            LeudaError: the command failed, or it was not done in time (it then keeps running).
        """
        if not self._process.wait(timeout_s):
            message = _("'leuda {command}' was not finished after {seconds} s").format(
                command=self._words[0], seconds=round(timeout_s)
            )
            raise LeudaError(message, _("wait longer, or cancel it"))
        if self.error is not None:
            raise self.error
        return self.document

    def _on_end(self, code: int) -> None:
        self.exit_code = code
        self.error = self._find_error(code)
        if self.error is None:
            self._on_done(self.document)
        else:
            self._on_error(self.error)

    def _find_error(self, code: int) -> LeudaError | None:
        """Parse the output into ``document``; return the error, if there is one."""
        if self._cancelled:
            return Cancelled()
        try:
            self.document = json.loads("\n".join(self._lines))
        except (ValueError, RecursionError):
            return error_of_process(code, self._process.last_log_line)
        failure = self.document.get("error") if isinstance(self.document, dict) else None
        return error_from_json(failure) if isinstance(failure, dict) else None


def _ignore(_value: Any) -> None:
    pass


def _log_error(error: LeudaError) -> None:
    logger.error("%s", error)

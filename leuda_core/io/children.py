"""Child processes with this package: how they are started, and limits on their time and memory.

The limits are for C++ libraries that a damaged file can crash, or keep busy for ever. Standard library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from leuda_core.errors import COPY_AGAIN, FREE_MEMORY, InputError, LeudaError, MemoryShortage

UTF8_MODE = ("-X", "utf8")
"""Options of the interpreter: paths and messages are UTF-8, whatever the locale says."""
REFUSED = 3
"""Exit code of a child that explains on its last line of standard error why it cannot use its input."""
NO_SPACE = 4
"""Exit code of a child whose disk is full."""

_BASE_MEMORY = 3 << 30  # address space of Python with its libraries, most of which is never used
_WALL_FACTOR = 10  # a busy machine gives a process only a part of its time
_LOG = "child.log"
_LONGEST_LOG = 1 << 16  # characters


def python_path() -> str:
    """Return the ``PYTHONPATH`` with which a child process finds this package, wherever it starts."""
    package_parent = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH")]))


def run_isolated(module: str, arguments: Sequence[str], folder: Path, *, seconds: float, memory_bytes: int) -> str:
    """Run ``python -m module arguments`` in ``folder``, for at most ``seconds`` of computing and ``memory_bytes``.

    On systems without limits on processes, only the time that passes is limited. An interrupted call ends the child.
    Return the start of what it has printed.

    Raises:
        InputError: the message says in what way the child has failed, to be put after the name of its input.
        MemoryShortage: the system has ended it. LeudaError: the disk is full.
    """
    limits = [str(int(seconds) + 1), str(_BASE_MEMORY + memory_bytes)]
    command = [sys.executable, *UTF8_MODE, "-m", module, *limits, *arguments]
    with open(folder / _LOG, "wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            code = process.wait(seconds * _WALL_FACTOR)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    with open(folder / _LOG, encoding="utf-8", errors="replace") as log:
        said = log.read(_LONGEST_LOG)
    if code != 0:
        raise _failure(code, said, folder, seconds)
    return said


def limit(seconds: int, memory_bytes: int) -> None:
    """Limit the time of computing and the address space of this process, where the system can; for the child."""
    if os.name != "posix":
        return
    import resource

    for kind, amount in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        try:
            resource.setrlimit(kind, (amount, hard))
        except (ValueError, OSError):
            continue  # macOS does not limit address space


def _environment() -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    return {**os.environ, **dict.fromkeys(names, "1"), "PYTHONPATH": python_path()}


def _failure(code: int | None, said: str, folder: Path, seconds: float) -> LeudaError:
    if code is None or code == -getattr(signal, "SIGXCPU", 0):
        return InputError(f"takes longer than {seconds:.0f} s to decode", COPY_AGAIN)
    if code == NO_SPACE:
        return LeudaError(f"needs more space in '{folder.parent}': no space left", "free disk space")
    if code == -getattr(signal, "SIGKILL", 0):
        return MemoryShortage("needs more memory than there is (the system has ended its decoder)", FREE_MEMORY)
    last = next((line.strip() for line in reversed(said.split("\n")) if line.strip()), "")
    if code == REFUSED:
        return InputError(f"is damaged ({last[:160]})", COPY_AGAIN)
    return InputError(f"is damaged (its decoder crashed with code {code})", COPY_AGAIN)

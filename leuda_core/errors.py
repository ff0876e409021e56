"""The errors that users see. Standard library only, so that Slicer can import it before anything is installed.

Every message names the problem and the value; ``remedy`` says what to do. The exit codes are those of the command line:
2 for a wrong call or input, 130 for a cancelled run, 1 for a bug in leuda.
"""

from __future__ import annotations

import errno
import re

FREE_SPACE = "free disk space or choose another folder"
FREE_MEMORY = "close other programs or use a machine with more memory"
COPY_AGAIN = "copy, download or export it again"
"""Remedies that several parts of the package give; the last one is for a damaged file."""

_NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_SPACE_WORDS = re.compile(r"no space left|disk full|disk quota exceeded|file too large", re.IGNORECASE)
_MEMORY_WORDS = re.compile(
    r"not enough memory|out of memory|insufficient memory|(can't|cannot|could not|unable to|failed to) allocate"
    r"|alloc_failed|cudaerrormemoryallocation|bad_alloc|bad allocation|defaultcpuallocator|failed to map segment"
    r"|can't start new thread|could not create a primitive(?! descriptor)|could not create a memory object",
    re.IGNORECASE,
)


class LeudaError(Exception):
    """Base of all errors this package raises on purpose."""

    exit_code = 1
    kind = "fault"

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class InputError(LeudaError):
    """The call, a file or a setting is wrong; the user can fix it."""

    exit_code = 2
    kind = "input"


class Cancelled(LeudaError):
    """The user asked the work to stop."""

    exit_code = 130
    kind = "cancelled"

    def __init__(self, message: str = "cancelled") -> None:
        super().__init__(message)


class DeviceError(LeudaError):
    """The requested device cannot do this work: no kernel runs, or there is not enough memory for a single slice."""

    exit_code = 2
    kind = "device"


class MemoryShortage(DeviceError):
    """The memory was exhausted: with more of it, the same work succeeds."""


FAULT_REMEDY = "this is a bug in leuda; set LEUDA_DEBUG=1 to see where"


def lacks_space(error: BaseException) -> bool:
    """Return whether an error means that a disk, a quota or the size of a file is exhausted."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _NO_SPACE
    return not isinstance(error, LeudaError) and bool(_SPACE_WORDS.search(str(error)))


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error means that the memory, or the number of threads, is exhausted.

    The words are those of PyTorch, oneDNN, CUDA, ITK, the C++ library and the dynamic linker.
    """
    if isinstance(error, MemoryError | MemoryShortage):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError | ImportError) and bool(_MEMORY_WORDS.search(str(error)))


def reason_of(error: Exception) -> str:
    """Return why the operating system refused something, in lower case, to be put into a message."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def as_leuda_error(error: BaseException, fault_remedy: str = FAULT_REMEDY) -> LeudaError:
    """Convert any error to a ``LeudaError`` with a remedy, which is ``fault_remedy`` if no better one is known."""
    if isinstance(error, LeudaError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Cancelled()
    if lacks_memory(error):
        return MemoryShortage(f"not enough memory ({first_line(error)})", FREE_MEMORY)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("leuda_core"):
        return InputError(f"the package {error.name} is missing", "run `leuda doctor` to see how to install it")
    if isinstance(error, OSError | RuntimeError) and lacks_space(error):
        what = f"'{error.filename}'" if isinstance(error, OSError) and error.filename else "the output"
        return LeudaError(f"cannot write {what}: no space left", FREE_SPACE)
    if isinstance(error, OSError) and error.filename is not None:
        return InputError(
            f"{error.filename}: {reason_of(error)}", "check the path, its permissions and the free disk space"
        )
    if isinstance(error, OSError) and error.errno is not None:
        what = f"the system reports: {reason_of(error)} (errno {error.errno})"
        return InputError(what, "check the disk, the network and the limits of this account, then try again")
    return LeudaError(f"{type(error).__name__}: {error}", fault_remedy)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or else the name of its type, to be put into a message."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]

"""The errors that users see. Standard library only, so that Slicer can import it before anything is installed.

Every message names the problem and the value; ``remedy`` says what to do. The exit codes are those of the command line:
2 for a wrong call or input, 130 for a cancelled run, 1 for a bug in leuda.
"""

from __future__ import annotations


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


FAULT_REMEDY = "this is a bug in leuda; set LEUDA_DEBUG=1 to see where"


def as_leuda_error(error: BaseException, fault_remedy: str = FAULT_REMEDY) -> LeudaError:
    """Convert any error to a ``LeudaError`` with a remedy, which is ``fault_remedy`` if no better one is known."""
    if isinstance(error, LeudaError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Cancelled()
    if isinstance(error, MemoryError):
        return DeviceError(f"not enough memory ({error})", "close other programs or use a machine with more memory")
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("leuda_core"):
        return InputError(f"the package {error.name} is missing", "run `leuda doctor` to see how to install it")
    if isinstance(error, OSError) and error.filename is not None:
        reason = (error.strerror or str(error)).lower()
        return InputError(f"{error.filename}: {reason}", "check the path, its permissions and the free disk space")
    return LeudaError(f"{type(error).__name__}: {error}", fault_remedy)

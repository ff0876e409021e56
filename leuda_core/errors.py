"""The errors that reach a user. Standard library only, so that Slicer can import it before anything is installed.

Every message says what is wrong, with which value; ``remedy`` says what to do about it. The exit codes are those of
the command line: 2 for a wrong call or input, 130 for a cancelled run, 1 for a fault of ours.
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
    """The call, a file or a setting is wrong; the user can mend it."""

    exit_code = 2
    kind = "input"


class Cancelled(LeudaError):
    """Somebody asked the work to stop."""

    exit_code = 130
    kind = "cancelled"

    def __init__(self, message: str = "cancelled") -> None:
        super().__init__(message)


class DeviceError(LeudaError):
    """The asked-for device cannot run this work (no kernel runs, or not enough memory even one slice at a time)."""

    exit_code = 2
    kind = "device"

"""The machine as a plan sees it."""

from __future__ import annotations

from dataclasses import dataclass

_CLASSES_GB = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 64, 80, 128)
_UNKNOWN_GB = 4.0


@dataclass(frozen=True)
class Machine:
    """Where a run computes. ``memory_gb`` is the free memory, rounded down to a class, so that plans are repeatable.

    ``bfloat16`` tells whether feature maps are computed in half precision, which takes about half of their memory.
    """

    kind: str
    memory_gb: float
    bfloat16: bool = False

    @classmethod
    def of(cls, kind: str, free_gb: float | None, *, bfloat16: bool = False) -> Machine:
        """Return the machine with a device of this kind and this much free memory; ``None``: unknown."""
        free = _UNKNOWN_GB if free_gb is None else free_gb
        return cls(kind, float(max((one for one in _CLASSES_GB if one <= free), default=free)), bfloat16)

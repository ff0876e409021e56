"""The text in front of the voxels: lines and numbers, all within limits, and what they say of an image."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

import numpy as np

from leuda_core.errors import InputError
from leuda_core.io.formats.sources import EXPORT_AGAIN, shown, unreadable
from leuda_core.io.formats.voxels import Storage

MAX_AXES = 16
MAX_MM = 1e9
"""No distance in a header may be larger; coordinates of that size are damage, and their squares would overflow."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LAST_ROW = (0.0, 0.0, 0.0, 1.0)  # of every affine
_MIN_STEP_MM = 1e-6  # a nanometre: no volume has smaller voxels, and smaller numbers would underflow
_MAX_LINE = 1 << 20
_MAX_HEADER = 1 << 23
_MAX_LINES = 20_000
_MAX_FIELD = 4096
_LENGTHS = {"m", "dm", "cm", "um", "µm", "μm", "nm", "pm", "km", "in", "inch", "inches", "ft", "mil"}
_LENGTHS |= {
    prefix + end for prefix in ("", "centi", "micro", "nano") for end in ("meter", "meters", "metre", "metres")
}


@dataclass(frozen=True, eq=False)
class Header:
    """What the header of a file says.

    Shape:
        shape: the stored axes, without that of the components.
        affine: ``(4, 4)``, voxel index to RAS mm.
        components: numbers per voxel; ``kind`` is what the file calls them.
        pairs: free key/value pairs.
    """

    path: Path
    shape: tuple[int, ...]
    affine: np.ndarray
    storage: Storage
    components: int = 1
    kind: str = "vector"
    pairs: Mapping[str, str] = field(default_factory=dict)


def read_lines(stream: BufferedReader, path: Path, is_last: Callable[[str], bool]) -> list[str]:
    """Return the lines of a header, without line ends, up to and with the one that ``is_last`` accepts.

    Text is UTF-8; a line that is not is taken as Latin-1.

    Raises:
        InputError: a line is too long, or there are too many.
    """
    lines: list[str] = []
    total = 0
    while raw := stream.readline(_MAX_LINE):
        total += len(raw)
        if len(raw) == _MAX_LINE or total > _MAX_HEADER or len(lines) == _MAX_LINES:
            raise unreadable(path, f"its header does not end within {_MAX_LINES} lines or {_MAX_HEADER >> 20} MB")
        lines.append(_decoded(raw).rstrip("\r\n"))
        if is_last(lines[-1]):
            break
    return lines


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def check_length(path: Path, name: str, value: str) -> str:
    """Return the value of a field that has a use; such values are short."""
    if len(value) > _MAX_FIELD:
        raise unreadable(path, f"the field {shown(name)} has {len(value)} characters")
    return value


def whole(path: Path, name: str, text: str) -> int:
    """Return a whole number of at most 18 digits.

    Raises:
        InputError: anything else.
    """
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
        raise unreadable(path, f"the field {shown(name)} is {shown(text)}, not a whole number")
    return int(text)


def is_plain(text: str) -> bool:
    """Return whether numbers in a text mean the same to every program.

    Python also reads digits of other scripts, underscores within numbers, and spaces beyond ASCII.
    """
    return text.isascii() and "_" not in text


def sizes(path: Path, name: str, text: str, count: int) -> tuple[int, ...]:
    """Return the sizes of ``count`` axes, each at least 1."""
    words = text.split() if is_plain(text) else []
    found = tuple(whole(path, name, word) for word in words[:count])
    if len(words) != count or min(found) < 1:
        raise unreadable(path, f"the field {shown(name)} is {shown(text)}, not {count} sizes from 1")
    return found


def numbers(path: Path, name: str, text: str, count: int) -> list[float]:
    """Return ``count`` numbers whose decimal sign is a point, whatever the system's language is."""
    try:
        found = [float(word) for word in text.split()[: count + 1]] if is_plain(text) else []
    except ValueError:
        found = []
    if len(found) != count or not all(map(is_sane, found)):
        what = f"'{path}' has a field {shown(name)} of {shown(text)}, not {count} numbers up to {MAX_MM:g}"
        raise InputError(what, "write it with decimal points, or export it again")
    return found


def is_sane(value: float) -> bool:
    return math.isfinite(value) and abs(value) <= MAX_MM


def check_unit(path: Path, units: list[str]) -> None:
    """Refuse lengths in other units than mm, which would be read as mm; unknown words count as mm."""
    if other := [unit for unit in units if unit.strip().lower() in _LENGTHS]:
        raise InputError(f"'{path}' gives lengths in {other[0]}, not mm", f"{EXPORT_AGAIN}, in mm")


def affine_of(path: Path, axes: np.ndarray, origin: np.ndarray, to_ras: np.ndarray = LPS_TO_RAS) -> np.ndarray:
    """Return the affine (RAS mm) of up to three axes (columns) and their origin; axes beyond three are left out.

    Raises:
        InputError: a number is not finite or too large, or the axes do not span the space.
    """
    count = min(len(origin), 3)
    affine = np.eye(4)
    affine[:count, :count] = axes[:count, :count]
    affine[:count, 3] = origin[:count]
    if not (np.isfinite(affine).all() and np.abs(affine).max() <= MAX_MM):
        raise InputError(f"'{path}' has a grid of impossible size", EXPORT_AGAIN)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if lengths.min() == 0 or np.linalg.det(affine[:3, :3] / lengths) == 0:
        rows = affine[:3].tolist()
        raise InputError(f"'{path}' has directions whose determinant is 0: {rows}", EXPORT_AGAIN)
    return to_ras @ affine


def is_usable(affine: np.ndarray) -> bool:
    """Return whether an affine can be inverted and its lengths are possible."""
    if not np.isfinite(affine).all() or np.abs(affine).max() > MAX_MM or not np.allclose(affine[3], _LAST_ROW):
        return False
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(lengths.min() >= _MIN_STEP_MM and abs(np.linalg.det(affine[:3, :3] / lengths)) >= 1e-6)


def checked_affine(affine: np.ndarray, path: Path) -> np.ndarray:
    """Return the affine of a volume of any format.

    Raises:
        InputError: it is not usable.
    """
    if not is_usable(affine):
        what = f"'{path}' has an affine that cannot be inverted: {rows_of(affine)}"
        raise InputError(what, "export it with its orientation")
    return affine


def rows_of(affine: np.ndarray) -> list[list[float]]:
    """Return the rows of an affine for a message; ``np.round`` would overflow for large numbers."""
    return [[float(f"{value:.6g}") for value in row] for row in affine[:3]]

"""The size that a JPEG, JPEG-LS or JPEG 2000 code itself tells (ITU-T T.81 B.2.2, T.87 C.2.2, T.800 A.5.1)."""

from __future__ import annotations

import struct

_JPEG_START, _JPEG_2000_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
_FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def size_of(code: bytes) -> tuple[int, int] | None:
    """Return rows and columns of a compressed frame, None if the code does not tell them where it should."""
    if code[:2] == _JPEG_START:
        return _jpeg_size(code)
    place = code.find(_JPEG_2000_START, 0, 512)  # some writers put a file header in front
    if place < 0 or len(code) < place + 24:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", code, place + 8)
    return bottom - top, right - left


def _jpeg_size(code: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(code) and code[place] == 0xFF:
        marker, length = struct.unpack_from(">BH", code, place + 1)
        if marker in _FRAME_MARKERS:
            rows, columns = struct.unpack_from(">2H", code, place + 5)
            return rows, columns
        place += 1 if marker == 0xFF else 2 + length
    return None

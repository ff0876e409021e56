"""What a JPEG, JPEG-LS or JPEG 2000 code itself tells (ITU-T T.81 B.2.2, T.87 C.2.2, T.800 A.5.1)."""

from __future__ import annotations

import struct
from typing import NamedTuple

_JPEG_START, _JPEG_2000_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
_FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


class Code(NamedTuple):
    """Size in pixels, colour components, and the bits of a pixel; JPEG and JPEG-LS have no signed ones."""

    rows: int
    columns: int
    components: int
    bits: int
    signed: bool


def code_of(data: bytes) -> Code | None:
    """Return what the code of a frame tells, None if it does not tell it where it should."""
    if data[:2] == _JPEG_START:
        return _jpeg(data)
    place = data.find(_JPEG_2000_START, 0, 512)  # some writers put a file header in front
    if place < 0 or len(data) < place + 43:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, place + 8)
    components, depth = struct.unpack_from(">HB", data, place + 40)
    return Code(bottom - top, right - left, components, (depth & 0x7F) + 1, depth >= 0x80)


def _jpeg(data: bytes) -> Code | None:
    place = 2
    while place + 10 <= len(data) and data[place] == 0xFF:
        marker, length = struct.unpack_from(">BH", data, place + 1)
        if marker in _FRAME_MARKERS:
            bits, rows, columns, components = struct.unpack_from(">B2HB", data, place + 4)
            return Code(rows, columns, components, bits, False)
        place += 1 if marker == 0xFF else 2 + length
    return None

"""Run-length encoded frames: one segment for each byte of the pixels, the highest byte first (DICOM PS3.5 G)."""

from __future__ import annotations

import struct

import numpy as np

from leuda_core.io.dicom.frames import PixelFormat

_HEADER = 64


def decode(code: bytes, form: PixelFormat) -> np.ndarray:
    """Return the stored values ``(rows, columns)`` of a frame.

    Raises:
        ValueError: the code is damaged.
    """
    count, *starts = struct.unpack_from("<16I", code)
    if count != form.bits_allocated // 8:
        raise ValueError(f"{count} segments for pixels of {form.bits_allocated} bits")
    size = form.rows * form.columns
    ends = [*starts[1:count], len(code)]
    planes = np.empty((size, count), np.uint8)
    for index, (start, end) in enumerate(zip(starts[:count], ends, strict=True)):
        planes[:, count - 1 - index] = np.frombuffer(_unpacked(code[max(start, _HEADER) : end], size), np.uint8)
    return planes.reshape(-1).view(form.dtype.newbyteorder("<")).reshape(form.rows, form.columns)


def _unpacked(code: bytes, size: int) -> bytearray:
    out = bytearray()
    place = 0
    while len(out) < size:
        if place >= len(code):
            raise ValueError(f"{len(out)} of {size} bytes in a segment")
        length = code[place]
        if length < 128:
            out += code[place + 1 : place + 2 + length]
            place += 2 + length
        else:
            out += code[place + 1 : place + 2] * (257 - length if length > 128 else 0)
            place += 2 if length > 128 else 1
    return out[:size]

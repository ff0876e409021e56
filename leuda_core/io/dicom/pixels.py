"""The stored values of frames: read from the file, run-length decoded, or decoded in a child process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from leuda_core.errors import InputError
from leuda_core.io.dicom import rle
from leuda_core.io.dicom.compressed import decoded_frames
from leuda_core.io.dicom.fragments import encoded_frames
from leuda_core.io.dicom.frames import Frame, PixelFormat
from leuda_core.io.dicom.header import PixelSpan, inflated, understood
from leuda_core.io.dicom.storage import RLE, needs_decoder, span_of


@contextmanager
def stored_frames(frames: Sequence[Frame]) -> Iterator[Iterator[np.ndarray]]:
    """Give the stored values of frames ``(rows, columns)`` one by one, without the bits above ``bits_stored``.

    JPEG frames are decoded first, so that what their headers promise has come true before memory is allocated.

    Raises:
        InputError: pixels are missing or damaged.
    """
    with decoded_frames([frame for frame in frames if needs_decoder(frame.header)]) as decoded:
        reader = _Reader()
        yield (
            _cleaned(next(decoded) if needs_decoder(frame.header) else reader.read(frame), frame.format)
            for frame in frames
        )


class _Reader:
    """Reads native and run-length encoded frames; keeps the last unpacked file, as its frames follow each other."""

    def __init__(self) -> None:
        self._path = Path()
        self._inflated = b""
        self._codes: list[bytes] = []

    def read(self, frame: Frame) -> np.ndarray:
        path, form = frame.header.path, frame.format
        with understood(path):
            if frame.header.syntax == RLE:
                return rle.decode(self._encoded(frame)[frame.index], form)
            return self._native(frame, span_of(frame.header)).reshape(form.rows, form.columns)

    def _native(self, frame: Frame, span: PixelSpan) -> np.ndarray:
        path, form = frame.header.path, frame.format
        if span.order == ">" and span.words and form.bits_allocated == 8:
            raise InputError(f"'{path}' has bytes in big-endian words", "convert it to little-endian")
        dtype, count = form.dtype.newbyteorder(span.order), form.rows * form.columns
        start = span.offset + frame.index * form.frame_bytes
        if span.deflated_from is None:
            return np.fromfile(path, dtype, count, offset=start)
        if self._path != path:
            self._path = path
            self._inflated = inflated(path, span.deflated_from, span.offset + frame.count * form.frame_bytes)
        return np.frombuffer(self._inflated, dtype, count, offset=start)

    def _encoded(self, frame: Frame) -> list[bytes]:
        if self._path != frame.header.path:
            self._path, self._codes = frame.header.path, encoded_frames(frame)
        return self._codes


def _cleaned(raw: np.ndarray, form: PixelFormat) -> np.ndarray:
    """Return the values of the lowest ``bits_stored`` bits; the others may hold overlays (DICOM PS3.5 8.1.1)."""
    data: np.ndarray[Any, Any] = raw.astype(form.dtype)
    unused = form.bits_allocated - form.bits_stored
    if unused:
        data <<= unused
        data >>= unused  # repeats the sign of signed values
    if form.inverted:
        low, high = form.bounds
        data = np.array(low + high, data.dtype) - data
    return data

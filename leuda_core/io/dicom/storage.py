"""How the pixels of a file are stored, and whether as many bytes as its header says can be there."""

from __future__ import annotations

from pathlib import Path

from leuda_core.errors import COPY_AGAIN, InputError
from leuda_core.io.dicom.header import Header, PixelSpan

RLE = "1.2.840.10008.1.2.5"

_NATIVE = {"", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
_INFLATED_RATIO = 1032  # bytes that one deflated byte can become
_RUN_LENGTH_RATIO = 64  # two bytes become at most 128
_LEAST_FRAGMENT = 10  # bytes of a compressed frame with its length


def span_of(header: Header) -> PixelSpan:
    """Return where the pixels of a file are.

    Raises:
        InputError: it has none.
    """
    if header.pixels is None:
        raise InputError(f"'{header.path}' has no pixels (PixelData)", COPY_AGAIN)
    return header.pixels


def is_native(header: Header) -> bool:
    return header.syntax in _NATIVE


def needs_decoder(header: Header) -> bool:
    """Return whether the pixels are compressed in a way that only a C++ library decodes."""
    return not is_native(header) and header.syntax != RLE


def check_size(header: Header, frame_bytes: int, count: int) -> None:
    """Check that a file can have as many bytes of pixels as its header says, before anything is made for each frame.

    Raises:
        InputError: it has fewer, or no pixels, or those of further frames.
    """
    span, size = span_of(header), header.path.stat().st_size
    expected, available = frame_bytes * count, size - span.offset
    if needs_decoder(header):
        expected = _LEAST_FRAGMENT * count  # the size of the frames is known only after decoding, which has limits
    elif header.syntax == RLE:
        available *= _RUN_LENGTH_RATIO
    elif span.length is None:
        raise InputError(f"'{header.path}' has no length of PixelData", COPY_AGAIN)
    else:
        available = min(size * _INFLATED_RATIO if span.deflated_from is not None else available, span.length)
        _check_excess(header.path, span.length, frame_bytes, count)
    if available < expected:
        what = f"{max(available, 0)} of {expected} bytes of pixels"
        raise InputError(f"'{header.path}' is truncated or damaged ({what})", COPY_AGAIN)


def _check_excess(path: Path, length: int, frame_bytes: int, count: int) -> None:
    """Reject a header that has lost frames or bits; a few more bytes are padding."""
    if length >= frame_bytes * count + max(frame_bytes, 2):
        what = f"its header describes {frame_bytes * count} of {length} bytes of pixels: {count} x {frame_bytes}"
        raise InputError(f"'{path}' is damaged ({what})", COPY_AGAIN)

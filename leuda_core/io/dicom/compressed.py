"""JPEG, JPEG-LS and JPEG 2000 frames, decoded by GDCM (in SimpleITK) in a child process, which it may crash.

The child gets each frame as a small DICOM file that is written here, so that GDCM never parses a header of others.
"""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from leuda_core.errors import COPY_AGAIN, InputError, LeudaError
from leuda_core.io.children import run_isolated
from leuda_core.io.dicom.codestream import Code, code_of
from leuda_core.io.dicom.fragments import END, ITEM, encoded_frames
from leuda_core.io.dicom.frames import Frame
from leuda_core.io.files import write_error
from leuda_core.io.leftovers import temporary_folder

VOXELS = "voxels.raw"
ENDING = ".dcm"
"""Names of files in the private folder: stored values of all frames, and ``NUMBER.TYPE.dcm`` for each frame."""

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # a class of images without geometry, slope and intercept
_SECONDS = 8.0  # also to start Python and its libraries
_SECONDS_PER_BYTE = 5e-7  # the slowest decoder needs a tenth of it
_LOST_PIXELS = re.compile(r"Corrupt JPEG data: (?!\d extraneous).*")  # not a few more bytes, which are harmless


@contextmanager
def decoded_frames(frames: Sequence[Frame]) -> Iterator[Iterator[np.ndarray]]:
    """Decode all frames, then give their stored values ``(rows, columns)`` one by one; nothing to do for none.

    Raises:
        InputError: a file is damaged, or has another kind of compression. LeudaError: the disk is full.
    """
    if not frames:
        yield iter(())
        return
    with temporary_folder(Path(tempfile.gettempdir()), prefix="leuda-frames-") as folder:
        try:
            sign_bits = _write_frames(frames, folder)
        except OSError as error:
            raise write_error(folder, error) from error
        _decode(frames, folder)
        yield _read_back(frames, sign_bits, folder / VOXELS)


def _decode(frames: Sequence[Frame], folder: Path) -> None:
    largest = max(frame.format.frame_bytes for frame in frames)
    seconds = _SECONDS + _SECONDS_PER_BYTE * sum(frame.format.frame_bytes for frame in frames)
    try:
        said = run_isolated(
            "leuda_core.io.dicom.decoder", [str(folder)], folder, seconds=seconds, memory_bytes=16 * largest
        )
        if lost := _LOST_PIXELS.search(said):
            raise InputError(f"is damaged ({lost[0]})", COPY_AGAIN)
    except LeudaError as error:
        raise type(error)(f"'{frames[0].header.path}' or its series {error.message}", error.remedy) from error


def _read_back(frames: Sequence[Frame], sign_bits: Sequence[int | None], path: Path) -> Iterator[np.ndarray]:
    expected, found = sum(frame.format.frame_bytes for frame in frames), path.stat().st_size
    if found != expected:
        what = f"'{frames[0].header.path}' or its series is damaged ({found} of {expected} bytes of pixels)"
        raise InputError(what, COPY_AGAIN)
    return _frames_in(frames, sign_bits, path)


def _frames_in(frames: Sequence[Frame], sign_bits: Sequence[int | None], path: Path) -> Iterator[np.ndarray]:
    with open(path, "rb") as stream:
        for frame, sign_bit in zip(frames, sign_bits, strict=True):
            form = frame.format
            pixels = np.frombuffer(stream.read(form.frame_bytes), form.dtype)
            if sign_bit is not None and (pixels.view(f"u{form.dtype.itemsize}") >> sign_bit).any():
                what = f"header and code disagree on the sign of pixels, in {form.bits_stored} or {sign_bit + 1} bits"
                raise InputError(f"'{frame.header.path}' cannot be used: {what}", "export it again without compression")
            yield pixels.reshape(form.rows, form.columns)


def _write_frames(frames: Sequence[Frame], folder: Path) -> list[int | None]:
    """Write one DICOM file for each frame, numbered in order.

    Return which bit of its pixels is a sign for the code alone or for the header alone; None if they agree.
    """
    last: tuple[Path, list[bytes]] | None = None
    sign_bits: list[int | None] = []
    for number, frame in enumerate(frames):
        path = frame.header.path
        if last is None or last[0] != path:
            last = path, encoded_frames(frame)
        code = last[1][frame.index]
        told, form = code_of(code), frame.format
        if told is not None:
            _check_code(frame, told)
        unclear = told is not None and told.signed != form.signed and told.bits < form.bits_stored
        sign_bits.append(told.bits - 1 if told is not None and unclear else None)
        (folder / f"{number:07}.{form.dtype.name}{ENDING}").write_bytes(_as_file(frame, code, told))
    return sign_bits


def _check_code(frame: Frame, told: Code) -> None:
    """Check the size that the code tells: the decoder believes the header and takes memory for it."""
    form = frame.format
    if told[:2] != (form.rows, form.columns):
        what = f"its header says {form.rows} x {form.columns} pixels, its code {told.rows} x {told.columns}"
        raise InputError(f"'{frame.header.path}' is damaged ({what})", COPY_AGAIN)
    if told.components != 1:
        what = f"its code has {told.components} colours, which its header does not say"
        raise InputError(f"'{frame.header.path}' is damaged ({what})", COPY_AGAIN)


def _as_file(frame: Frame, code: bytes, told: Code | None) -> bytes:
    """Return a DICOM file with one compressed frame and nothing else."""
    form = frame.format
    if told is not None and told.bits <= 8 < form.bits_allocated and not told.signed:
        form = replace(form, bits_allocated=8, bits_stored=8, signed=False)  # GDCM does not widen the pixels
    meta = b"".join(
        [
            _element(0x00020001, b"OB", b"\0\1"),
            _element(0x00020002, b"UI", _SECONDARY_CAPTURE.encode()),
            _element(0x00020003, b"UI", b"2.25.1"),
            _element(0x00020010, b"UI", frame.header.syntax.encode("ascii", "replace")),
        ]
    )
    sizes = {
        0x00280010: form.rows,
        0x00280011: form.columns,
        0x00280100: form.bits_allocated,
        0x00280101: form.bits_stored,
        0x00280102: form.bits_stored - 1,
        0x00280103: int(form.signed),
    }
    code += b"\0" * (len(code) % 2)
    parts = [
        b"\0" * 128 + b"DICM",
        _element(0x00020000, b"UL", struct.pack("<I", len(meta))),
        meta,
        _element(0x00080016, b"UI", _SECONDARY_CAPTURE.encode()),
        _element(0x00080018, b"UI", b"2.25.1"),
        _element(0x00280002, b"US", struct.pack("<H", 1)),
        _element(0x00280004, b"CS", b"MONOCHROME2"),
        *(_element(tag, b"US", struct.pack("<H", value)) for tag, value in sizes.items()),
        struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF),
        ITEM + struct.pack("<I", 0) + ITEM + struct.pack("<I", len(code)) + code + END + struct.pack("<I", 0),
    ]
    return b"".join(parts)


def _element(tag: int, kind: bytes, value: bytes) -> bytes:
    """Return one element in explicit little-endian encoding."""
    value += (b"\0" if kind in (b"UI", b"OB") else b" ") * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + kind
    return head + (struct.pack("<HI", 0, len(value)) if kind == b"OB" else struct.pack("<H", len(value))) + value

"""Compressed pixels are stored in fragments; a frame has one or more of them (DICOM PS3.5 A.4)."""

from __future__ import annotations

import struct
from bisect import bisect_right

from leuda_core.errors import COPY_AGAIN, InputError
from leuda_core.io.dicom.codestream import code_of
from leuda_core.io.dicom.frames import Frame
from leuda_core.io.dicom.storage import span_of
from leuda_core.io.dicom.values import shown

ITEM, END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


def encoded_frames(frame: Frame) -> list[bytes]:
    """Return the compressed code of each frame of the file that ``frame`` is from.

    Raises:
        InputError: it cannot be told which fragments belong to which frame.
    """
    path, span = frame.header.path, span_of(frame.header)
    with open(path, "rb") as stream:
        stream.seek(span.offset)
        data = stream.read()
    if span.length is not None and data[:4] != ITEM:
        what = f"its pixels are not encoded as its header says (TransferSyntaxUID {shown(frame.header.syntax)})"
        raise InputError(f"'{path}' cannot be used: {what}", "export it again without compression")
    table, found = fragments(data)
    if (codes := joined(table, found, frame.count)) is None:
        what = f"{len(found)} fragments for {frame.count} frames"
        raise InputError(f"'{path}' is truncated or damaged ({what})", COPY_AGAIN)
    return codes


def joined(table: list[int], found: list[tuple[int, bytes]], count: int) -> list[bytes] | None:
    """Return the code of each of ``count`` frames, None if it cannot be told which fragments belong to which."""
    if len(found) == count:
        return [code for _, code in found]
    if count == 1 and found:
        several = len(table) > 1 or sum(code_of(code) is not None for _, code in found) > 1
        return None if several else [b"".join(code for _, code in found)]
    if len(table) != count or table != sorted(table) or table[0] != 0:
        return None
    parts: list[list[bytes]] = [[] for _ in table]
    for offset, code in found:
        parts[bisect_right(table, offset) - 1].append(code)
    return [b"".join(codes) for codes in parts] if all(parts) else None


def fragments(data: bytes) -> tuple[list[int], list[tuple[int, bytes]]]:
    """Return the table of offsets of the frames, and offset and content of each fragment that is complete."""
    found: list[tuple[int, bytes]] = []
    place = 0
    while data[place : place + 4] == ITEM and place + 8 <= len(data):
        length = struct.unpack_from("<I", data, place + 4)[0]
        if place + 8 + length > len(data):
            break
        found.append((place, data[place + 8 : place + 8 + length]))
        place += 8 + length
    if not found:
        return [], []
    table = found[0][1]
    start = 8 + len(table)
    return (
        list(struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4])),
        [(offset - start, code) for offset, code in found[1:]],
    )

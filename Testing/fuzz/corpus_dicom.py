"""Small valid DICOM files, series and multi-frame files, made in code, without a DICOM library."""

from __future__ import annotations

import struct

import numpy as np

from fuzz.mutate_dicom import Element
from fuzz.sample import Sample

_CT, _ENHANCED_CT, _MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.4"
_EXPLICIT = "1.2.840.10008.1.2.1"
_ROWS, _COLUMNS = 4, 6


def dicom_samples() -> list[Sample]:
    """Return series with and without extensions, single files, multi-frame files and a mixed folder."""
    series = [image(number) for number in range(3)]
    slopes = [image(number, slope=str(1 + number)) for number in range(3)]
    return [
        {f"{number}.dcm": file for number, file in enumerate(series)},
        {f"IM{number}": file for number, file in enumerate(slopes)},
        {"1.dcm": series[0]},
        {"1.dcm": multi_frame()},
        {"1.dcm": multi_frame(), "2.dcm": image(1)},
        {f"{number}.IMA": image(number, kind=_MR, tilt=0.3) for number in range(3)},
        {"1.dcm": series[0], "2.dcm": image(0, series="1.2.9")},
    ]


def image(
    number: int, *, kind: str = _CT, series: str = "1.2.3", slope: str = "1", tilt: float = 0.0, slice_mm: int = 3
) -> bytes:
    """Return one slice; ``tilt`` (mm a slice) moves it within its plane."""
    elements = [
        *_identity(kind, series, number),
        _text(0x0018, 0x0050, "DS", str(slice_mm)),
        _text(0x0020, 0x0032, "DS", f"-10\\{-20 + tilt * number}\\{slice_mm * number}"),
        _text(0x0020, 0x0037, "DS", "1\\0\\0\\0\\1\\0"),
        *_pixel_elements("0.5\\0.75"),
        _text(0x0028, 0x1052, "DS", "-1024"),
        _text(0x0028, 0x1053, "DS", slope),
        _pixels(1, number),
    ]
    return _file(kind, f"1.2.4.{number}", elements)


def multi_frame(frames: int = 3) -> bytes:
    """Return an enhanced CT with functional groups for each frame."""
    shared = _group([_text(0x0028, 0x0030, "DS", "0.5\\0.75"), _text(0x0018, 0x0050, "DS", "3")], 0x0028, 0x9110)
    turned = _group([_text(0x0020, 0x0037, "DS", "1\\0\\0\\0\\1\\0")], 0x0020, 0x9116)
    elements = [
        *_identity(_ENHANCED_CT, "1.2.5", 1),
        _text(0x0028, 0x0008, "IS", str(frames)),
        *_pixel_elements(None),
        _sequence(0x5200, 0x9229, [shared.encoded() + turned.encoded()]),
        _sequence(0x5200, 0x9230, [_frame(number) for number in range(frames)]),
        _pixels(frames, 0),
    ]
    return _file(_ENHANCED_CT, "1.2.6", elements)


def _frame(number: int) -> bytes:
    position = _group([_text(0x0020, 0x0032, "DS", f"-10\\-20\\{3 * number}")], 0x0020, 0x9113)
    scale = [_text(0x0028, 0x1052, "DS", "-1024"), _text(0x0028, 0x1053, "DS", "1"), _text(0x0028, 0x1054, "LO", "HU")]
    content = _group([_number(0x0020, 0x9057, "UL", number + 1)], 0x0020, 0x9111)
    return content.encoded() + position.encoded() + _group(scale, 0x0028, 0x9145).encoded()


def _identity(kind: str, series: str, number: int) -> list[Element]:
    return [
        _text(0x0008, 0x0016, "UI", kind),
        _text(0x0008, 0x0018, "UI", f"1.2.4.{number}"),
        _text(0x0008, 0x0060, "CS", "MR" if kind == _MR else "CT"),
        _text(0x0008, 0x103E, "LO", "a series"),
        _text(0x0020, 0x000D, "UI", "1.2.1"),
        _text(0x0020, 0x000E, "UI", series),
        _text(0x0020, 0x0013, "IS", str(number + 1)),
    ]


def _pixel_elements(spacing: str | None) -> list[Element]:
    elements = [
        _number(0x0028, 0x0002, "US", 1),
        _text(0x0028, 0x0004, "CS", "MONOCHROME2"),
        _number(0x0028, 0x0010, "US", _ROWS),
        _number(0x0028, 0x0011, "US", _COLUMNS),
        *([_text(0x0028, 0x0030, "DS", spacing)] if spacing else []),
    ]
    bits = ((0x0100, 16), (0x0101, 16), (0x0102, 15), (0x0103, 1))
    return elements + [_number(0x0028, tag, "US", value) for tag, value in bits]


def _pixels(frames: int, start: int) -> Element:
    data = (np.arange(frames * _ROWS * _COLUMNS) % 97 + start).astype("<i2")
    return Element(struct.pack("<HH", 0x7FE0, 0x0010), b"OW", data.tobytes())


def _file(kind: str, instance: str, elements: list[Element]) -> bytes:
    meta = [
        Element(struct.pack("<HH", 2, 1), b"OB", b"\0\1"),
        _text(2, 0x0002, "UI", kind),
        _text(2, 0x0003, "UI", instance),
        _text(2, 0x0010, "UI", _EXPLICIT),
        _text(2, 0x0012, "UI", "1.2.7"),
    ]
    inside = b"".join(element.encoded() for element in meta)
    length = _number(2, 0, "UL", len(inside))
    return b"\0" * 128 + b"DICM" + length.encoded() + inside + b"".join(element.encoded() for element in elements)


def _text(group: int, element: int, kind: str, value: str) -> Element:
    padding = "\0" if kind == "UI" else " "
    data = (value + padding * (len(value) % 2)).encode()
    return Element(struct.pack("<HH", group, element), kind.encode(), data)


def _number(group: int, element: int, kind: str, value: int) -> Element:
    return Element(
        struct.pack("<HH", group, element), kind.encode(), struct.pack("<H" if kind == "US" else "<I", value)
    )


def _sequence(group: int, element: int, items: list[bytes]) -> Element:
    packed = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item for item in items)
    return Element(struct.pack("<HH", group, element), b"SQ", packed)


def _group(elements: list[Element], group: int, element: int) -> Element:
    return _sequence(group, element, [b"".join(inner.encoded() for inner in elements)])

"""The header of one DICOM file, read with pydicom up to the pixels, and where the pixels are.

A file is recognised by its content, whatever its name. No length in a file is believed: reads end at the end of the
file, and a deflated data set is inflated to a limit.
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from leuda_core.errors import COPY_AGAIN, InputError

_HEADER_LIMIT = 1 << 26  # inflated bytes that the header of a deflated file may have
_PREAMBLE = 128
_MAX_READS = 1 << 22  # a few seconds; 10,000 frames with long descriptions take a quarter of it
_FIRST_ELEMENTS = {  # of a data set without preamble: groups 2 and 8, both byte orders
    struct.pack(f"{order}HH", group, element) for order in "<>" for group in (2, 8) for element in range(0x100)
}
_PIXEL_DATA: dict[bytes, Literal["<", ">"]] = {b"\xe0\x7f\x10\x00": "<", b"\x7f\xe0\x00\x10": ">"}
_FLOAT_PIXELS = {
    struct.pack(f"{order}HH", 0x7FE0, element): order for order in "<>" for element in (8, 9)
}  # FloatPixelData, DoubleFloatPixelData
_PIXEL_TAG = (0x7FE0, 0x0010)
_UNDEFINED = 0xFFFFFFFF
_KEYWORDS = (
    *("SOPClassUID", "Modality", "SeriesInstanceUID", "SeriesDescription"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "FrameIncrementPointer"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SpacingBetweenSlices"),
    *("GridFrameOffsetVector", "DetectorInformationSequence"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "SliceVector"),
    *("TemporalPositionIdentifier", "AcquisitionTime", "AcquisitionNumber", "EchoTime", "DiffusionBValue"),
    *("InversionTime", "FlipAngle", "TriggerTime", "NominalPercentageOfCardiacPhase", "ImageType"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)


@dataclass(frozen=True)
class PixelSpan:
    """Where the value of PixelData is: from ``offset`` on, ``length`` bytes (None: up to a delimiter)."""

    offset: int
    length: int | None
    order: Literal["<", ">"]
    words: bool  # stored as 16-bit words (VR OW)
    deflated_from: int | None = None  # where the deflated data set starts; ``offset`` then counts inflated bytes


@dataclass(frozen=True, eq=False)
class Header:
    """The elements of one file that this package uses, and where its pixels are (None: it has none)."""

    path: Path
    dataset: Any
    pixels: PixelSpan | None
    floating: bool = False  # it has floating-point pixels instead

    @property
    def syntax(self) -> str:
        return str(self._meta.get("TransferSyntaxUID", ""))

    @property
    def sop_class(self) -> str:
        """Return the name of the kind of object, for example ``CT Image Storage``; empty if the file does not tell."""
        uid = self.dataset.get("SOPClassUID") or self._meta.get("MediaStorageSOPClassUID")
        return str(getattr(uid, "name", ""))

    def text(self, keyword: str) -> str:
        """Return an element as text, empty if there is none.

        Raises:
            InputError: it makes no sense.
        """
        with understood(self.path):
            return str(self.dataset.get(keyword) or "")

    @property
    def _meta(self) -> Any:
        return getattr(self.dataset, "file_meta", None) or {}


class _Deflated(Exception):
    def __init__(self, start: int) -> None:
        self.start = start


class _Stream(io.BufferedReader):
    """A file that never allocates more than it has, and ends the reading of endless tiny elements.

    pydicom asks for as many bytes as a header says, and takes every eight zeros for an element.
    """

    def __init__(self, raw: Any, size: int) -> None:
        super().__init__(raw)
        self.size = size
        self.reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads > _MAX_READS:
            raise ValueError("its header has too many elements")
        if size is None or size < 0:  # pydicom reads a whole file only to inflate it, without any limit
            raise _Deflated(self.tell())
        return super().read(max(0, min(size, self.size - self.tell())))


def is_blank(path: Path) -> bool:
    """Return whether a file is empty or begins with zeros alone, as files do whose blocks a disk has lost."""
    return not any(_start(path))


def has_preamble(path: Path) -> bool:
    """Return whether a file begins as every DICOM file should."""
    return _start(path)[_PREAMBLE:] == b"DICM"


def is_dicom(path: Path) -> bool:
    """Return whether the first bytes of a file are those of DICOM, with or without preamble.

    Raises:
        OSError: the file cannot be read.
    """
    start = _start(path)
    if start[_PREAMBLE:] == b"DICM":
        return True
    return len(start) == _PREAMBLE + 4 and start[:4] in _FIRST_ELEMENTS


def _start(path: Path) -> bytes:
    if not path.is_file():  # a pipe would block for ever
        return b""
    with open(path, "rb") as stream:
        return stream.read(_PREAMBLE + 4)


def read_header(path: Path) -> Header:
    """Read the header of a DICOM file.

    Raises:
        InputError: it cannot be read, or is not DICOM.
    """
    with understood(path):
        header = _parse(path)
        if not (header.sop_class or "SOPClassUID" in header.dataset or "Rows" in header.dataset):
            raise InputError(f"'{path}' is not a readable DICOM file (it has no SOPClassUID)", COPY_AGAIN)
        return header


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Convert whatever pydicom raises for a damaged file, also when a value is asked for, and hide its warnings."""
    try:
        with _quiet():
            yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # damaged files make pydicom raise errors of a dozen types
        why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise InputError(f"'{path}' is not a readable DICOM file ({why!r})", COPY_AGAIN) from error


def inflated(path: Path, start: int, limit: int) -> bytes:
    """Return the first ``limit`` bytes of the deflated data set that begins at ``start``."""
    with open(path, "rb") as stream:
        stream.seek(start)
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream.read(), limit)


@contextmanager
def _quiet() -> Iterator[None]:
    from pydicom import config

    logger = logging.getLogger("pydicom")
    before = logger.disabled, config.settings.reading_validation_mode
    logger.disabled = True
    config.settings.reading_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before[0]
        config.settings.reading_validation_mode = before[1]


def _parse(path: Path) -> Header:
    import pydicom

    with _Stream(io.FileIO(path), path.stat().st_size) as stream:
        try:
            dataset = pydicom.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=_tags())
            return _header(path, dataset, stream)
        except _Deflated as found:
            return _parse_deflated(path, found.start)


@lru_cache
def _tags() -> list[Any]:
    from pydicom.tag import Tag

    return [Tag(keyword) for keyword in _KEYWORDS]


def _parse_deflated(path: Path, start: int) -> Header:
    from pydicom.filereader import read_dataset
    from pydicom.tag import Tag

    head = inflated(path, start, _HEADER_LIMIT)
    stream = _Stream(io.BytesIO(head), len(head))
    dataset = read_dataset(
        stream, False, True, stop_when=lambda tag, vr, length: tag == Tag("PixelData"), specific_tags=_tags()
    )
    return _header(path, dataset, stream, deflated_from=start)


def _header(path: Path, dataset: Any, stream: Any, *, deflated_from: int | None = None) -> Header:
    """Read the tag and the length of the pixels, in front of which pydicom has stopped."""
    head = stream.read(12)
    return Header(path, dataset, _span(head, stream, deflated_from), floating=head[:4] in _FLOAT_PIXELS)


def _span(head: bytes, stream: Any, deflated_from: int | None) -> PixelSpan | None:
    order = _PIXEL_DATA.get(head[:4])
    if order is None or len(head) < 12:
        return None
    kind = head[4:6]
    explicit = kind in (b"OB", b"OW", b"UN")
    length = struct.unpack(f"{order}I", head[8:] if explicit else head[4:8])[0]
    offset = stream.tell() - (0 if explicit else 4)
    if explicit and length != _UNDEFINED:
        _check_last(stream, offset + length, order)
    return PixelSpan(offset, None if length == _UNDEFINED else length, order, kind != b"OB", deflated_from)


def _check_last(stream: Any, end: int, order: str) -> None:
    """Refuse elements that belong in front of the pixels, or further pixels: other programs might use those.

    Padding and group FFFC may follow.
    """
    stream.seek(end)
    after = stream.read(6)
    is_element = len(after) == 6 and after[4:].isalpha() and after[4:].isupper()
    if is_element and struct.unpack(f"{order}HH", after[:4]) <= _PIXEL_TAG:
        raise ValueError("its pixels are not its last element")

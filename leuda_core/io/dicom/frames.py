"""One frame of a DICOM file: where it lies, how its stored values become grey values, and what it shows.

The same rule holds for single-frame, classic multi-frame and enhanced multi-frame files: an attribute is looked up in
the functional groups of the frame, then in the shared ones, then in the data set itself (DICOM PS3.3 C.7.6.16).
Positions and directions are those of DICOM (LPS, mm).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leuda_core.errors import InputError
from leuda_core.io.dicom import values
from leuda_core.io.dicom.header import Header, understood
from leuda_core.io.dicom.storage import check_size

MAX_FRAMES = (1 << 16) - 1
MAX_PIXELS = 1 << 28
"""Largest numbers of frames in a file and of pixels in a frame."""

_GROUPS = {  # of functional groups, the sequences with what is used here
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SpacingBetweenSlices"),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameContentSequence": ("TemporalPositionIndex", "StackID", "FrameAcquisitionDateTime", "DimensionIndexValues"),
    "MREchoSequence": ("EffectiveEchoTime",),
    "MRDiffusionSequence": ("DiffusionBValue",),
    "CardiacSynchronizationSequence": ("NominalPercentageOfCardiacPhase", "NominalCardiacTriggerDelayTime"),
    "MRImageFrameTypeSequence": ("FrameType",),
    "CTImageFrameTypeSequence": ("FrameType",),
}
MARKS = (
    *("TemporalPositionIdentifier", "TemporalPositionIndex", "EchoTime", "EffectiveEchoTime", "DiffusionBValue"),
    *("InversionTime", "FlipAngle", "TriggerTime", "NominalPercentageOfCardiacPhase", "NominalCardiacTriggerDelayTime"),
    *("StackID", "AcquisitionNumber", "AcquisitionTime", "FrameAcquisitionDateTime", "ImageType", "FrameType"),
    "DimensionIndexValues",
)
"""Attributes that tell frames at one position apart, the most telling first."""
_STEPS_OF_PLACE = {  # what FrameIncrementPointer may name: the frames are slices, not time points or views
    0x00540080: "SliceVector",
    0x3004000C: "GridFrameOffsetVector",
    0x52009230: "PerFrameFunctionalGroupsSequence",
}


@dataclass(frozen=True)
class PixelFormat:
    """How the pixels of a file are stored."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    inverted: bool  # MONOCHROME1: small values are bright

    @property
    def frame_bytes(self) -> int:
        return self.rows * self.columns * self.bits_allocated // 8

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(f"{'i' if self.signed else 'u'}{self.bits_allocated // 8}")

    @property
    def bounds(self) -> tuple[int, int]:
        """Return the smallest and largest value that ``bits_stored`` can hold."""
        half = 1 << (self.bits_stored - 1)
        return (-half, half - 1) if self.signed else (0, 2 * half - 1)


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame; ``step`` is its distance in mm along the normal from the position that is given for it."""

    header: Header
    index: int
    count: int  # of frames in its file
    format: PixelFormat
    position: np.ndarray | None
    directions: np.ndarray | None  # (2, 3): from column to column, from row to row
    spacing: tuple[float, ...]  # mm from row to row, from column to column
    thickness: float  # mm to the next slice, if there is only one frame
    slope: float
    intercept: float
    rescaled: bool  # slope and intercept are given
    scopes: Sequence[Any]  # the data sets that describe it, the most special first

    def marks(self, names: Sequence[str] = MARKS) -> dict[str, str]:
        """Return those of some ``MARKS`` that the frame has, as texts for a message."""
        with understood(self.header.path):
            found = {mark: values.first(self.scopes, mark) for mark in names}
            return {mark: values.shown(value) for mark, value in found.items() if value is not None}


def frames_of(header: Header) -> list[Frame]:
    """Return the frames of a file, in the order of the file.

    Raises:
        InputError: a value is missing or makes no sense, colour, or a film.
    """
    with understood(header.path):
        try:
            return _frames(header)
        except ValueError as error:
            raise InputError(f"'{header.path}' cannot be used: {error}", "export the series again") from error


def slice_count(header: Header) -> int:
    """Return the number of frames that a header tells, 0 if it makes no sense."""
    try:
        with understood(header.path):
            return values.whole(header.dataset, "NumberOfFrames", default=1, largest=MAX_FRAMES)
    except InputError:
        return 0


def _frames(header: Header) -> list[Frame]:
    dataset = header.dataset
    form, count = _format(dataset), values.whole(dataset, "NumberOfFrames", default=1, largest=MAX_FRAMES)
    if not count:
        raise ValueError("NumberOfFrames is 0")
    check_size(header, form.frame_bytes, count)
    if "MOSAIC" in (dataset.get("ImageType") or ()):
        raise ValueError("it is a mosaic of slices in one image (ImageType)")
    if dataset.get("ModalityLUTSequence"):
        raise ValueError("its grey values are given by a table (ModalityLUTSequence)")
    groups = values.items(dataset, "PerFrameFunctionalGroupsSequence")
    if groups and len(groups) != count:
        raise ValueError(f"NumberOfFrames is {count}, but {len(groups)} frames are described")
    if count > 1 and not groups:
        return _classic(header, form, count)
    shared = values.items(dataset, "SharedFunctionalGroupsSequence")[:1]
    general = [*_parts(shared), dataset]
    return [
        _frame(header, form, (index, count), [*_parts(groups[index : index + 1]), *general]) for index in range(count)
    ]


def _parts(groups: Sequence[Any]) -> list[Any]:
    """Return the items of the sequences of a functional group that are used here."""
    return [item for group in groups for name in _GROUPS for item in values.items(group, name)[:1]]


def _frame(header: Header, form: PixelFormat, place: tuple[int, int], scopes: Sequence[Any]) -> Frame:
    position, spacing = values.numbers(scopes, "ImagePositionPatient", 3), values.numbers(scopes, "PixelSpacing", 2)
    if spacing and min(spacing) <= 0:
        raise ValueError(f"PixelSpacing is {list(spacing)}")
    if position is not None and not spacing:
        raise ValueError("it has a position but no PixelSpacing")
    slope, intercept = values.number(scopes, "RescaleSlope"), values.number(scopes, "RescaleIntercept")
    if slope == 0:
        raise ValueError("RescaleSlope is 0")
    return Frame(
        header,
        *place,
        form,
        position=None if position is None else np.array(position),
        directions=_directions(values.numbers(scopes, "ImageOrientationPatient", 6)),
        spacing=spacing or (1.0, 1.0),
        thickness=abs(values.number(scopes, "SpacingBetweenSlices") or 1.0),
        slope=1.0 if slope is None else slope,
        intercept=intercept or 0.0,
        rescaled=slope is not None and intercept is not None,
        scopes=scopes,
    )


def _classic(header: Header, form: PixelFormat, count: int) -> list[Frame]:
    """Return the frames of a multi-frame file without functional groups, whose slices are equally far apart."""
    dataset = header.dataset
    pointer = values.first([dataset], "FrameIncrementPointer")
    if pointer is not None and (values.is_list(pointer) or int(pointer) not in _STEPS_OF_PLACE):
        raise ValueError("its frames are not the slices of one volume but, for example, time points or views")
    scopes = [*values.items(dataset, "DetectorInformationSequence")[:1], dataset]
    frame = _frame(header, form, (0, count), scopes)
    if frame.position is None or frame.directions is None:
        raise ValueError(f"the positions of its {count} frames are not given")
    normal, start = np.cross(*frame.directions), frame.position
    return [
        replace(frame, index=index, position=start + offset * normal)
        for index, offset in enumerate(_offsets(scopes, count))
    ]


def _offsets(scopes: Sequence[Any], count: int) -> Sequence[float]:
    """Return how many mm each frame lies along the normal from the first."""
    offsets = values.numbers(scopes, "GridFrameOffsetVector", count)
    if offsets is not None:
        return [offset - offsets[0] for offset in offsets]
    step = values.number(scopes, "SpacingBetweenSlices")
    if not step:
        raise ValueError(f"the distance between its {count} frames is not given (SpacingBetweenSlices)")
    numbers = values.numbers(scopes, "SliceVector", count) or range(1, count + 1)
    if sorted(numbers) != list(range(1, count + 1)):
        raise ValueError(f"its frames are not the slices 1 to {count} of one volume (SliceVector)")
    return [(number - 1) * step for number in numbers]


def _format(dataset: Any) -> PixelFormat:
    if (samples := values.whole(dataset, "SamplesPerPixel", default=1)) != 1:
        raise ValueError(f"it is in colour (SamplesPerPixel is {samples})")
    kind = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2").strip()
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError(f"it is in colour (PhotometricInterpretation is {values.shown(kind)})")
    allocated = values.whole(dataset, "BitsAllocated")
    stored = values.whole(dataset, "BitsStored", default=allocated)
    if allocated not in (8, 16, 32) or not 0 < stored <= allocated:
        raise ValueError(f"it has {stored} of {allocated} bits per pixel; 8, 16 and 32 bits can be read")
    if (high := values.whole(dataset, "HighBit", default=stored - 1)) != stored - 1:
        raise ValueError(f"HighBit is {high}, not {stored - 1} as it must be for {stored} bits")
    rows, columns = values.whole(dataset, "Rows"), values.whole(dataset, "Columns")
    if not 0 < rows * columns <= MAX_PIXELS:
        raise ValueError(f"its frames have {rows} x {columns} pixels")
    signed = values.whole(dataset, "PixelRepresentation", default=0, largest=1)
    return PixelFormat(rows, columns, allocated, stored, bool(signed), kind == "MONOCHROME1")


def _directions(cosines: tuple[float, ...] | None) -> np.ndarray | None:
    """Return the unit vectors of rows and columns, ``(2, 3)``."""
    if cosines is None:
        return None
    vectors = np.reshape(cosines, (2, 3))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if np.abs(lengths - 1).max() > 0.01 or abs(vectors[0] @ vectors[1]) > 0.01:
        raise ValueError(f"ImageOrientationPatient is {list(cosines)}, not two perpendicular unit vectors")
    return vectors / lengths

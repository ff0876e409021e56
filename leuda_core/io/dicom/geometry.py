"""The frames of a series as one grid: order along the normal, affine, and the checks that they are one volume.

The step between slices is computed from their positions (DICOM PS3.3 C.7.6.2.1.1), so that a tilted gantry gives the
correct sheared affine, and missing slices are detected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leuda_core.errors import InputError
from leuda_core.io.dicom.frames import MARKS, Frame
from leuda_core.io.dicom.values import shown
from leuda_core.io.formats.headers import LPS_TO_RAS

_UNEVEN = 0.1  # largest deviation of a slice position, as a fraction of the slice spacing
_SAME_MM = 1e-3  # slices nearer to each other are at the same position
_TURNED = 1e-3  # largest difference of direction cosines or, relative, pixel spacings within a series
_OF_A_SERIES = {
    "PatientID": "patients",
    "StudyInstanceUID": "examinations",
    "FrameOfReferenceUID": "frames of reference",
}
_OF_A_VOLUME = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "DiffusionBValue",
    "EchoTime",
    "EffectiveEchoTime",
)
_MARKS_NAMED = 3
_SHOWN = 4


@dataclass(frozen=True, eq=False)
class Stack:
    """The frames of a volume in slice order, and its affine (RAS mm) for the axes column, row, slice."""

    frames: Sequence[Frame]
    affine: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        form = self.frames[0].format
        return form.columns, form.rows, len(self.frames)


def stack(frames: Sequence[Frame], path: Path) -> Stack:
    """Return frames as one volume.

    Raises:
        InputError: sizes, directions or pixel spacings differ, or frames are missing, unevenly spaced or at the same
            position.
    """
    _check_origin(frames, path)
    _check_alike(frames, path)
    _check_rescaled(frames, path)
    first = frames[0]
    if len(frames) == 1:
        return Stack(frames, _affine(first, _normal(first) * first.thickness))
    if any(frame.position is None or frame.directions is None for frame in frames):
        raise _error(path, "has slices without position or direction", "export it with its geometry")
    heights = [float(frame.position @ _normal(first)) for frame in frames]
    order = np.argsort(heights, kind="stable")
    frames = [frames[index] for index in order]
    _check_positions(frames, np.sort(heights), path)
    _check_marks(frames, path)
    positions = np.array([frame.position for frame in frames])
    return Stack(frames, _affine(frames[0], _step(positions, path)))


def _check_origin(frames: Sequence[Frame], path: Path) -> None:
    """Check that all files are of one examination: some programs give several of them one SeriesInstanceUID."""
    headers = {frame.header for frame in frames}
    for keyword, name in _OF_A_SERIES.items():
        count = len({value for header in headers if (value := header.text(keyword))})
        if count > 1:
            what = f"has files of {count} {name}, although their SeriesInstanceUID is the same ({keyword} differs)"
            raise _error(path, what, "put the files of each into a folder of their own")


def _check_rescaled(frames: Sequence[Frame], path: Path) -> None:
    count = sum(not frame.rescaled for frame in frames)
    if 0 < count < len(frames) and any((frame.slope, frame.intercept) != (1, 0) for frame in frames):
        what = f"has {count} of {len(frames)} slices without RescaleSlope or RescaleIntercept, which the others have"
        raise _error(path, what, "export the series again")


def _check_alike(frames: Sequence[Frame], path: Path) -> None:
    _check_same(frames, np.array([(frame.format.columns, frame.format.rows) for frame in frames]), "size", path)
    if all(frame.directions is not None for frame in frames):
        _check_same(frames, np.array([np.ravel(_axes(frame)) for frame in frames]), "direction", path)
    logarithms = np.log([frame.spacing for frame in frames])
    _check_same(frames, logarithms, "pixel spacing", path, shown_as=np.exp)


def _check_same(
    frames: Sequence[Frame], numbers: np.ndarray, name: str, path: Path, shown_as: Callable[..., Any] = np.positive
) -> None:
    """Check that all rows of ``numbers`` are equal but for rounding; the medians are what most of them have."""
    usual = np.median(numbers, axis=0)
    deviations = np.abs(numbers - usual).max(axis=1)
    if deviations.max() <= _TURNED:
        return
    odd = int(deviations.argmax())
    count = int((deviations > _TURNED).sum())
    listed = [" x ".join(f"{number:.4g}" for number in shown_as(row)) for row in (numbers[odd], usual)]
    raise _error(
        path,
        f"has slices of different {name}: {count} of {len(frames)} differ, for example {listed[0]} in "
        f"'{shown(frames[odd].header.path.name)}' instead of {listed[1]}",
        "remove localizers and other images from the series",
    )


def _check_positions(frames: Sequence[Frame], heights: np.ndarray, path: Path) -> None:
    """Reject frames at the same position, and tell what differs between them."""
    gaps = np.diff(heights)
    index = int(gaps.argmin())
    if gaps[index] >= _SAME_MM:
        return
    same = [frame for frame, height in zip(frames, heights, strict=True) if abs(height - heights[index]) < _SAME_MM]
    names = " and ".join(f"'{name}'" for name in dict.fromkeys(shown(frame.header.path.name) for frame in same[:2]))
    raise _error(
        path,
        f"has several slices at the same position ({len(same)} at one, for example in {names}){_differences(same)}",
        "remove copies of files, or export a single time point, echo or b-value",
    )


def _check_marks(frames: Sequence[Frame], path: Path) -> None:
    """Reject slices of several volumes that lie side by side, as in an incomplete export."""
    marks = [frame.marks(_OF_A_VOLUME) for frame in frames]
    for mark in _OF_A_VOLUME:
        found = list(dict.fromkeys(_rounded(own[mark]) for own in marks if mark in own))
        if len(found) > 1:
            what = f"has slices of {len(found)} volumes, which differ in {mark} {', '.join(found[:_SHOWN])}"
            raise _error(path, what, "export a single time point, echo or b-value")


def _rounded(text: str) -> str:
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text


def _differences(frames: Sequence[Frame]) -> str:
    """Return what tells frames at the same position apart, for a message."""
    different = []
    marks = [frame.marks() for frame in frames]
    for mark in MARKS:
        found = list(dict.fromkeys(values[mark] for values in marks if mark in values))
        if len(found) > 1:
            different.append(f"{mark} {', '.join(found[:_SHOWN])}{' …' if len(found) > _SHOWN else ''}")
    return f", which differ in {' and '.join(different[:_MARKS_NAMED])}" if different else ""


def _step(positions: np.ndarray, path: Path) -> np.ndarray:
    """Return the vector in mm from slice to slice."""
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    expected = positions[0] + np.arange(len(positions))[:, None] * step
    if np.linalg.norm(positions - expected, axis=1).max() > _UNEVEN * np.linalg.norm(step):
        gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        raise _error(
            path,
            f"has missing or unevenly spaced slices ({gaps.min():.3g} to {gaps.max():.3g} mm)",
            "export the complete series, or resample it to even spacing",
        )
    return step


def _normal(frame: Frame) -> np.ndarray:
    return np.cross(*_axes(frame))


def _axes(frame: Frame) -> np.ndarray:
    return np.eye(3)[:2] if frame.directions is None else frame.directions


def _affine(first: Frame, step: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :2] = (_axes(first) * np.array(first.spacing)[::-1, None]).T
    affine[:3, 2] = step
    affine[:3, 3] = 0 if first.position is None else first.position
    return LPS_TO_RAS @ affine


def _error(path: Path, what: str, remedy: str) -> InputError:
    return InputError(f"series in '{path}' {what}", remedy)

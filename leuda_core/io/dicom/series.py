"""A DICOM file, or a folder with one series, as a volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from leuda_core.io.dicom.folder import read_image_header, series_files
from leuda_core.io.dicom.frames import frames_of
from leuda_core.io.dicom.geometry import Stack, stack
from leuda_core.io.dicom.pixels import stored_frames
from leuda_core.io.dicom.rescale import grey_dtype, grey_values


def read_header(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Return shape and affine (RAS mm) of a file or of the series in a folder.

    Raises:
        InputError: as for :func:`read_series`.
    """
    found = _stack(path)
    return found.shape, found.affine


def read_series(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return voxels ``(I, J, K)`` and affine (RAS mm) of a file or of the series in a folder.

    The voxels are grey values: each frame's own slope and intercept are applied. Slices are sorted along their normal.

    Raises:
        InputError: no or several series, damaged or incomplete files, colour, slices that differ in size or direction,
            or that are missing, unevenly spaced or at the same position.
    """
    found = _stack(path)
    dtype = grey_dtype(found.frames)
    with stored_frames(found.frames) as stored:
        data = np.empty(found.shape[::-1], dtype)
        for index, (frame, pixels) in enumerate(zip(found.frames, stored, strict=True)):
            data[index] = grey_values(pixels, frame, dtype)
    return data.T, found.affine


def _stack(path: Path) -> Stack:
    files = series_files(path) if path.is_dir() else [read_image_header(path)]
    return stack([frame for file in files for frame in frames_of(file)], path)

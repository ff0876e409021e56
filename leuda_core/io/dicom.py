"""Reads a folder with one DICOM series as a volume.

The step between slices is computed from the slice positions (DICOM PS3.3 C.7.6.2.1.1), so that a tilted gantry gives
the correct sheared affine, and missing slices are detected.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from leuda_core.errors import InputError
from leuda_core.io import itk

_DESCRIPTION = "0008|103e"
_UNEVEN = 0.1  # largest deviation of a slice position, as a fraction of the slice spacing


def series_files(folder: Path) -> list[str]:
    """Return the files of the only series in a folder, in slice order.

    Raises:
        InputError: the folder contains no series, or several (the message names them).
    """
    import SimpleITK as sitk

    with itk.quiet():
        series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
        files = [list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), name)) for name in series]
    if not series:
        remedy = "give a volume file or a folder with one series (subfolders are not searched)"
        raise InputError(f"folder '{folder}' contains no DICOM series", remedy)
    if len(series) > 1:
        found = ", ".join(f"{_tag(group[0], _DESCRIPTION) or 'unnamed'} ({len(group)} files)" for group in files)
        raise InputError(
            f"folder '{folder}' contains {len(series)} DICOM series: {found}", "put each into its own folder"
        )
    return files[0]


def has_series(folder: Path) -> bool:
    """Return whether a folder looks like a DICOM series by its file names alone."""
    return any(entry.suffix.lower() == ".dcm" for entry in folder.iterdir())


def read_header(folder: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Return shape and affine (RAS mm) of the series in a folder."""
    files = series_files(folder)
    shape, affine = itk.read_header(Path(files[0]))
    if len(files) == 1:
        return shape, affine
    return (*shape[:2], len(files), *shape[3:]), _with_step(affine, [_position(name) for name in files], folder)


def read_series(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return voxels ``(I, J, K)`` and affine (RAS mm) of the series in a folder; rescale slope and intercept applied.

    Raises:
        InputError: no or several series, colour, or slices that are missing, unevenly spaced or at the same position.
    """
    import SimpleITK as sitk

    files = series_files(folder)
    first = Path(files[0])
    if len(files) == 1:
        return itk.read_image(first)[:2]
    affine = _with_step(itk.read_header(first)[1], [_position(name) for name in files], folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    with itk.quiet():
        try:
            image = reader.Execute()
        except RuntimeError as error:
            raise InputError(f"series in '{folder}' cannot be read ({itk.reason(error)})", "export it again") from error
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(f"series in '{folder}' is in colour", "give a grey-value series")
    return itk.to_array(image), affine


def _tag(name: str, tag: str) -> str:
    reader = itk.information(Path(name))
    return reader.GetMetaData(tag).strip() if reader.HasMetaDataKey(tag) else ""


def _position(name: str) -> np.ndarray:
    """Return the RAS position in mm of a slice's first voxel."""
    return itk.read_header(Path(name))[1][:3, 3]


def _with_step(affine: np.ndarray, positions: list[np.ndarray], folder: Path) -> np.ndarray:
    """Return the affine with the third axis going from the first slice to the last."""
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    expected = positions[0] + np.arange(len(positions))[:, None] * step
    gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    if gaps.min() < 1e-3:
        raise InputError(f"series in '{folder}' has several slices at the same position", "export a single time point")
    if np.linalg.norm(positions - expected, axis=1).max() > _UNEVEN * np.linalg.norm(step):
        raise InputError(
            f"series in '{folder}' has missing or unevenly spaced slices ({gaps.min():.3g} to {gaps.max():.3g} mm)",
            "export the complete series, or resample it to even spacing",
        )
    affine = affine.copy()
    affine[:3, 2] = step
    return affine

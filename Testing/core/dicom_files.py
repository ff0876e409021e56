"""Writes DICOM series of every kind with pydicom: single-frame, classic and enhanced multi-frame, and other objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
)

DEFLATED = DeflatedExplicitVRLittleEndian
BIG_ENDIAN = ExplicitVRBigEndian
ORIENTATION = [1, 0, 0, 0, 1, 0]
SPACING = [0.75, 0.5]


def stored_values(count: int = 4, dtype: Any = np.int16) -> np.ndarray:
    """Return stored values ``(count, 6, 5)`` of 12 bits."""
    return np.random.default_rng(3).integers(0, 1000, (count, 6, 5)).astype(dtype)


def image_file(path: Path, data: np.ndarray, *, syntax: str = ExplicitVRLittleEndian, **elements: Any) -> Path:
    """Write a file with one frame ``(rows, columns)`` or several; an element that is None is left out."""
    signed = data.dtype.kind == "i"
    bits = data.dtype.itemsize * 8
    multi = {"NumberOfFrames": len(data)} if data.ndim == 3 else {}
    own = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"1.2.3.{abs(hash(path.name))}",
        "Modality": "CT",
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": "1.2.3",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": data.shape[-2],
        "Columns": data.shape[-1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": elements.get("BitsStored", bits) - 1,
        "PixelRepresentation": int(signed),
        "PixelSpacing": SPACING,
        "ImageOrientationPatient": ORIENTATION,
        "ImagePositionPatient": [-10, 20, 0],
        "PixelData": data.tobytes(),
        **multi,
    }
    return write(path, {**own, **elements}, syntax)


def write(path: Path, elements: dict[str, Any], syntax: str = ExplicitVRLittleEndian) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
        dataset["PixelData"].is_undefined_length = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    dcmwrite(path, dataset, implicit_vr=False, little_endian=syntax != BIG_ENDIAN, enforce_file_format=True)
    return path


def series(
    folder: Path, data: np.ndarray, *, ending: str = ".dcm", step: Sequence[float] = (0, 0, 3), **each: Any
) -> Path:
    """Write one file a slice, in another order than their positions.

    Elements are the same for all slices, or a list with one value a slice.
    """
    for index, frame in enumerate(data):
        own = {key: value[index] if isinstance(value, list) else value for key, value in each.items()}
        place = [start + index * part for start, part in zip((-10, 20, 0), step, strict=True)]
        image_file(folder / f"{(index * 7) % 10}{index}{ending}", frame, **{"ImagePositionPatient": place, **own})
    return folder


def item(**elements: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def enhanced(
    path: Path, data: np.ndarray, heights: Sequence[float], groups: Sequence[dict[str, Any]] = (), **elements: Any
) -> Path:
    """Write an enhanced multi-frame file; ``groups`` are further functional groups of each frame."""
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=ORIENTATION)],
        PixelMeasuresSequence=[item(PixelSpacing=SPACING, SliceThickness=9)],
    )
    places = [{"PlanePositionSequence": [item(ImagePositionPatient=[-10, 20, height])]} for height in heights]
    frames = [item(**{**place, **(groups[index] if groups else {})}) for index, place in enumerate(places)]
    own = {
        "SOPClassUID": EnhancedMRImageStorage,
        "Modality": "MR",
        "ImagePositionPatient": None,
        "ImageOrientationPatient": None,
        "PixelSpacing": None,
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": frames,
    }
    return image_file(path, data, **{**own, **elements})


def rescaled(slope: float, intercept: float = 0) -> dict[str, Any]:
    """Return the functional group with a slope and an intercept."""
    return {
        "PixelValueTransformationSequence": [item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US")]
    }


def structures(path: Path) -> Path:
    """Write an RTSTRUCT: DICOM without an image."""
    own = {"SOPClassUID": RTStructureSetStorage, "SOPInstanceUID": "1.9", "Modality": "RTSTRUCT"}
    return write(path, {**own, "SeriesInstanceUID": "1.9.1", "StructureSetLabel": "organs"})

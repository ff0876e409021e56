"""NRRD, MetaImage and DICOM through SimpleITK.

SimpleITK uses LPS; everything that this module returns is RAS. Arrays share memory with their image (no copy) and keep
it alive.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leuda_core.errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
COMPRESSION_LEVEL = 2  # level 6 is four times slower for half the size, and label maps are already small
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
_CHUNK = 1 << 20
_CUT_SHORT = "copy, download or export it again"


class _Voxels:
    """The buffer of an image for NumPy; arrays made from it keep the image, and so its memory, alive."""

    def __init__(self, image: sitk.Image) -> None:
        import SimpleITK as sitk

        self.image = image
        self.__array_interface__ = sitk.GetArrayViewFromImage(image).__array_interface__


@contextmanager
def quiet() -> Iterator[None]:
    """Hide ITK's warnings; real problems are raised as errors."""
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def read_header(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Return the stored shape (any number of axes, then components if several) and the affine (RAS mm) of a file."""
    reader = information(path)
    return _shape(reader), _affine(reader)


def read_image(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Return voxels (a view in the order of the affine's axes), affine (RAS mm) and the header's key/value pairs.

    Raises:
        InputError: not an image, more than one component, truncated or damaged.
    """
    import SimpleITK as sitk

    reader = information(path)
    if reader.GetNumberOfComponents() > 1:
        raise _components_error(path, reader)
    if path.suffix.lower() in (".nrrd", ".mha"):
        _check_voxels(path)
    with quiet():
        try:
            image = sitk.ReadImage(str(path))
        except RuntimeError as error:
            raise InputError(f"'{path}' is truncated or damaged ({reason(error)})", _CUT_SHORT) from error
    return to_array(image), _affine(image), {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}


def to_array(image: sitk.Image) -> np.ndarray:
    """Return the voxels of an image as a read-only view with the first image axis first."""
    return np.asarray(_Voxels(image)).T


def write_image(data: np.ndarray, affine: np.ndarray, path: Path, metadata: Mapping[str, str]) -> None:
    """Write voxels, affine (sheared ones too, exactly) and key/value pairs; the extension sets the format.

    Raises:
        RuntimeError: ITK reported that the file could not be written. It does not always: check the written file.
    """
    import SimpleITK as sitk

    matrix = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image = sitk.GetImageFromArray(data.T)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    for key, value in metadata.items():
        image.SetMetaData(key, value)
    with quiet():
        sitk.WriteImage(image, str(path), True, COMPRESSION_LEVEL)


def _components_error(path: Path, reader: Any) -> InputError:
    """Return the error for an image with several numbers per voxel."""
    import SimpleITK as sitk

    if path.name.lower().endswith(".seg.nrrd"):
        return InputError(f"'{path}' contains overlapping segments in several layers", "export it as one label map")
    kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    count = reader.GetNumberOfComponents()
    return InputError(f"'{path}' has {count} numbers per voxel ({kind})", "give a scalar (grey-value) volume")


def information(path: Path) -> Any:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with quiet():
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise InputError(f"'{path}' is not a readable image ({reason(error)})", _CUT_SHORT) from error
    return reader


def reason(error: RuntimeError) -> str:
    """Return the informative part of an ITK message, on one line."""
    text = " ".join(str(error).split())
    text = re.sub(r"^.*?(ITK ERROR|sitk::ERROR): (\w+\(0x[0-9a-f]+\): )?", "", text)
    return text[:160]


def _shape(source: Any) -> tuple[int, ...]:
    components = source.GetNumberOfComponents()
    return (*source.GetSize(), *((components,) if components > 1 else ()))


def _affine(source: Any) -> np.ndarray:
    """Return the affine of an image or reader of two, three or more axes (those beyond three are left out)."""
    count = min(source.GetDimension(), 3)
    direction, spacing, origin = np.eye(3), np.ones(3), np.zeros(3)
    direction[:count, :count] = np.reshape(source.GetDirection(), (source.GetDimension(),) * 2)[:count, :count]
    spacing[:count] = source.GetSpacing()[:count]
    origin[:count] = source.GetOrigin()[:count]
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing
    affine[:3, 3] = origin
    return LPS_TO_RAS @ affine


def _check_voxels(path: Path) -> None:
    """Reject a file with missing voxels or a wrong checksum, which ITK does not check.

    For a truncated MetaImage, ITK only prints a message and returns the voxels it found. Files with voxels in another
    file, or with an encoding that is not handled here, are left to ITK.
    """
    with open(path, "rb") as stream:
        fields = _header_fields(stream, ":" if path.suffix.lower() == ".nrrd" else "=")
        elsewhere = {"data file", "datafile", "byte skip", "line skip"} & fields.keys()
        if elsewhere or fields.get("ElementDataFile", "LOCAL") != "LOCAL":
            return
        expected = _meta_bytes(fields) if "ElementDataFile" in fields else 0
        if fields.get("CompressedData", "").lower() == "true" or fields.get("encoding") in ("gzip", "gz"):
            found = _inflated_bytes(stream)
        else:
            found = path.stat().st_size - stream.tell()
    if found < expected:
        why = (
            "its compressed voxels have a wrong checksum or no end"
            if found < 0
            else f"{found} of {expected} bytes of voxels"
        )
        raise InputError(f"'{path}' is truncated or damaged ({why})", _CUT_SHORT)


def _header_fields(stream: Any, separator: str) -> dict[str, str]:
    """Read the text header of an NRRD file or MetaImage, up to the voxels."""
    fields: dict[str, str] = {}
    while (line := stream.readline()).strip():
        key, _, value = line.decode("latin-1").partition(separator)
        fields[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    return fields


def _meta_bytes(fields: dict[str, str]) -> int:
    """Return how many bytes of voxels a MetaImage's header announces; 0 if their type is unknown."""
    size = _META_BYTES.get(fields.get("ElementType", "").removeprefix("MET_").removeprefix("U"), 0)
    channels = int(fields.get("ElementNumberOfChannels", "1"))
    return size * channels * math.prod(int(count) for count in fields.get("DimSize", "0").split())


def _inflated_bytes(stream: Any) -> int:
    """Return how many bytes a gzip or zlib stream unpacks to, -1 if it is damaged or has no end."""
    unpacker, total = zlib.decompressobj(zlib.MAX_WBITS | 32), 0
    try:
        while not unpacker.eof and (chunk := unpacker.unconsumed_tail or stream.read(_CHUNK)):
            total += len(unpacker.decompress(chunk, _CHUNK))
    except zlib.error:
        return -1
    return total if unpacker.eof else -1

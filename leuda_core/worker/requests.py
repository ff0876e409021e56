"""What each request of the worker's protocol must and may say. Keys that are not known are ignored."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from leuda_core.errors import InputError
from leuda_core.types import Box
from leuda_core.worker.channel import Request

Row = tuple[float, float, float, float]
R = TypeVar("R", bound=msgspec.Struct)


class LoadRequest(msgspec.Struct):
    """Load a model."""

    model: str
    device: str = "auto"


class _VolumeRequest(LoadRequest, kw_only=True):
    """``volume`` is a ``.npy`` file ``(K, J, I)``, ``affine`` takes its voxel index (i, j, k) to RAS mm."""

    volume: str
    affine: tuple[Row, Row, Row, Row]
    output: str


class SegmentRequest(_VolumeRequest, kw_only=True):
    """Segment a volume: labels ``(K, J, I)`` to ``output``, probabilities ``(C, K, J, I)`` to their file."""

    probabilities: str | None = None
    largest_component: bool = False
    box: Box | None = None


class SliceRequest(_VolumeRequest, kw_only=True):
    """Segment the slice nearest to a RAS point (mm)."""

    position: tuple[float, float, float]


class FileRequest(LoadRequest, kw_only=True):
    """Segment the volume in a file or DICOM folder; ``output`` is written by its extension."""

    input: str
    output: str
    probabilities: bool = False
    largest_component: bool = False


class FindRequest(msgspec.Struct):
    """Find the volumes of files and folders."""

    inputs: list[str]


def read_request(request: Request, kind: type[R]) -> R:
    """Return the fields of a request, checked.

    Raises:
        InputError: one is missing or of the wrong type; says which.
    """
    try:
        return msgspec.convert(request.fields, kind)
    except msgspec.ValidationError as error:
        remedy = "send the fields that docs/ARCHITECTURE.md lists"
        raise InputError(f"request {request.name}: {error}", remedy) from error

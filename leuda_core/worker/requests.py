"""The fields of each request in the worker's protocol. Unknown keys are ignored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from leuda_core.errors import InputError
from leuda_core.types import Box, SegmentOptions
from leuda_core.worker.channel import Request

Row = tuple[float, float, float, float]
T = TypeVar("T")

_CHECK_PATHS = "send paths without NUL characters, encoded as UTF-8"


class LoadRequest(msgspec.Struct):
    """Load a model."""

    model: str
    device: str = "auto"


class GaugeRequest(LoadRequest, kw_only=True):
    """Compare a volume with those of a model's training.

    ``volume`` is a ``.npy`` file ``(K, J, I)``, ``affine`` maps its voxel index (i, j, k) to RAS mm.
    """

    volume: str
    affine: tuple[Row, Row, Row, Row]


class _VolumeRequest(GaugeRequest, kw_only=True):
    """The same with a file for labels."""

    output: str


class SegmentRequest(_VolumeRequest, kw_only=True):
    """Segment a volume: labels ``(K, J, I)`` to ``output``, probabilities ``(C, K, J, I)`` to their file.

    With ``doubt``, the result says how unsure each slice is.
    """

    probabilities: str | None = None
    box: Box | None = None
    doubt: bool = False

    @property
    def outputs(self) -> tuple[str, str | None]:
        """The files that are written."""
        return self.output, self.probabilities


class SliceRequest(_VolumeRequest, kw_only=True):
    """Segment the slice nearest to a RAS point (mm); ``doubt`` is null or the file for how unsure each pixel is."""

    position: tuple[float, float, float]
    doubt: str | None = None

    @property
    def outputs(self) -> tuple[str, str | None]:
        """The files that are written."""
        return self.output, self.doubt


class FileRequest(LoadRequest, kw_only=True):
    """Segment the volume in a file or DICOM folder; the extension of ``output`` gives its format.

    With ``once``, a volume that the record of the output's folder lists as done is skipped.
    """

    input: str
    output: str
    once: bool = False


class FindRequest(msgspec.Struct):
    """Find the volumes of files and folders."""

    inputs: list[str]


def read_request(request: Request, kind: type[T]) -> T:
    """Return the checked fields of a request.

    Raises:
        InputError: a field is missing, has the wrong type or cannot name a file; says which.
    """
    fields = _converted(request.fields, kind, request.name)
    for name in _texts(fields):
        if not _can_name_a_file(name):
            raise InputError(f"request {request.name}: {name[:200]!r} cannot be the name of a file", _CHECK_PATHS)
    return fields


def read_options(request: Request, **values: bool) -> SegmentOptions:
    """Return the options of a request, whose keys are among its other fields.

    Args:
        values: options that the request does not state by their own type, such as a file for the probabilities.

    Raises:
        InputError: an option has the wrong type; says which.
    """
    return _converted({**request.fields, **values}, SegmentOptions, request.name)


def _texts(fields: object) -> Iterator[str]:
    """Yield the texts of a request: paths, and the name of a device."""
    for name in getattr(fields, "__struct_fields__", ()):
        value = getattr(fields, name)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield text


def _can_name_a_file(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _converted(fields: dict[str, Any], kind: type[T], name: str) -> T:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        remedy = "send the fields that are listed in docs/ARCHITECTURE.md"
        raise InputError(f"request {name}: {error}", remedy) from error
    except UnicodeEncodeError as error:  # half of a surrogate pair, in a name or a value
        raise InputError(f"request {name}: {error.object[:200]!a} is not text", _CHECK_PATHS) from error

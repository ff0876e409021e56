"""Writes volume files that lie, and says what their refusal must be like."""

from __future__ import annotations

import gzip
import tracemalloc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from leuda_core.errors import InputError
from volume_files import random_data

NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: LPS\nsizes: 2 3 4\nspace directions: (1,0,0) (0,2,0) (0,0,3)\n"
    "space origin: (1,2,3)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
)
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
    "ElementSpacing = 1 2 3\nDimSize = 2 3 4\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)
VOXELS = np.arange(24, dtype="<i2").tobytes()


@contextmanager
def refused(match: str, megabytes: float = 8) -> Iterator[None]:
    """Expect a refusal in one line, with a remedy, without a warning and within a little memory."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings(), pytest.raises(InputError, match=match) as caught:
            warnings.simplefilter("error")
            yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * 2**20
    finally:
        tracemalloc.stop()
    assert caught.value.remedy and "\n" not in str(caught.value) and len(str(caught.value)) < 600


def write(path: Path, header: str, content: bytes = VOXELS) -> Path:
    path.write_bytes(header.encode("utf-8", "surrogateescape") + (b"\n" if path.suffix == ".nrrd" else b"") + content)
    return path


def nifti_with(path: Path, **fields: object) -> Path:
    """Write a volume whose header fields have these values, which nibabel would not write."""
    kind = nib.Nifti2Image if "2" in path.name else nib.Nifti1Image
    content = bytearray(kind(random_data(), np.eye(4)).to_bytes())
    header = kind.header_class(bytes(content[: kind.header_class.sizeof_hdr]))
    for name, value in fields.items():
        header[name] = value
    content[: len(header.binaryblock)] = header.binaryblock
    packed = path.suffix == ".gz"
    path.write_bytes(gzip.compress(bytes(content), 1) if packed else bytes(content))
    return path

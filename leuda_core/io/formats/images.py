"""Reads NRRD files and MetaImages, by their extension."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from leuda_core.errors import InputError
from leuda_core.io.formats.headers import Header
from leuda_core.io.formats.metaimage import read_metaimage_header
from leuda_core.io.formats.nrrd_header import read_nrrd_header
from leuda_core.io.formats.sources import cannot_read
from leuda_core.io.formats.voxels import read_voxels


def read_header(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Return the stored shape (any number of axes, then components if several) and the affine (RAS mm) of a file.

    Raises:
        InputError: not a readable image.
    """
    header = _header(path)
    return (*header.shape, *((header.components,) if header.components > 1 else ())), header.affine


def read_image(path: Path) -> tuple[np.ndarray, np.ndarray, Mapping[str, str]]:
    """Return voxels (Fortran order, native dtype), affine (RAS mm) and the header's key/value pairs.

    Raises:
        InputError: not a readable image, more than one component, truncated or damaged.
    """
    header = _header(path)
    if header.components > 1:
        raise _components_error(header)
    return read_voxels(header.storage).reshape(header.shape, order="F"), header.affine, header.pairs


def detached(path: Path) -> tuple[Path, ...]:
    """Return the files with the voxels of an image, if these are not in the file itself.

    Raises:
        InputError: not a readable image.
    """
    return tuple(file for file in _header(path).storage.files if file != path)


def holds(path: Path, shape: tuple[int, ...], affine: np.ndarray) -> bool:
    """Return whether a file that was just written has this grid and all its voxels."""
    try:
        data, stored, _ = read_image(path)
    except InputError:
        return False
    return data.shape == shape and np.allclose(stored, affine, rtol=1e-6, atol=1e-6 * np.abs(affine).max())


def _header(path: Path) -> Header:
    try:
        return read_metaimage_header(path) if path.suffix.lower() == ".mha" else read_nrrd_header(path)
    except OSError as error:
        raise cannot_read(path, error) from error


def _components_error(header: Header) -> InputError:
    """Return the error for an image with several numbers per voxel."""
    if header.path.name.lower().endswith(".seg.nrrd"):
        return InputError(
            f"'{header.path}' contains overlapping segments in several layers", "export it as one label map"
        )
    kind = f"{header.kind} of {header.storage.dtype.name}"
    what = f"'{header.path}' has {header.components} numbers per voxel ({kind})"
    return InputError(what, "give a scalar (grey-value) volume")

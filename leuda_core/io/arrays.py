"""Arrays of volumes, part by part: looked at without a copy of the whole, and written without a memory map.

A full disk is an error of the write then; a sparse file that is mapped would end the process (SIGBUS).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from leuda_core.io.files import write_error
from leuda_core.io.private import open_private


def slabs(data: np.ndarray) -> Iterator[np.ndarray]:
    """Yield views ``(I, J)`` of a volume ``(I, J, K)``, one after the other."""
    for index in range(data.shape[2]):
        yield data[:, :, index]


def save_parts(path: Path, parts: Iterable[np.ndarray], *, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Write an array of ``shape`` to a private file, given its parts along the first axis; remove it on failure.

    Raises:
        LeudaError: the disk is full. InputError: the file cannot be written.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    try:
        file = open_private(path, "wb")
    except OSError as error:  # what is there, such as a device, is not ours to remove
        raise write_error(path, error) from error
    try:
        with file as stream:
            np.lib.format.write_array_header_2_0(stream, header)
            for part in parts:
                stream.write(np.ascontiguousarray(part, dtype).data)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise write_error(path, error) from error
        raise

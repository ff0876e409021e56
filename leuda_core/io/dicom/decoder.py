"""The child process that decodes compressed frames: ``python -m leuda_core.io.dicom.decoder SECONDS BYTES FOLDER``.

Reads the files ``NUMBER.TYPE.dcm`` of the folder and writes their stored values as that type, one after the other, into
one file.
"""

from __future__ import annotations

import errno
import sys
from pathlib import Path

from leuda_core.io.children import NO_SPACE, REFUSED, limit
from leuda_core.io.dicom.compressed import ENDING, VOXELS


def main(seconds: str, memory_bytes: str, folder: str) -> int:
    limit(int(seconds), int(memory_bytes))
    try:
        _decode(Path(folder))
    except OSError as error:
        print(error, file=sys.stderr)
        return NO_SPACE if error.errno == errno.ENOSPC else REFUSED
    except RuntimeError:  # its text names places in the code of ITK
        print("its compressed pixels cannot be decoded", file=sys.stderr)
        return REFUSED
    except (ValueError, MemoryError) as error:
        print(str(error) or type(error).__name__, file=sys.stderr)
        return REFUSED
    return 0


def _decode(folder: Path) -> None:
    import numpy as np
    import SimpleITK as sitk

    with open(folder / VOXELS, "wb") as out:
        for path in sorted(folder.glob(f"*{ENDING}")):
            dtype = np.dtype(path.name.split(".")[1])
            values = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
            stored = values.astype(dtype)
            if not (stored == values).all():
                raise ValueError(f"its pixels are {values.dtype} instead of {dtype}")
            out.write(stored.tobytes())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

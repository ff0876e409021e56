"""The parts of the module LEUDASegmentation, and the code that both modules share inside Slicer's process.

The groups ``processes``, ``widgets`` and ``scene`` are shared; ``run`` and ``panel`` belong to this module. The
``__all__`` of a group names the files that other groups may import.

Importing this package makes ``leuda_core`` importable. In an installed extension, it is next to the modules; in a
source checkout, it is at the root of the repository, two folders up.
"""

import importlib.util
import sys
from pathlib import Path


def _make_core_importable() -> None:
    if importlib.util.find_spec("leuda_core") is None:
        sys.path.append(str(Path(__file__).resolve().parents[2]))


_make_core_importable()

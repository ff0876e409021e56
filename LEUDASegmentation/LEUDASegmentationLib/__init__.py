"""What the module LEUDASegmentation is made of, and what both modules share inside Slicer's process.

Shared are the groups ``processes``, ``widgets`` and ``scene``; ``run`` and ``panel`` belong to this module. The
``__all__`` of a group names the parts that others may import.

Importing this package makes ``leuda_core`` importable. An installed extension has it beside the modules; in a source
checkout it lies at the root of the repository, two folders up.
"""

import importlib.util
import sys
from pathlib import Path


def _make_core_importable() -> None:
    if importlib.util.find_spec("leuda_core") is None:
        sys.path.append(str(Path(__file__).resolve().parents[2]))


_make_core_importable()

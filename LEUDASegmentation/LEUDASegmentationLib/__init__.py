"""What the two LE-UDA modules share inside Slicer's process: child processes, installation, models, results.

Importing it makes ``leuda_core`` importable. An installed extension has it beside the modules; in a source checkout it
lies at the root of the repository, two folders up.
"""

import importlib.util
import sys
from pathlib import Path


def _make_core_importable() -> None:
    if importlib.util.find_spec("leuda_core") is None:
        sys.path.append(str(Path(__file__).resolve().parents[2]))


_make_core_importable()

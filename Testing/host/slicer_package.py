"""Imports the installed package ``slicer`` whole and alone.

That package takes every folder named ``slicer`` on sys.path for a part of itself and imports all it finds there. The
folder of the tests that is named so must not be among them.
"""

import sys
from pathlib import Path

_tests = Path(__file__).resolve().parents[1]
_path = sys.path
sys.path = [entry for entry in _path if Path(entry or ".").resolve() != _tests]
try:
    import slicer  # noqa: F401
finally:
    sys.path = _path

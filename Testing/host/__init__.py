"""A stand-in of the 3D Slicer application for module tests: PySide6 in the place of PythonQt, over the real MRML.

``from host import boot; app = boot(); app.loadModule("…/MyModule.py")``. What it cannot stand in for is listed in
docs/TEST_HOST.md.
"""

from host import slicer_package  # noqa: F401  before anything else imports slicer
from host.boot import Host, boot, running

__all__ = ["Host", "boot", "running"]

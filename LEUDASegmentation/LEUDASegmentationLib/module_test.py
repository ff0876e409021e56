"""What the self-tests of both modules do alike."""

from __future__ import annotations

import unittest

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from LEUDASegmentationLib.processes import installation


class ModuleTest(ScriptedLoadableModuleTest):
    """A self-test that skips where packages are missing: Slicer reports it as not run, never that it passed."""

    def setUp(self) -> None:
        """Begin each test with an empty scene."""
        missing = installation.missingPackages()
        if missing:
            names = ", ".join(missing)
            raise unittest.SkipTest(f"nothing was tested: {names} missing; press Install in LE-UDA Segmentation")
        slicer.mrmlScene.Clear()

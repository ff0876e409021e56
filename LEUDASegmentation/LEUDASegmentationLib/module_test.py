"""What the self-tests of both modules have in common."""

from __future__ import annotations

import unittest

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from LEUDASegmentationLib.processes import installation


class ModuleTest(ScriptedLoadableModuleTest):
    """A self-test that is skipped if packages are missing: Slicer reports it as not run rather than as passed."""

    def setUp(self) -> None:
        """Start each test with an empty scene."""
        missing = installation.missing_packages()
        if missing:
            names = ", ".join(missing)
            raise unittest.SkipTest(f"nothing was tested: {names} missing; press Install in LE-UDA Segmentation")
        slicer.mrmlScene.Clear()

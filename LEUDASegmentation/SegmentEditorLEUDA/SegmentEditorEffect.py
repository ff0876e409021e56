"""The effect "LE-UDA" of the Segment Editor, as Slicer creates it: from this file, by its name and the class's.

Each Segment Editor has a copy of its own. What it does is in ``LEUDASegmentationLib.effect``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

from LEUDASegmentationLib.effect.choices import Choices
from LEUDASegmentationLib.effect.tool import ModelTool

_ICON = Path(__file__).parents[1] / "Resources" / "Icons" / "LEUDASegmentation.png"


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """Lets a model segment slices or regions, into the segments that are being edited."""

    def __init__(self, scriptedEffect: Any) -> None:
        scriptedEffect.name = "LE-UDA"  # never translated: modules find effects by it
        scriptedEffect.title = _("LE-UDA")
        scriptedEffect.perSegment = True
        scriptedEffect.requireSegments = False  # all structures of a model can be added to an empty segmentation
        super().__init__(scriptedEffect)
        self.choices = Choices(scriptedEffect)  # Slicer asks for the defaults before it asks for the options
        self.tool: ModelTool | None = None

    def clone(self) -> Any:
        """Return a new effect for another Segment Editor."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        copy = effects.qSlicerSegmentEditorScriptedEffect(None)
        copy.setPythonSource(Path(__file__).as_posix())
        return copy

    def icon(self) -> Any:
        """Return the picture on the button."""
        return qt.QIcon(str(_ICON))

    def helpText(self) -> str:
        """Return what Slicer shows above the options."""
        return _(
            "Segments this slice, several, a ROI or the whole volume with a model of LE-UDA Segmentation. What was in "
            "this place is replaced; masking and Undo work as for every other effect.<br><b>Research software, not a "
            "medical device</b>: check every slice."
        )

    def createCursor(self, _widget: Any) -> Any:
        """Keep the usual mouse pointer: the views are not drawn on."""
        window = slicer.util.mainWindow()
        return window.cursor if window is not None else qt.QCursor()

    def setupOptionsFrame(self) -> None:
        """Create the options."""
        self.tool = ModelTool(self.scriptedEffect, self.choices)

    def setMRMLDefaults(self) -> None:
        """Give the parameters their defaults."""
        self.choices.set_defaults()

    def activate(self) -> None:
        """The effect was chosen."""
        if self.tool is not None:
            self.tool.activate()

    def deactivate(self) -> None:
        """Another effect was chosen."""
        if self.tool is not None:
            self.tool.deactivate()

    def updateGUIFromMRML(self) -> None:
        """Show the parameters."""
        if self.tool is not None:
            self.tool.update()

    def updateMRMLFromGUI(self) -> None:
        """Nothing to do: every choice is stored when it is made."""

    def sourceVolumeNodeChanged(self) -> None:
        """Another volume is edited upon."""
        if self.tool is not None and self.scriptedEffect.parameterSetNode() is not None:
            self.choices.forget_slices()
            self.tool.update()

    def processViewNodeEvents(self, callerViewNode: Any, _eventId: int, _viewWidget: Any) -> None:
        """A view was scrolled."""
        if self.tool is not None and callerViewNode.IsA("vtkMRMLSliceNode"):
            self.tool.use_view(callerViewNode)

    def cleanup(self) -> None:
        """The effect is about to be deleted."""
        if self.tool is not None:
            self.tool.close()
            self.tool = None

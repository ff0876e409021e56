"""LE-UDA Training: adapt a model to a modality without labels, from a few labels of another one."""

import tempfile
import unittest
from pathlib import Path

import qt
import slicer
import vtk
from LEUDASegmentationLib import installation
from LEUDATrainingLib.logic import LEUDATrainingLogic
from LEUDATrainingLib.panel import TrainingPanel
from LEUDATrainingLib.self_test import DISC, fill_parameter_node
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

__all__ = ["LEUDATraining", "LEUDATrainingLogic", "LEUDATrainingTest", "LEUDATrainingWidget"]

_REFRESH_MS = 150  # drawing a stroke changes a segmentation many times


class LEUDATraining(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent) -> None:
        super().__init__(parent)
        parent.title = _("LE-UDA Training")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["LEUDASegmentation", "Segmentations", "SegmentEditor"]
        parent.contributors = ["LE-UDA contributors"]
        parent.helpText = _(
            "<p>Adapts a segmentation model to a modality that nobody has labelled. Label a few slices of another "
            "modality, add unlabelled volumes of the one to segment, and start.</p>"
            "<p>Training runs in a process of its own: it goes on when Slicer is closed, and is found again later.</p>"
            "<p><b>Research software, not a medical device</b>: not for diagnosis, not for the care of patients.</p>"
            "<p>Nothing leaves this computer: volumes, labels and models stay where they are.</p>"
        )
        parent.acknowledgementText = _(
            "<p>Please cite the work behind the method you choose; the default one is:</p>"
            "<p>Z. Zhao, F. Zhou, K. Xu, Z. Zeng, C. Guan, S. K. Zhou: LE-UDA: Label-efficient unsupervised domain "
            "adaptation for medical image segmentation, IEEE Transactions on Medical Imaging, 2022.</p>"
        )


class LEUDATrainingWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Ties the panel to the scene: its parameter node, its closing, the nodes that a training is made of."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None
        self._parameterNode = None
        self._guiTag = None

    def setup(self) -> None:
        """Build the panel; called once, when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = LEUDATrainingLogic()
        self._uiWidget = slicer.util.loadUI(self.resourcePath("UI/LEUDATraining.ui"))
        self.layout.addWidget(self._uiWidget)
        self.ui = slicer.util.childWidgetVariables(self._uiWidget)
        self._uiWidget.setMRMLScene(slicer.mrmlScene)
        self.panel = TrainingPanel(self.ui, self.logic)
        self._refreshTimer = qt.QTimer(self._uiWidget)
        self._refreshTimer.setSingleShot(True)
        self._refreshTimer.setInterval(_REFRESH_MS)
        self._refreshTimer.connect("timeout()", self._refresh)
        self._observeScene()
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Let go of everything; called when Slicer quits or the module is reloaded. Trainings go on."""
        self._refreshTimer.stop()
        self.setParameterNode(None)
        self.removeObservers()
        self.panel.cleanup()

    def enter(self) -> None:
        """Called each time the user opens the module."""
        self.initializeParameterNode()
        self.panel.enter()

    def exit(self) -> None:
        """Called each time the user opens another module."""
        self.panel.leave()

    def initializeParameterNode(self) -> None:
        """Make sure that there is a parameter node."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode) -> None:
        """Show and observe a parameter node instead of the present one; ``None`` while there is none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onSceneChanged)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onSceneChanged)
        self.panel.set_parameter_node(parameterNode)
        self._observeSegmentations()

    def _observeScene(self) -> None:
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneEndClose)
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._onSceneChanged)

    def _observeSegmentations(self) -> None:
        """Count again when something is drawn."""
        kind = slicer.vtkSegmentation
        events = (kind.SourceRepresentationModified, kind.SegmentAdded, kind.SegmentRemoved, kind.SegmentModified)
        self.removeObservers(self._onDrawn)
        for segmentation in self.panel.source_segmentations():
            for event in events:
                self.addObserver(segmentation, event, self._onDrawn)

    def _onDrawn(self, _caller=None, _event=None) -> None:
        self._onSceneChanged()

    def _onSceneChanged(self, _caller=None, _event=None) -> None:
        if not self._refreshTimer.active:
            self._refreshTimer.start()

    def _refresh(self) -> None:
        if self._parameterNode is not None and not slicer.mrmlScene.IsClosing():
            self.panel.refresh()
            self._observeSegmentations()

    def _onSceneStartClose(self, _caller=None, _event=None) -> None:
        self.panel.leave()
        self.setParameterNode(None)

    def _onSceneEndClose(self, _caller=None, _event=None) -> None:
        if self.parent.isEntered:
            self.initializeParameterNode()


class LEUDATrainingTest(ScriptedLoadableModuleTest):
    """Trains four steps in a process of its own and segments with the model.

    Skips where packages are missing: Slicer then reports that the test was not run, never that it passed.
    """

    STEPS = 4

    def setUp(self) -> None:
        """Begin with an empty scene."""
        missing = installation.missingPackages()
        if missing:
            raise unittest.SkipTest(f"nothing was tested: {', '.join(missing)} missing; press Start in the module")
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run every test, as Slicer's self-test modules do."""
        self.setUp()
        self.test_TrainAndUse()
        self.delayDisplay("Test passed")

    def test_TrainAndUse(self) -> None:
        """A scene becomes a dataset, a run, a model, and the model segments the target on its own grid."""
        logic = LEUDATrainingLogic()
        parameterNode = logic.getParameterNode()
        target = fill_parameter_node(parameterNode)
        with tempfile.TemporaryDirectory() as folder:
            self.delayDisplay("Training four steps")
            out, settings = Path(folder) / "training" / "run", {"base_channels": 4, "patch_size": 48}
            run = logic.train(parameterNode, "source_only", out=out, steps=self.STEPS, device="cpu", settings=settings)
            self.assertEqual(logic.status(run).step, self.STEPS)
            self.delayDisplay("Segmenting with its model")
            segment = slicer.util.getModuleLogic("LEUDASegmentation").segment
            segmentation = segment(target, run.bundle, device="cpu")
            names = [segmentation.GetSegmentation().GetNthSegment(0).GetName()]
            self.assertEqual(names, [DISC.name])
            self.assertEqual(segmentation.GetSegmentation().GetNumberOfSegments(), 1)

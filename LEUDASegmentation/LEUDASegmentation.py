"""LE-UDA Segmentation: segment a volume with a model that was adapted to its modality without labels."""

import tempfile
import unittest
from pathlib import Path

import qt
import slicer
import vtk
from LEUDASegmentationLib import installation
from LEUDASegmentationLib.logic import LEUDASegmentationLogic
from LEUDASegmentationLib.panel import SegmentationPanel
from LEUDASegmentationLib.parameter_node import SegmentationParameterNode, is_alive
from LEUDASegmentationLib.sample_data import registerSampleData
from LEUDASegmentationLib.self_test import LABEL, add_disc_volume, train_tiny_model
from LEUDASegmentationLib.volume_list import scalar_volumes
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

__all__ = ["LEUDASegmentation", "LEUDASegmentationLogic", "LEUDASegmentationTest", "LEUDASegmentationWidget"]


class LEUDASegmentation(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent) -> None:
        super().__init__(parent)
        parent.title = _("LE-UDA Segmentation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "Volumes", "Markups"]
        parent.contributors = ["LE-UDA contributors"]
        parent.helpText = _(
            "<p>Segments MR and CT volumes with a model that was adapted to their modality without any label of it. "
            "Models are made in LE-UDA Training, or imported.</p>"
            "<p><b>Research software, not a medical device</b>: not for diagnosis, not for the care of patients. A "
            "model that was adapted without labels can be wrong in ways that no number shows; look at every "
            "result.</p>"
            "<p>Nothing leaves this computer: volumes, models and results stay where they are.</p>"
        )
        parent.acknowledgementText = _(
            "<p>Please cite the work behind the method of your model:</p>"
            "<p>Z. Zhao, K. Xu, S. Li, Z. Zeng, C. Guan: MT-UDA: Towards unsupervised cross-modality medical image "
            "segmentation with limited source labels, MICCAI 2021.</p>"
            "<p>Z. Zhao, F. Zhou, K. Xu, Z. Zeng, C. Guan, S. K. Zhou: LE-UDA: Label-efficient unsupervised domain "
            "adaptation for medical image segmentation, IEEE Transactions on Medical Imaging, 2022.</p>"
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


class LEUDASegmentationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Ties the panel to the scene: its parameter node, its closing, its nodes that come and go."""

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
        self.logic = LEUDASegmentationLogic()
        self._uiWidget = slicer.util.loadUI(self.resourcePath("UI/LEUDASegmentation.ui"))
        self.layout.addWidget(self._uiWidget)
        self.ui = slicer.util.childWidgetVariables(self._uiWidget)
        self._uiWidget.setMRMLScene(slicer.mrmlScene)
        self.panel = SegmentationPanel(self._uiWidget, self.ui, self.logic)
        self._refreshTimer = qt.QTimer(self._uiWidget)  # a scene that loads adds many nodes at once
        self._refreshTimer.setSingleShot(True)
        self._refreshTimer.setInterval(0)
        self._refreshTimer.connect("timeout()", self._onNodesChanged)
        self._observeScene()
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Stop what runs; called when Slicer quits or the module is reloaded."""
        self.panel.close()
        self._refreshTimer.stop()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        """Called each time the user opens the module."""
        self.initializeParameterNode()
        self.panel.enter()

    def exit(self) -> None:
        """Called each time the user opens another module; a running segmentation goes on."""
        self.panel.exit()

    def selectModel(self, name: str) -> None:
        """Choose a model of the list.

        Raises:
            InputError: there is none of this name.
        """
        self.initializeParameterNode()
        self.panel.selectModel(name)

    def initializeParameterNode(self) -> None:
        """Make sure that there is a parameter node, with the first volume of the scene to begin with."""
        self.setParameterNode(SegmentationParameterNode(self.logic.getParameterNode()))
        volumes = scalar_volumes()
        if not is_alive(self._parameterNode.inputVolume) and volumes:
            self._parameterNode.inputVolume = volumes[0]

    def setParameterNode(self, parameterNode) -> None:
        """Show and observe a parameter node instead of the present one; ``None`` while there is none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
        self.panel.setParameters(parameterNode)

    def _observeScene(self) -> None:
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneEndClose)
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._onSceneChanged)

    def _onParametersChanged(self, _caller=None, _event=None) -> None:
        self.panel.update()

    def _onSceneStartClose(self, _caller=None, _event=None) -> None:
        self.panel.stop()
        self.setParameterNode(None)

    def _onSceneEndClose(self, _caller=None, _event=None) -> None:
        if self.parent.isEntered:
            self.initializeParameterNode()

    def _onSceneChanged(self, _caller=None, _event=None) -> None:
        if not self._refreshTimer.active:
            self._refreshTimer.start()

    def _onNodesChanged(self) -> None:
        if self._parameterNode is not None and not slicer.mrmlScene.IsClosing():
            self.panel.refreshNodes()


class LEUDASegmentationTest(ScriptedLoadableModuleTest):
    """Trains a tiny model in a child process and segments with it.

    Skips where packages are missing: Slicer then reports that the test was not run, never that it passed.
    """

    STEPS = 80
    TIMEOUT_S = 600.0
    LEAST_DICE = 0.8

    def setUp(self) -> None:
        """Begin with an empty scene."""
        missing = installation.missingPackages()
        if missing:
            raise unittest.SkipTest(f"nothing was tested: {', '.join(missing)} missing; press Install in the module")
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run every test, as Slicer's self-test modules do."""
        self.setUp()
        self.test_SegmentUnseenVolume()
        self.delayDisplay("Test passed")

    def test_SegmentUnseenVolume(self) -> None:
        """The model finds a disc that it has not seen, on the grid of the volume, through logic and worker."""
        with tempfile.TemporaryDirectory() as folder:
            self.delayDisplay("Training a tiny model in a child process")
            bundle = train_tiny_model(Path(folder), steps=self.STEPS, timeout_s=self.TIMEOUT_S)
            logic = LEUDASegmentationLogic(modelsFolder=Path(folder) / "models")
            volume, disc = add_disc_volume("unseen", seed=9)
            self.delayDisplay("Segmenting a volume")
            node = logic.segment(volume, logic.importModel(bundle), device="cpu")
            segmentation = node.GetSegmentation()
            self.assertEqual(segmentation.GetNumberOfSegments(), 1)
            self.assertEqual(segmentation.GetNthSegment(0).GetName(), LABEL)
            segment = segmentation.GetNthSegmentID(0)
            found = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume) > 0
            self.assertEqual(found.shape, disc.shape)
            self.assertGreater(2 * (found & disc).sum() / (found.sum() + disc.sum()), self.LEAST_DICE)
            (row,) = logic.statistics(node, volume)
            self.assertAlmostEqual(row.volume_mL, found.sum() * 1.25 * 1.25 * 8 / 1000, places=3)

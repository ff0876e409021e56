"""LE-UDA Segmentation: segments a volume with a model that was adapted to its modality without labels."""

import tempfile
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from LEUDASegmentationLib import module_test
from LEUDASegmentationLib.effect.registration import register_effect
from LEUDASegmentationLib.logic import LEUDASegmentationLogic
from LEUDASegmentationLib.panel.panel import SegmentationPanel
from LEUDASegmentationLib.panel.volume_list import shown_volume
from LEUDASegmentationLib.parameter_node import SegmentationParameterNode, is_alive
from LEUDASegmentationLib.processes.worker_client import stop_shared_worker
from LEUDASegmentationLib.sample_data import register_sample_data
from LEUDASegmentationLib.self_test import LABEL, add_disc_volume, train_tiny_model
from LEUDASegmentationLib.widgets.module_widget import ModuleWidget

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
            "<p>Segments MR and CT volumes with a model that was adapted to their modality without labels. "
            "Models are trained in LE-UDA Training, or imported.</p>"
            "<p><b>Research software, not a medical device</b>: not for diagnosis or patient care. A model that was "
            "adapted without labels can make errors that no metric shows; check every result.</p>"
            "<p>Nothing leaves this computer: volumes, models and results stay where they are.</p>"
        )
        parent.acknowledgementText = _(
            "<p>Please cite the papers of the method that your model uses:</p>"
            "<p>Z. Zhao, K. Xu, S. Li, Z. Zeng, C. Guan: MT-UDA: Towards unsupervised cross-modality medical image "
            "segmentation with limited source labels, MICCAI 2021.</p>"
            "<p>Z. Zhao, F. Zhou, K. Xu, Z. Zeng, C. Guan, S. K. Zhou: LE-UDA: Label-efficient unsupervised domain "
            "adaptation for medical image segmentation, IEEE Transactions on Medical Imaging, 2022.</p>"
        )
        slicer.app.connect("startupCompleted()", register_sample_data)
        slicer.app.connect("startupCompleted()", register_effect)


class LEUDASegmentationWidget(ModuleWidget):
    """The module's panel, connected to the scene."""

    def makePanel(self) -> SegmentationPanel:
        """Set ``logic`` and return the panel."""
        self.logic = LEUDASegmentationLogic()
        return SegmentationPanel(self._uiWidget, self.ui, self.logic)

    def makeParameterNode(self) -> SegmentationParameterNode:
        """Return the scene's parameter node; its initial input is the volume that the views show."""
        node = SegmentationParameterNode(self.logic.getParameterNode())
        if not is_alive(node.inputVolume):
            node.inputVolume = shown_volume()
        return node

    def onReload(self) -> None:
        """Also end the worker: the reloaded library starts its own."""
        stop_shared_worker()
        super().onReload()

    def selectModel(self, name: str) -> None:
        """Choose a model of the list.

        Raises:
            InputError: there is no model with this name.
        """
        self.initializeParameterNode()
        self.panel.select_model(name)

    def _onParametersChanged(self, _caller, _event) -> None:
        self.panel.update()  # at once: the user has just chosen something


class LEUDASegmentationTest(module_test.ModuleTest):
    """Trains a tiny model in a child process and segments with it; opens the effect of the Segment Editor."""

    STEPS = 80
    TIMEOUT_S = 600.0
    LEAST_DICE = 0.8

    def test_SegmentUnseenVolume(self) -> None:
        """The model finds a disc in a new volume, on the volume's grid, through logic and worker."""
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

    def test_EffectOfTheSegmentEditor(self) -> None:
        """A Segment Editor has the effect, and it can be chosen for an empty segmentation."""
        register_effect()  # nothing happens if it is there already
        volume, _disc = add_disc_volume("edited", seed=3)
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
        segmentation.CreateDefaultDisplayNodes()
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMRMLScene(slicer.mrmlScene)
        editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
        editor.setSegmentationNode(segmentation)
        editor.setSourceVolumeNode(volume)
        self.assertIn("LE-UDA", editor.availableEffectNames())
        editor.setActiveEffectByName("LE-UDA")
        self.assertEqual(editor.activeEffect().name, "LE-UDA")
        editor.setActiveEffect(None)
        self.assertIsNone(editor.activeEffect())

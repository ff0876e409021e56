"""LE-UDA Training: adapt a model to a modality without labels, from a few labels of another one."""

import tempfile
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from LEUDASegmentationLib import module_test
from LEUDASegmentationLib.widgets.module_widget import ModuleWidget
from LEUDATrainingLib.logic import LEUDATrainingLogic
from LEUDATrainingLib.method_catalog import RECOMMENDED, load_methods
from LEUDATrainingLib.panel import TrainingPanel
from LEUDATrainingLib.parameter_node import LEUDATrainingParameterNode
from LEUDATrainingLib.self_test import DISC, fill_parameter_node

__all__ = ["LEUDATraining", "LEUDATrainingLogic", "LEUDATrainingTest", "LEUDATrainingWidget"]


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
        parent.acknowledgementText = _acknowledgement()


def _acknowledgement() -> str:
    """Return what to cite, with the default method of the catalog, as rich text."""
    default = load_methods()[RECOMMENDED]
    method = _("<p>The default method is <i>{title}</i> ({paper}). Please cite the paper of the method you use.</p>")
    project = _(
        "<p>The project is based on:</p>"
        "<p>Z. Zhao, F. Zhou, K. Xu, Z. Zeng, C. Guan, S. K. Zhou: LE-UDA: Label-efficient unsupervised domain "
        "adaptation for medical image segmentation, IEEE Transactions on Medical Imaging, 2022.</p>"
    )
    return method.format(title=default.title, paper=default.paper) + project


class LEUDATrainingWidget(ModuleWidget):
    """The module's panel, tied to the scene and to what is drawn in it."""

    REFRESH_MS = 150  # drawing a stroke changes a segmentation many times

    def makePanel(self) -> TrainingPanel:
        """Set ``logic`` and return the panel."""
        self.logic = LEUDATrainingLogic()
        return TrainingPanel(self.ui, self.logic)

    def makeParameterNode(self) -> LEUDATrainingParameterNode:
        """Return the scene's parameter node."""
        return self.logic.getParameterNode()

    def setParameterNode(self, parameterNode) -> None:
        """Show and observe a parameter node instead of the present one; ``None`` while there is none."""
        super().setParameterNode(parameterNode)
        self._observeSegmentations()

    def _refresh(self) -> None:
        super()._refresh()
        self._observeSegmentations()

    def _observeSegmentations(self) -> None:
        """Count again when something is drawn."""
        kind = slicer.vtkSegmentation
        events = (kind.SourceRepresentationModified, kind.SegmentAdded, kind.SegmentRemoved, kind.SegmentModified)
        self.removeObservers(self._onSegmentationChanged)
        for segmentation in self.panel.source_segmentations():
            for event in events:
                self.addObserver(segmentation, event, self._onSegmentationChanged)

    def _onSegmentationChanged(self, _caller, _event) -> None:
        self._onSceneChanged()


class LEUDATrainingTest(module_test.ModuleTest):
    """Trains four steps in a process of its own and segments with the model."""

    STEPS = 4

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

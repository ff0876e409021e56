"""Makes the pictures of docs/TUTORIAL.md: drives both modules on the host, with phantom data alone.

``make screenshots`` keeps data, models and runs in build/screenshots. The first call trains the model of the pictures
(the recommended method, about a quarter of an hour on two idle cores); later ones find it in the list of runs.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from PIL import Image

from host import boot
from repository import ROOT

WORK = ROOT / "build" / "screenshots"
PICTURES = ROOT / "docs" / "images"
RUN_NAME = "Hearts MR to CT"
SETTINGS = {"patch_size": 64}
STEPS = 1500
MARKED = (3, 8, 12)
"""Slices that are called complete in the picture of marking."""

WINDOW, TALL_WINDOW = (1400, 960), (1400, 1240)
SETTLING_MS = 600
TRAINING_S, COMPUTING_S = 7200.0, 600.0
SCROLLED_MM = 15.0
_COLOURS = 256

logger = logging.getLogger(__name__)


class Tutorial:
    """The steps of the tutorial, in its order; each leaves one picture."""

    def __init__(self) -> None:
        self.app = boot(WORK / "slicer")
        self.app.app.userSettings().setValue("LEUDA/DataFolder", str(WORK / "LEUDA"))
        self.segmentation = self.app.loadModule(ROOT / "LEUDASegmentation" / "LEUDASegmentation.py")
        self.training = self.app.loadModule(ROOT / "LEUDATraining" / "LEUDATraining.py")
        self.app.mainWindow.resize(*WINDOW)

    def run(self) -> None:
        """Make all pictures."""
        self.choose_cases()
        self.mark_slices()
        self.choose_method()
        self.watch_training()
        self.segment()
        self.edit()
        self.app.close()

    def choose_cases(self) -> None:
        """Structures and volumes of a training, from the sample data."""
        from LEUDASegmentationLib import sample_data
        from LEUDATrainingLib.cases.cases import CaseStore
        from LEUDATrainingLib.cases.structures import structures_of_segmentation, write_structures

        nodes = sample_data.load_sample(sample_data.FEW_LABELS)
        segmentations = {node.GetName(): node for node in nodes if node.IsA("vtkMRMLSegmentationNode")}
        volumes = [node for node in nodes if node.IsA("vtkMRMLScalarVolumeNode")]
        parameters = self.training.logic.getParameterNode()
        write_structures(parameters, structures_of_segmentation(next(iter(segmentations.values()))))
        for volume in volumes:
            role = "source" if volume.GetName().startswith("MR") else "target"
            CaseStore(parameters, role).add_node(volume, segmentations.get(f"{volume.GetName()} segmentation"))
        parameters.sourceModality, parameters.targetModality, parameters.runName = "MR", "CT", RUN_NAME
        self._open_step("source")
        self._grab("tutorial_cases")

    def mark_slices(self) -> None:
        """The tools that mark slices, on the first volume."""
        self._open_step("source")
        panel = self.training.panel
        case = next(iter(panel.source.store))
        panel.source.store.set_labelled(case.key, MARKED)
        panel.source.select(case.key)
        self.app.click(panel.source.mark_button)
        self.app.click(panel.marking.show_button)
        self.app.click(panel.marking.next_button)
        self._grab("tutorial_marking")
        self.app.click(panel.marking.all_button)  # the training learns from every labelled slice

    def choose_method(self) -> None:
        """Method, preset and estimate."""
        import qt
        import slicer

        self._open_step("start")
        self.app.choose(slicer.util.findChild(self.training.panel.form, "presetBox"), "10 minutes")
        estimate = slicer.util.findChild(self.training.panel.form, "estimateButton")
        result = slicer.util.findChild(self.training.panel.form, "estimateResult")
        self.app.click(estimate)
        self.app.wait_until(lambda: estimate.isVisible() and estimate.enabled, COMPUTING_S, "the estimate")
        assert isinstance(result, qt.QLabel) and result.text, "there is no estimate"
        self._grab("tutorial_method")

    def watch_training(self) -> None:
        """A training, its learning curve and a preview; trains first unless that was done before."""
        panel = self.training.panel
        if not self._finished_runs():
            parameters = self.training.logic.getParameterNode()
            parameters.settings, parameters.steps = json.dumps(SETTINGS), STEPS
            self._settle()
            self.app.click(panel.start.start_button)
            self.app.wait_until(self._finished_runs, TRAINING_S, "the training")
        self._open_step("runs")
        panel.runs.set_current_run(self._finished_runs()[0])
        self.app.wait_until(lambda: panel.view.status and panel.view.status.state == "finished", COMPUTING_S, "the run")
        self.app.mainWindow.resize(*TALL_WINDOW)
        self._grab("tutorial_training")
        self.app.mainWindow.resize(*WINDOW)

    def segment(self) -> None:
        """A CT that the model has not seen, segmented with it."""
        import slicer

        from LEUDASegmentationLib import sample_data

        self.app.click(slicer.util.findChild(self.training.panel.view, "useModelButton"))
        slicer.mrmlScene.Clear(False)  # the patients of the training lie in the same place
        self._settle()
        self.segmentation.selectModel(RUN_NAME)
        (volume,) = sample_data.load_sample(sample_data.PHANTOM_CT)
        ui, panel = self.segmentation.ui, self.segmentation.panel
        ui.inputSelector.setCurrentNode(volume)
        ui.showIn3DCheckBox.checked = True
        ui.largestComponentCheckBox.checked = True
        self.app.processEvents()
        self.app.click(ui.applyButton)
        self.app.wait_until(lambda: not panel.apply.running and ui.undoButton.isVisible(), COMPUTING_S, "the result")
        self._grab("tutorial_result")

    def edit(self) -> None:
        """The effect of the Segment Editor on this result, with its preview."""
        import slicer

        from LEUDASegmentationLib.processes.worker_client import shared_worker

        panel = self.segmentation.panel
        self.app.click(panel.result.tools.edit_button)
        editor = slicer.util.getModuleWidget("SegmentEditor").editor
        self.app.click(slicer.util.findChild(editor, "LE-UDA"))
        segments = slicer.util.findChild(editor, "LEUDAEffectSegments")
        self.app.choose(segments, segments.itemText(1))
        view = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
        view.SetSliceOffset(view.GetSliceOffset() + SCROLLED_MM)
        self._erase_slice(view)
        self._settle()
        self.app.wait_until(lambda: not shared_worker().open_requests, COMPUTING_S, "the preview")
        self._grab("tutorial_effect")

    def _erase_slice(self, view) -> None:
        """Erase all segments in the slice that a view shows, as one does before drawing it anew."""
        import slicer

        from LEUDASegmentationLib.scene.slice_views import centre_of, index_of_slice

        editor = slicer.util.getModuleWidget("SegmentEditor").editor
        segmentation, volume = editor.segmentationNode(), editor.sourceVolumeNode()
        index = index_of_slice(volume, 2, centre_of(view, volume))
        for identifier in segmentation.GetSegmentation().GetSegmentIDs():
            voxels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, volume).copy()
            voxels[index] = 0
            slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, segmentation, identifier, volume)

    def _finished_runs(self) -> list[Path]:
        runs = [path.parent for path in (WORK / "LEUDA" / "runs").glob("*/run/run.json")]
        return [run for run in runs if self.training.logic.status(run).state == "finished"]

    def _open_step(self, name: str) -> None:
        """Open a step of LE-UDA Training."""
        self.app.selectModule("LEUDATraining")
        self.training.panel.guide.open(name)
        self.app.processEvents()

    def _settle(self) -> None:
        """Let the panels catch up: they gather changes for a moment before they show them."""
        import qt

        late: list[bool] = []
        qt.QTimer.singleShot(SETTLING_MS, lambda: late.append(True))
        self.app.wait_until(lambda: late)

    def _grab(self, name: str) -> None:
        """Keep a picture of the whole window, with few enough colours to stay small."""
        self._settle()
        path = self.app.grab(self.app.mainWindow, WORK / f"{name}.png")
        picture = PICTURES / path.name
        with Image.open(path) as image:
            image.convert("RGB").quantize(_COLOURS).save(picture, optimize=True)
        logger.info("%s: %d kB", path.name, picture.stat().st_size // 1024)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    Tutorial().run()


if __name__ == "__main__":
    main()

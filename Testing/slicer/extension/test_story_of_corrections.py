"""The second half of the story: a result is corrected, the model used as a tool of the Segment Editor, and improved.

By mouse and keyboard, on real MRML, with the real worker and a real adaptation in child processes.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from repository import ROOT
from segmentation_scene import paint, segment_voxels

MODEL_S, SHOWN_S = 150.0, 30.0
NAME = "disc"


class Story:
    """A scene with a volume, and a list with one model that finds its disc."""

    def __init__(self, app, folder: Path) -> None:
        import slicer

        app.app.userSettings().setValue("LEUDA/DataFolder", str(folder / "LEUDA"))
        self.app, self.slicer = app, slicer
        self.module = app.loadModule(ROOT / "LEUDASegmentation" / "LEUDASegmentation.py")
        from LEUDASegmentationLib.self_test import add_disc_volume, train_tiny_model

        bundle = train_tiny_model(folder, steps=60, timeout_s=MODEL_S)
        self.module.logic.importModel(bundle, "discs")
        self.volume, self.disc = add_disc_volume("patient", seed=9)
        self.module.enter()
        self.module.selectModel("discs")
        self.ui, self.panel = self.module.ui, self.module.panel
        self.app.processEvents()

    def apply(self) -> None:
        self.app.click(self.ui.applyButton)
        self.app.wait_until(lambda: not self.panel.apply.running, SHOWN_S, "the result")
        assert self.panel.message_strip.kind != "error", self.panel.message_strip.cause

    @property
    def result(self):
        """The segmentation; not the outlines of a preview."""
        nodes = self.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        (node,) = [node for node in nodes if not node.GetHideFromEditors()]
        return node

    def voxels(self) -> np.ndarray:
        return segment_voxels(self.result, NAME, self.volume)


@pytest.mark.alone
@pytest.mark.timeout(400)
def test_from_a_correction_to_a_better_model(slicer_app, tmp_path: Path) -> None:
    import slicer

    story = Story(slicer_app, tmp_path)
    app, panel, ui = slicer_app, story.panel, story.ui
    story.apply()
    first = story.voxels()
    assert 2 * (first & story.disc).sum() / (first.sum() + story.disc.sum()) > 0.7

    # One slice is corrected; it is kept when Apply is pressed again.
    corrected = first.copy()
    corrected[2] = story.disc[2]
    corrected[2, :4, :4] = True  # nothing a model would find
    paint(story.result, NAME, story.volume, corrected)
    app.answers.add("Keep them")
    story.apply()
    np.testing.assert_array_equal(story.voxels(), corrected)

    # The model as a tool: one slice, in the editable intensities alone.
    segmentation = story.result
    erased = corrected.copy()
    erased[4] = False
    paint(segmentation, NAME, story.volume, erased)
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.setMRMLSegmentEditorNode(node)
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(story.volume)
    editor.resize(420, 1000)
    editor.show()
    node.SetSourceVolumeIntensityMask(True)
    node.SetSourceVolumeIntensityMaskRange(480, 5000)
    app.click(slicer.util.findChild(editor, "LE-UDA"))
    view = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    bounds = [0.0] * 6
    story.volume.GetRASBounds(bounds)
    middle = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
    view.JumpSliceByCentering(middle[0], middle[1], 310.0 + 4 * 8.0)
    app.processEvents()
    assert slicer.util.findChild(editor, "LEUDAEffectPlace").text == "Slice 5 of 6"
    tool = editor.effectByName("LE-UDA").self().tool
    app.click(slicer.util.findChild(editor, "LEUDAEffectApply"))
    app.wait_until(lambda: not tool.running, SHOWN_S, "the slice")
    if "LEUDA_PICTURES" in os.environ:
        app.grab(editor, Path(os.environ["LEUDA_PICTURES"]) / "effect.png")
    bright = slicer.util.arrayFromVolume(story.volume)[4] >= 480
    np.testing.assert_array_equal(story.voxels()[4], corrected[4] & bright)
    np.testing.assert_array_equal(story.voxels()[:4], corrected[:4])
    assert (corrected[4] & bright).any() and (corrected[4] & ~bright).any()
    editor.undo()
    np.testing.assert_array_equal(story.voxels(), erased)
    editor.redo()
    after_effect = story.voxels().copy()
    app.click(slicer.util.findChild(editor, "None"))
    editor.delete()

    # The model learns from the corrected slices; the old one stays in the list.
    story.module.enter()
    app.wait_until(lambda: panel.improve.button.enabled, SHOWN_S, "the corrections to be counted")
    app.click(panel.improve.button)
    app.wait_until(lambda: panel.improve.picture.visible, MODEL_S, "the first picture of the new model")
    app.wait_until(lambda: not panel.improve.running, MODEL_S, "the new model")
    assert not panel.improve.picture.visible
    names = [model.name for model in story.module.logic.models()]
    assert len(names) == 2 and "discs" in names
    new = panel.models.selected_name
    assert new != "discs" and story.module.logic.modelEntry(new).adapted_from

    # Both are compared: the old one in the preview, the new one in a further result.
    ui.livePreviewCheckBox.checked = True
    app.wait_until(lambda: panel.preview.running, SHOWN_S, "the preview")
    ui.livePreviewCheckBox.checked = False

    # Saved and loaded, it is all still there.
    scene = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(scene))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(scene))
    (story.volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    np.testing.assert_array_equal(story.voxels(), after_effect)
    assert story.module.logic.correctedSlices(story.result, "discs") == 2

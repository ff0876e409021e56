"""What one does with a result, and which volume and segmentation the panel begins with."""

from __future__ import annotations

import pytest

from segmentation_panel import add_patient, apply_to_end, click, segmentations, settle
from segmentation_scene import add_volume


@pytest.fixture
def done(ready, worker):
    """The module with a result."""
    apply_to_end(ready, worker)
    return ready


def test_without_a_result_the_section_says_what_to_do(ready) -> None:
    result = ready.panel.result
    assert result._empty.visible and not result.tools.widget.visible and not ready.ui.segmentsTable.visible


def test_surfaces_are_shown_and_removed(done) -> None:
    (node,) = segmentations()
    content, button = node.GetSegmentation(), done.panel.result.tools.show_3d
    assert done.panel.result.tools.widget.visible
    click(button)
    assert content.ContainsRepresentation("Closed surface")
    click(button)
    assert not content.ContainsRepresentation("Closed surface")


def test_opacity_is_that_of_the_segmentation(done) -> None:
    (node,) = segmentations()
    slider = done.panel.result.tools.opacity
    slider.value = 0.4
    assert node.GetDisplayNode().GetOpacity() == pytest.approx(0.4)
    node.GetDisplayNode().SetOpacity(0.7)
    assert slider.value == pytest.approx(0.7)
    done.ui.outputSelector.setCurrentNode(None)
    settle()
    node.GetDisplayNode().SetOpacity(0.2)  # no longer shown here
    assert slider.value == pytest.approx(0.7) and not done.panel.result.tools.widget.visible


def test_edit_opens_the_segment_editor_with_the_result(done, slicer_app) -> None:
    import slicer

    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    (node,) = [each for each in segmentations() if each is not other]
    click(done.panel.result.tools.edit_button)
    assert slicer_app.mainWindow.moduleSelector().selectedModule == "SegmentEditor"
    editor = slicer.util.getModuleWidget("SegmentEditor").editor
    assert editor.segmentationNode() is node
    assert editor.sourceVolumeNode() is done._parameterNode.inputVolume
    slicer_app.selectModule("LEUDASegmentation")
    assert done.ui.outputSelector.currentNode() is node


def test_a_click_on_a_segment_shows_it(done) -> None:
    assert done.ui.segmentsTable.jumpToSelectedSegmentEnabled


@pytest.mark.parametrize("layer", ["Background", "Foreground"])
def test_the_input_is_what_the_views_show(module, layer: str) -> None:
    import slicer

    add_volume("first")
    shown = add_volume("shown")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        getattr(node, f"Set{layer}VolumeID")(shown.GetID())
    module._parameterNode.inputVolume = None
    from LEUDASegmentationLib.panel.volume_list import shown_volume

    assert shown_volume() is shown
    assert module.makeParameterNode().inputVolume is shown


def test_the_input_stays_when_another_volume_is_shown(ready) -> None:
    import slicer

    volume, other = ready._parameterNode.inputVolume, add_patient("patient 2")
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        node.SetBackgroundVolumeID(other.GetID())
    ready.exit()
    ready.enter()
    assert ready._parameterNode.inputVolume is volume

"""The slices that are worth checking, in the order in which the model was unsure of them."""

from __future__ import annotations

import numpy as np
import pytest

from segmentation_panel import apply_to_end, click, draw_discs, settle
from segmentation_scene import paint, segment_voxels


def told(doubt: dict | None):
    """Answer requests for a segmentation with discs, and with this doubt."""

    def answer(fields):
        assert fields["doubt"] is True
        return {**draw_discs(fields), "doubt": doubt}

    return answer


DOUBT = {"axis": 2, "slices": [[1, 50], [9, 50], [3, 50], [7, 50], [0, 50]]}


def shown_slice(volume) -> int:
    """Return the slice of a volume of 1 mm voxels that the red view shows."""
    import slicer

    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    return round(slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS())[2, 3])


def test_slices_are_shown_in_the_order_of_their_doubt(ready, worker) -> None:
    control, volume = ready.panel.improve, ready._parameterNode.inputVolume
    assert not control.next_button.enabled
    worker.draw = told(DOUBT)
    apply_to_end(ready, worker)
    assert control.next_button.enabled
    found = []
    for _press in range(4):
        click(control.next_button)
        found.append(shown_slice(volume))
    assert found == [1, 3, 2, 0]  # slice 4 has no doubt
    click(control.next_button)
    assert "Every slice was shown" in ready.panel.message_strip.cause
    click(control.next_button)
    assert shown_slice(volume) == 1  # once more from the beginning


def test_corrected_slices_are_not_shown(ready, worker) -> None:
    worker.draw = told(DOUBT)
    apply_to_end(ready, worker)
    node, volume = ready._parameterNode.outputSegmentation, ready._parameterNode.inputVolume
    voxels = segment_voxels(node, "disc", volume)
    voxels[1, :3, :3] = True
    paint(node, "disc", volume, voxels)
    click(ready.panel.improve.next_button)
    assert shown_slice(volume) == 3


def test_views_across_the_slices_stay(ready, worker) -> None:
    import slicer

    worker.draw = told(DOUBT)
    apply_to_end(ready, worker)
    yellow = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeYellow")
    before = slicer.util.arrayFromVTKMatrix(yellow.GetSliceToRAS())
    click(ready.panel.improve.next_button)
    np.testing.assert_array_equal(slicer.util.arrayFromVTKMatrix(yellow.GetSliceToRAS()), before)


@pytest.mark.parametrize("doubt", [None, {"axis": 2, "slices": []}, {"axis": 7, "slices": [[1, 1]]}, {"slices": 3}])
def test_without_usable_doubt_there_is_nothing_to_show(ready, worker, doubt) -> None:
    worker.draw = told(doubt)
    apply_to_end(ready, worker)
    assert not ready.panel.improve.next_button.enabled


def test_undo_gives_back_the_doubt_of_the_result_before(ready, worker) -> None:
    from LEUDASegmentationLib.run.next_slice import known_doubt

    worker.draw = told(DOUBT)
    apply_to_end(ready, worker)
    worker.draw = told({"axis": 2, "slices": [[5, 50]] * 5})
    apply_to_end(ready, worker)
    node = ready._parameterNode.outputSegmentation
    click(ready.ui.undoButton)
    settle()
    known = known_doubt(node)
    assert known is not None and known[1].tolist() == DOUBT["slices"]


def test_doubt_is_saved_with_the_scene_and_replaced_by_the_next_run(ready, worker) -> None:
    from LEUDASegmentationLib.run.next_slice import known_doubt

    worker.draw = told(DOUBT)
    apply_to_end(ready, worker)
    node = ready._parameterNode.outputSegmentation
    known = known_doubt(node)
    assert known is not None and known[0] == 2 and known[1].tolist() == DOUBT["slices"]
    worker.draw = told(None)
    apply_to_end(ready, worker)
    assert known_doubt(node) is None

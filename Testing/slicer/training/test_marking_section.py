"""The section Mark labels of LEUDATraining, used with mouse and keyboard as its user does."""

from __future__ import annotations

import pytest

from training_scene import add_volume, fill, labels_of, source_store, structures
from training_window import open_section, settle

pytestmark = pytest.mark.slow


@pytest.fixture
def marking(slicer_app, widget, find, node):
    """Return the section Mark labels, open, with the red view on the source volume."""
    import slicer

    fill(node)
    settle(slicer_app, widget)
    open_section(slicer_app, find("markingSection"))
    slicer_app.click(find("showVolumeButton"))
    settle(slicer_app, widget)
    return slicer.mrmlScene.GetSingletonNode(find("markingViewBox").currentText, "vtkMRMLSliceNode")


def test_a_slice_is_marked_complete_and_counted_at_once(slicer_app, widget, find, node, marking) -> None:
    from LEUDATrainingLib.labels.geometry import jump_to_slice

    source = source_store(node)
    case = next(iter(source))
    jump_to_slice(marking, source.volume(case), 4)
    assert find("markingSliceLabel").text == "Slice 5 of 6"
    assert not find("completeBox").checked
    slicer_app.click(find("completeBox"))
    settle(slicer_app, widget)
    assert source.find(case.key).labelled == (1, 2, 4)  # what was drawn still counts, the empty slice is background
    assert find("sourceTable").item(0, 2).text() == "3 of 6"
    slicer_app.click(find("completeBox"))
    settle(slicer_app, widget)
    assert source.find(case.key).labelled == (1, 2)


def test_previous_and_next_jump_between_labelled_slices(slicer_app, widget, find, node, marking) -> None:
    from LEUDATrainingLib.labels.geometry import jump_to_slice, shown_slice

    volume = source_store(node).volume(next(iter(source_store(node))))
    jump_to_slice(marking, volume, 0)
    assert not find("previousSliceButton").enabled
    slicer_app.click(find("nextSliceButton"))
    assert shown_slice(marking, volume) == 1
    assert find("completeBox").checked
    slicer_app.click(find("nextSliceButton"))
    assert shown_slice(marking, volume) == 2
    assert not find("nextSliceButton").enabled
    slicer_app.click(find("previousSliceButton"))
    assert shown_slice(marking, volume) == 1


def test_drawn_but_not_complete_is_shown_and_fixed(slicer_app, widget, find, node, marking) -> None:
    from LEUDATrainingLib.labels.label_maps import set_labels

    source = source_store(node)
    case = next(iter(source))
    source.set_labelled(case.key, (1,))
    settle(slicer_app, widget)
    assert "With labels but not complete: 1" in find("markingCountLabel").text
    set_labels(source.segmentation(case), source.volume(case), labels_of(slices=(1, 2, 3)), structures())
    settle(slicer_app, widget)
    assert "With labels but not complete: 2" in find("markingCountLabel").text
    slicer_app.click(find("markAllDrawnButton"))
    settle(slicer_app, widget)
    assert source.find(case.key).labelled == (1, 2, 3)
    assert not find("markAllDrawnButton").isVisible()


def test_labelling_begins_without_a_segmentation(slicer_app, widget, find, node) -> None:
    from LEUDATrainingLib.cases.cases import CaseStore
    from LEUDATrainingLib.cases.structures import write_structures

    write_structures(node, structures())
    store = CaseStore(node, "source")
    case = store.add_node(add_volume("MR"))
    settle(slicer_app, widget)
    open_section(slicer_app, find("markingSection"))
    assert "has no segmentation yet" in find("markingEmpty").text
    slicer_app.click(find("startLabelsButton"))
    settle(slicer_app, widget)
    names = [store.segmentation(case).GetSegmentation().GetNthSegment(n).GetName() for n in range(2)]
    assert names == ["Herz ♥", "liver"]
    assert store.find(case.key).labelled == ()
    assert find("suggestSliceButton").text == "Suggested: 3"
    assert widget.panel.marking.editor.widget.segmentationNode() is store.segmentation(case)

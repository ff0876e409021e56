"""Marking slices in LEUDATraining, used with mouse and keyboard as its user does."""

from __future__ import annotations

import pytest

from training_scene import add_volume, fill, labels_of, source_store, structures
from training_window import open_section, settle

pytestmark = pytest.mark.slow


@pytest.fixture
def marking(slicer_app, widget, find, node):
    """Open the tools that mark slices, with the red view on the source volume; return the view."""
    import slicer

    fill(node)
    settle(slicer_app, widget)
    slicer_app.click(find("markSlicesButton"))
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
    slicer_app.click(find("markSlicesButton"))
    assert "has no segmentation yet" in find("markingEmpty").text
    slicer_app.click(find("startLabelsButton"))
    settle(slicer_app, widget)
    names = [store.segmentation(case).GetSegmentation().GetNthSegment(n).GetName() for n in range(2)]
    assert names == ["Herz ♥", "liver"]
    assert store.find(case.key).labelled == ()
    assert find("suggestSliceButton").text == "Suggested: 3"
    assert widget.panel.marking.editor.widget.segmentationNode() is store.segmentation(case)


# The embedded Segment Editor


def press(slicer_app, widget, key: str) -> None:
    """Press a key in the window, as a user of the Segment Editor does."""
    import qt

    slicer_app.key(widget.parent, getattr(qt.Qt, f"Key_{key}"))


def paint_mode(slicer_app, widget):
    """Choose Paint in the embedded editor and return the editor."""
    editor = widget.panel.marking.editor.widget
    editor.setActiveEffectByName("Paint")
    assert editor.activeEffect() is not None
    return editor


def test_shortcuts_work_from_the_first_time_the_editor_is_shown(slicer_app, widget, marking) -> None:
    editor = paint_mode(slicer_app, widget)
    assert editor.observesViews
    press(slicer_app, widget, "Escape")
    assert editor.activeEffect() is None
    press(slicer_app, widget, "2")
    assert editor.activeEffect().name == "Paint"


def test_shortcuts_belong_to_the_module_that_is_shown(slicer_app, widget, marking) -> None:
    editor = paint_mode(slicer_app, widget)
    widget.exit()
    assert editor.activeEffect() is None and not editor.observesViews
    press(slicer_app, widget, "2")
    assert editor.activeEffect() is None
    widget.enter()
    press(slicer_app, widget, "2")
    assert editor.activeEffect().name == "Paint"


def test_the_editor_lives_on_after_a_scene_was_closed(slicer_app, widget, find, marking) -> None:
    import slicer

    paint_mode(slicer_app, widget)
    slicer.mrmlScene.Clear(0)
    settle(slicer_app, widget)
    fill(widget._parameterNode)
    settle(slicer_app, widget)
    editor = widget.panel.marking.editor.widget
    assert editor.visible and editor.observesViews and editor.activeEffect() is None
    press(slicer_app, widget, "2")
    assert editor.activeEffect().name == "Paint"


@pytest.mark.parametrize("way", ["another step", "the list of cases", "closing the step"])
def test_what_hides_the_editor_ends_painting(slicer_app, widget, find, marking, way: str) -> None:
    editor = paint_mode(slicer_app, widget)
    if way == "another step":
        open_section(slicer_app, find("targetSection"))
    elif way == "closing the step":
        find("sourceSection").collapsed = True
    else:
        slicer_app.click(find("markingBackButton"))
    slicer_app.processEvents()
    assert editor.activeEffect() is None and editor.segmentationNode() is None and not editor.observesViews
    slicer_app.click(find("markSlicesButton"))
    assert editor.segmentationNode() is not None and editor.observesViews


def test_editor_and_slices_stand_together_in_a_window_of_900_pixels(slicer_app, widget, find, marking) -> None:
    slicer_app.mainWindow.resize(1400, 900)
    settle(slicer_app, widget)
    assert not find("sourceTable").isVisible() and find("markingCaseLabel").text == "Zoë MR"
    top = widget.parent.mapToGlobal(widget.parent.rect.topLeft()).y()
    editor = widget.panel.marking.editor.widget
    for child in (find("previousSliceButton"), find("nextSliceButton"), find("completeBox")):
        assert child.mapToGlobal(child.rect.bottomLeft()).y() - top < 400
    assert editor.mapToGlobal(editor.rect.topLeft()).y() - top < 450


def test_strokes_cannot_land_in_the_case_before(slicer_app, widget, find, node, marking) -> None:
    store = source_store(node)
    first = next(iter(store))
    second = store.add_node(add_volume("another"))
    editor = paint_mode(slicer_app, widget)
    assert editor.segmentationNode() is store.segmentation(first)
    settle(slicer_app, widget)
    find("sourceTable").setCurrentCell(1, 0)
    settle(slicer_app, widget)
    assert node.currentCase == second.key
    assert editor.segmentationNode() is None and editor.activeEffect() is None


def test_a_segment_that_was_removed_stays_removed_and_a_new_structure_gets_one(
    slicer_app, widget, node, marking
) -> None:
    from LEUDATrainingLib.cases.structures import add_structure, read_structures, write_structures

    store = source_store(node)
    content = store.segmentation(next(iter(store))).GetSegmentation()
    removed = content.GetNthSegment(0).GetName()
    content.RemoveSegment(content.GetNthSegmentID(0))
    widget.panel.refresh()
    settle(slicer_app, widget)
    names = [content.GetNthSegment(index).GetName() for index in range(content.GetNumberOfSegments())]
    assert removed not in names
    write_structures(node, add_structure(read_structures(node), "pancreas"))
    settle(slicer_app, widget)
    names = [content.GetNthSegment(index).GetName() for index in range(content.GetNumberOfSegments())]
    assert "pancreas" in names and removed not in names

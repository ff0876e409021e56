"""The effect "LE-UDA" of the Segment Editor, with Slicer's own masking and undo, and a worker that the test answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leuda_core.errors import InputError
from repository import ROOT
from segmentation_scene import (
    LABELS,
    MODEL,
    MOVED,
    OBLIQUE,
    SHAPE,
    FakeWorker,
    add_linear_transform,
    add_volume,
    label_map,
    paint,
    segment_names,
    segment_of,
    segment_voxels,
)

KIDNEY, GREY, SPLEEN = (label.name for label in LABELS)


class Editor:
    """A Segment Editor with the effect, over a volume and a segmentation with the segments that the test names."""

    def __init__(self, app, folder: Path, segments=(KIDNEY,), affine=OBLIQUE, transform=None) -> None:
        import slicer

        self.slicer, self.app = slicer, app
        self.worker = FakeWorker(folder, held=True)
        self._give_effects_this_worker()
        app.loadModule(ROOT / "LEUDASegmentation" / "LEUDASegmentation.py")
        self.volume = add_volume(affine=affine)
        self.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
        self.segmentation.CreateDefaultDisplayNodes()
        if transform is not None:
            for node in (self.volume, self.segmentation):
                node.SetAndObserveTransformNodeID(add_linear_transform(transform).GetID())
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        for name in segments:
            self.segmentation.GetSegmentation().AddEmptySegment("", name)
        self.widget = slicer.qMRMLSegmentEditorWidget()
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.widget.setMRMLSegmentEditorNode(self.node)
        self.node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
        self.widget.setSegmentationNode(self.segmentation)
        self.widget.setSourceVolumeNode(self.volume)
        self.widget.resize(420, 900)
        self.widget.show()
        app.click(self.find("LE-UDA"))
        self.tool = self.widget.effectByName("LE-UDA").self().tool
        self.answer_previews()

    def _give_effects_this_worker(self) -> None:
        """Every effect finds the application's worker; here it is the test's."""
        from LEUDASegmentationLib.logic import LEUDASegmentationLogic
        from LEUDASegmentationLib.processes import worker_client

        worker_client._shared = self.worker
        LEUDASegmentationLogic.models = lambda _self: [MODEL]

    def find(self, name: str) -> Any:
        return self.slicer.util.findChild(self.widget, name)

    def choose(self, box: str, value: str) -> None:
        combo = self.find(box)
        combo.setCurrentIndex(combo.findData(value))
        combo.activated.emit(combo.currentIndex)
        self.app.processEvents()

    def look_at(self, k: int) -> None:
        """Move the red view to the middle of a slice of the volume."""
        from LEUDASegmentationLib.scene.geometry import world_affine

        view = self.slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
        view.JumpSliceByCentering(*(world_affine(self.volume) @ [4.5, 3.5, k, 1])[:3])
        self.app.processEvents()

    def answer_previews(self) -> None:
        """Answer what the preview asks, until it asks no more."""
        self.app.processEvents()
        for _turn in range(20):
            self.app.processEvents()
            for number, request in list(self.worker.open.items()):
                if request.name == "slice":
                    self._answer_slice(number, request.fields)

    def _answer_slice(self, number: int, fields: dict[str, Any]) -> None:
        shape = np.load(fields["volume"], mmap_mode="r").shape
        index = (np.linalg.inv(fields["affine"]) @ [*fields["position"], 1])[2]
        index = int(np.clip(round(index), 0, shape[0] - 1))
        np.save(fields["output"], label_map(shape)[index])
        self.worker.finish({"axis": 2, "index": index, "labels": fields["output"], "notes": []}, number)

    def apply(self, labels: np.ndarray | None = None) -> dict[str, Any]:
        """Press Apply and answer as the worker does: nothing outside the box. Return the request."""
        self.app.click(self.find("LEUDAEffectApply"))
        self.app.wait_until(lambda: self.worker.asked("segment"), 5, "no request")
        (fields,) = self.worker.asked("segment")
        answer = np.zeros(SHAPE, np.uint8)
        (i0, i1), (j0, j1), (k0, k1) = fields["box"] or [(0, size) for size in SHAPE[::-1]]
        full = label_map() if labels is None else labels
        answer[k0:k1, j0:j1, i0:i1] = full[k0:k1, j0:j1, i0:i1]
        np.save(fields["output"], answer)
        number = next(n for n, request in self.worker.open.items() if request.name == "segment")
        self.worker.finish({"device": "cpu", "notes": [], "labels": []}, number)
        self.app.wait_until(lambda: not self.tool.running, 5, "not written")
        self.answer_previews()
        return fields

    def voxels(self, name: str = KIDNEY) -> np.ndarray:
        return segment_voxels(self.segmentation, name, self.volume)

    def draw(self, where: np.ndarray, name: str = KIDNEY) -> None:
        paint(self.segmentation, name, self.volume, where)

    @property
    def message(self) -> str:
        strip = self.tool.options.strip
        return f"{strip.kind}: {strip.cause} {strip.remedy}"


@pytest.fixture
def open_editor(slicer_app, exchange, monkeypatch) -> Iterator[Any]:
    """Open a Segment Editor; what it changes in the modules is put back."""
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic
    from LEUDASegmentationLib.processes import installation, worker_client

    monkeypatch.setattr(worker_client, "_shared", None)
    monkeypatch.setattr(LEUDASegmentationLogic, "models", LEUDASegmentationLogic.models)
    monkeypatch.setattr(installation, "missing_packages", list)
    monkeypatch.setattr(FakeWorker, "stop", lambda self: None, raising=False)
    editors = []

    def opened(**how: Any) -> Editor:
        editors.append(Editor(slicer_app, exchange, **how))
        return editors[-1]

    yield opened
    for editor in editors:
        editor.widget.setActiveEffect(None)
        editor.widget.delete()


def only(k: int | slice, labels: np.ndarray | None = None) -> np.ndarray:
    """Return a label map with nothing outside some slices."""
    kept = np.zeros(SHAPE, np.uint8)
    kept[k] = (label_map() if labels is None else labels)[k]
    return kept


def test_every_segment_editor_has_the_effect(open_editor) -> None:
    editor = open_editor()
    assert "LE-UDA" in editor.widget.availableEffectNames()
    assert editor.widget.activeEffect().name == "LE-UDA"
    other = editor.slicer.qMRMLSegmentEditorWidget()
    assert other.effectByName("LE-UDA") is not editor.widget.effectByName("LE-UDA")
    other.delete()


def test_this_slice_is_written_into_the_selected_segment(open_editor) -> None:
    editor = open_editor()
    editor.look_at(3)
    assert editor.find("LEUDAEffectPlace").text == "Slice 4 of 6"
    fields = editor.apply()
    assert fields["box"] == [[0, 10], [0, 8], [3, 4]]
    np.testing.assert_array_equal(editor.voxels(), only(3) == 1)
    assert segment_names(editor.segmentation) == [KIDNEY]


def test_what_was_in_the_region_is_replaced_and_undo_brings_it_back(open_editor) -> None:
    editor = open_editor()
    drawn = np.zeros(SHAPE, bool)
    drawn[2:5, 4:8, 5:9] = True
    editor.draw(drawn)
    editor.look_at(3)
    editor.apply()
    expected = drawn.copy()
    expected[3] = label_map()[3] == 1
    np.testing.assert_array_equal(editor.voxels(), expected)
    editor.widget.undo()
    np.testing.assert_array_equal(editor.voxels(), drawn)
    editor.widget.redo()
    np.testing.assert_array_equal(editor.voxels(), expected)


@pytest.mark.parametrize("highest", [None, 200])
def test_masking_keeps_what_is_outside_the_editable_area(open_editor, highest: int | None) -> None:
    editor = open_editor(segments=(KIDNEY, "organ"))
    area, drawn = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    area[:, :3], drawn[:, 2:5, 2:6] = True, True
    editor.draw(area, "organ")
    editor.draw(drawn)
    node_class = editor.slicer.vtkMRMLSegmentationNode
    editor.node.SetMaskMode(node_class.EditAllowedInsideSingleSegment)
    editor.node.SetMaskSegmentID(editor.segmentation.GetSegmentation().GetSegmentIdBySegmentName("organ"))
    if highest is not None:
        editor.node.SetSourceVolumeIntensityMask(True)
        editor.node.SetSourceVolumeIntensityMaskRange(0, highest)
        area &= editor.slicer.util.arrayFromVolume(editor.volume) <= highest
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    np.testing.assert_array_equal(editor.voxels(), np.where(area, label_map() == 1, drawn))


@pytest.mark.parametrize("mode", ["EditAllowedInsideAllSegments", "EditAllowedInsideSingleSegment"])
def test_a_segment_that_is_written_may_be_the_mask(open_editor, mode: str) -> None:
    editor = open_editor(segments=(SPLEEN,))
    area = np.zeros(SHAPE, bool)
    area[:, :6] = True
    editor.draw(area, SPLEEN)
    editor.node.SetMaskMode(getattr(editor.slicer.vtkMRMLSegmentationNode, mode))
    editor.node.SetMaskSegmentID(editor.segmentation.GetSegmentation().GetSegmentIdBySegmentName(SPLEEN))
    editor.choose("LEUDAEffectSegments", "all")
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    for label in LABELS:
        np.testing.assert_array_equal(editor.voxels(label.name), (label_map() == label.value) & area)
    assert editor.node.GetMaskMode() == getattr(editor.slicer.vtkMRMLSegmentationNode, mode)


def test_the_editor_does_not_see_what_is_selected_meanwhile(open_editor) -> None:
    import vtk

    editor = open_editor(segments=(SPLEEN, KIDNEY))
    chosen, seen = editor.node.GetSelectedSegmentID(), set()
    modified = vtk.vtkCommand.ModifiedEvent
    tag = editor.node.AddObserver(modified, lambda node, _event: seen.add(node.GetSelectedSegmentID()))
    editor.choose("LEUDAEffectSegments", "all")
    editor.apply()
    editor.node.RemoveObserver(tag)
    assert seen <= {chosen} and editor.node.GetSelectedSegmentID() == chosen


def test_outside_of_other_segments(open_editor) -> None:
    editor = open_editor(segments=(KIDNEY, "organ"))
    organ = np.zeros(SHAPE, bool)
    organ[:, 2:6, 1:7] = True
    editor.draw(organ, "organ")
    editor.node.SetMaskMode(editor.slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    np.testing.assert_array_equal(editor.voxels(), (label_map() == 1) & ~organ)
    np.testing.assert_array_equal(editor.voxels("organ"), organ)


def test_the_editable_intensities_are_those_of_the_editor(open_editor) -> None:
    editor = open_editor()
    voxels = editor.slicer.util.arrayFromVolume(editor.volume)
    editor.node.SetSourceVolumeIntensityMask(True)
    editor.node.SetSourceVolumeIntensityMaskRange(0, 200)
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    np.testing.assert_array_equal(editor.voxels(), (label_map() == 1) & (voxels <= 200))


@pytest.mark.parametrize("overwrites", [True, False])
def test_other_segments_are_overwritten_as_the_editor_says(open_editor, overwrites: bool) -> None:
    editor = open_editor(segments=(KIDNEY, "organ"))
    organ = np.zeros(SHAPE, bool)
    organ[:, 2:6, 1:7] = True
    editor.draw(organ, "organ")
    modes = editor.slicer.vtkMRMLSegmentEditorNode
    editor.node.SetOverwriteMode(modes.OverwriteAllSegments if overwrites else modes.OverwriteNone)
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    kidney = label_map() == 1
    np.testing.assert_array_equal(editor.voxels(), kidney)
    np.testing.assert_array_equal(editor.voxels("organ"), organ & ~kidney if overwrites else organ)


def test_from_here_to_there(open_editor) -> None:
    editor = open_editor()
    editor.choose("LEUDAEffectRegion", "range")
    editor.app.click(editor.find("LEUDAEffectApply"))
    assert "No slices are chosen" in editor.message
    editor.look_at(4)
    editor.app.click(editor.find("LEUDAEffectFrom"))
    editor.look_at(2)  # upwards as well as downwards
    editor.app.click(editor.find("LEUDAEffectTo"))
    assert editor.find("LEUDAEffectPlace").text == "Slices 3 to 5"
    assert editor.apply()["box"] == [[0, 10], [0, 8], [2, 5]]
    np.testing.assert_array_equal(editor.voxels(), only(slice(2, 5)) == 1)


def test_chosen_slices_are_forgotten_with_the_volume(open_editor) -> None:
    editor = open_editor()
    editor.choose("LEUDAEffectRegion", "range")
    editor.app.click(editor.find("LEUDAEffectFrom"))
    assert editor.tool.choices.range() is not None
    editor.widget.setSourceVolumeNode(add_volume("other"))
    assert editor.tool.choices.range() is None


def test_inside_a_roi_that_is_created_around_the_volume(open_editor) -> None:
    editor = open_editor()
    editor.choose("LEUDAEffectRegion", "roi")
    editor.app.click(editor.find("LEUDAEffectApply"))
    assert "No ROI is chosen" in editor.message
    roi = editor.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    editor.find("LEUDAEffectROI").setCurrentNode(roi)
    assert min(roi.GetSize()) > 0
    middle = (OBLIQUE @ [2.0, 3.0, 2.5, 1.0])[:3]
    roi.SetCenter(*middle)
    roi.SetSize(1.6, 1.6, 30.0)
    editor.draw(np.ones(SHAPE, bool))
    editor.apply()
    from LEUDASegmentationLib.scene.geometry import RoiMask

    inside = np.ones(SHAPE, np.uint8)
    RoiMask(editor.volume, roi).apply(inside, 0)
    assert 0 < inside.sum() < inside.size
    np.testing.assert_array_equal(editor.voxels(), np.where(inside > 0, label_map() == 1, True))


def test_all_structures_are_added_with_their_names_and_colours(open_editor) -> None:
    editor = open_editor(segments=(SPLEEN,))
    editor.choose("LEUDAEffectSegments", "all")
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    assert segment_names(editor.segmentation) == [SPLEEN, KIDNEY, GREY]
    for label in LABELS:
        np.testing.assert_array_equal(editor.voxels(label.name), label_map() == label.value)
    content = editor.segmentation.GetSegmentation()
    np.testing.assert_allclose(
        content.GetSegment(content.GetSegmentIdBySegmentName(KIDNEY)).GetColor(), (0.8, 0.2, 0.1)
    )
    editor.widget.undo()
    assert segment_names(editor.segmentation) == [SPLEEN] and not editor.voxels(SPLEEN).any()


def test_a_structure_is_written_into_a_segment_of_another_name(open_editor) -> None:
    editor = open_editor(segments=("Segment_1",))
    editor.app.click(editor.find("LEUDAEffectApply"))
    assert "has no structure “Segment_1”" in editor.message and not editor.tool.running
    editor.choose("LEUDAEffectStructure", GREY)
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    np.testing.assert_array_equal(editor.voxels("Segment_1"), label_map() == 2)


def test_without_a_selected_segment(open_editor) -> None:
    editor = open_editor(segments=())
    editor.app.click(editor.find("LEUDAEffectApply"))
    assert "No segment is selected" in editor.message


def test_the_geometry_of_a_moved_volume(open_editor) -> None:
    """A new segmentation in world coordinates takes the transform of its volume into its geometry."""
    editor = open_editor()
    editor.volume.SetAndObserveTransformNodeID(add_linear_transform(MOVED).GetID())
    editor.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(editor.volume)
    editor.node.SetSourceVolumeIntensityMask(True)
    editor.node.SetSourceVolumeIntensityMaskRange(0, 200)
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    expected = (label_map() == 1) & (editor.slicer.util.arrayFromVolume(editor.volume) <= 200)
    layer = segment_of(editor.segmentation, KIDNEY).GetRepresentation("Binary labelmap")
    from LEUDASegmentationLib.scene.geometry import image_to_world
    from LEUDASegmentationLib.scene.layers import layer_array

    np.testing.assert_allclose(image_to_world(layer), MOVED @ OBLIQUE, atol=1e-6)
    i0, i1, j0, j1, k0, k1 = layer.GetExtent()
    found = np.zeros(SHAPE, bool)
    found[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1] = layer_array(layer) > 0
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("moved", ["both", "volume"])
def test_under_transforms(open_editor, moved: str) -> None:
    editor = open_editor(transform=MOVED)
    if moved == "volume":
        other = add_linear_transform(np.eye(4))
        matrix = np.eye(4)
        matrix[:3, 3] = OBLIQUE[:3, 0]  # one voxel along i
        other.SetMatrixTransformToParent(editor.slicer.util.vtkMatrixFromArray(matrix))
        editor.volume.SetAndObserveTransformNodeID(other.GetID())
        editor.segmentation.SetAndObserveTransformNodeID(None)
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    expected = label_map() == 1
    segment = segment_of(editor.segmentation, KIDNEY)
    layer = segment.GetRepresentation("Binary labelmap")
    from LEUDASegmentationLib.scene.layers import layer_array

    i0, i1, j0, j1, k0, k1 = layer.GetExtent()
    found = np.zeros(SHAPE, bool)
    found[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1] = layer_array(layer) == segment.GetLabelValue()
    np.testing.assert_array_equal(found, expected if moved == "both" else np.roll(expected, 1, axis=2))


def test_a_segmentation_of_finer_geometry(open_editor) -> None:
    editor = open_editor(segments=())
    fine = OBLIQUE @ np.diag([0.5, 0.5, 1, 1])
    fine[:3, 3] -= OBLIQUE[:3, :2].sum(axis=1) / 4
    reference = add_volume("fine", fine, (6, 16, 20))
    editor.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    editor.choose("LEUDAEffectSegments", "all")
    editor.look_at(5)
    editor.apply()
    expected = np.kron(only(5), np.ones((1, 2, 2), np.uint8))
    for label in LABELS:
        np.testing.assert_array_equal(
            segment_voxels(editor.segmentation, label.name, reference), expected == label.value
        )


def test_a_hidden_segment_is_asked_about(open_editor) -> None:
    editor = open_editor()
    display = editor.segmentation.GetDisplayNode()
    display.SetSegmentVisibility(editor.widget.currentSegmentID(), False)
    editor.app.answers.add("Cancel")
    editor.app.click(editor.find("LEUDAEffectApply"))
    assert not editor.tool.running
    editor.app.answers.add("Yes")
    editor.apply()
    assert display.GetSegmentVisibility(editor.widget.currentSegmentID()) and editor.voxels().any()


def test_the_preview_outlines_what_would_be_written(open_editor) -> None:
    editor = open_editor(segments=(KIDNEY, SPLEEN))
    assert editor.find("LEUDAEffectPreview").checked

    def outlined() -> list[str]:
        nodes = editor.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        return [name for node in nodes if node is not editor.segmentation for name in segment_names(node)]

    assert outlined() == [KIDNEY]
    editor.widget.setCurrentSegmentID(editor.segmentation.GetSegmentation().GetSegmentIdBySegmentName(SPLEEN))
    editor.answer_previews()
    assert outlined() == [SPLEEN]
    editor.choose("LEUDAEffectSegments", "all")
    editor.answer_previews()
    assert outlined() == [label.name for label in LABELS]
    editor.app.click(editor.find("LEUDAEffectPreview"))
    assert outlined() == [] and editor.tool.choices["Preview"] == "0"
    editor.app.click(editor.find("None"))
    editor.app.click(editor.find("LE-UDA"))
    assert not editor.find("LEUDAEffectPreview").checked
    assert not [name for name in editor.worker.files if "labels" in name]


def test_another_effect_ends_preview_and_work(open_editor) -> None:
    editor = open_editor()
    editor.app.click(editor.find("LEUDAEffectApply"))
    editor.app.wait_until(lambda: editor.worker.asked("segment"), 5, "no request")
    editor.app.click(editor.find("Paint"))
    editor.app.wait_until(lambda: not editor.tool.running, 5, "not cancelled")
    assert len(editor.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1  # no outlines
    assert not editor.voxels().any() and editor.find("LEUDAEffectPreview").checked
    assert not editor.tool.options.progress.running


def test_cancel_writes_nothing(open_editor) -> None:
    editor = open_editor()
    editor.app.click(editor.find("LEUDAEffectApply"))
    editor.app.wait_until(lambda: editor.worker.asked("segment"), 5, "no request")
    assert not editor.find("LEUDAEffectApply").enabled
    editor.app.click(editor.find("cancelButton"))
    editor.app.wait_until(lambda: not editor.tool.running, 5, "not cancelled")
    assert not editor.voxels().any() and editor.find("LEUDAEffectApply").enabled


def test_what_changes_meanwhile(open_editor) -> None:
    editor = open_editor()
    finish = editor.worker.finish

    def with_change(change):
        def finish_later(result, number=None):
            request = editor.worker.open[number] if number else None
            if request is not None and request.name == "segment":
                change()
            finish(result, number)

        return finish_later

    content = editor.segmentation.GetSegmentation()
    editor.worker.finish = with_change(lambda: content.RemoveSegment(content.GetNthSegmentID(0)))
    editor.apply()
    assert "was removed meanwhile" in editor.message
    content.AddEmptySegment("", KIDNEY)
    editor.widget.setCurrentSegmentID(content.GetNthSegmentID(0))
    editor.worker.finish = with_change(lambda: editor.slicer.util.arrayFromVolumeModified(editor.volume))
    editor.apply()
    assert "was changed while it was being segmented" in editor.message and not editor.voxels().any()
    other = editor.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    editor.worker.finish = with_change(lambda: editor.widget.setSegmentationNode(other))
    editor.apply()
    assert not editor.voxels().any() and other.GetSegmentation().GetNumberOfSegments() == 0
    assert "another segmentation was chosen" in editor.message.lower()


def test_an_empty_answer_is_told(open_editor) -> None:
    editor = open_editor()
    editor.apply(np.zeros(SHAPE, np.uint8))
    assert editor.message == "warning: The model found nothing here. Nothing was changed."
    editor.draw(np.ones(SHAPE, bool))
    editor.apply(np.zeros(SHAPE, np.uint8))
    assert "Segments were emptied in this place" in editor.message


def test_an_error_of_the_worker_is_shown(open_editor) -> None:
    editor = open_editor()
    editor.app.click(editor.find("LEUDAEffectApply"))
    editor.app.wait_until(lambda: editor.worker.asked("segment"), 5, "no request")
    editor.worker.fail(InputError("the model is damaged", "delete it"))
    assert editor.message == "error: The model is damaged. Delete it."


def test_choices_are_saved_with_the_scene(open_editor, tmp_path: Path) -> None:
    editor = open_editor()
    editor.choose("LEUDAEffectRegion", "range")
    editor.choose("LEUDAEffectSegments", "all")
    editor.app.click(editor.find("None"))
    path, name = tmp_path / "scene.mrb", editor.node.GetName()
    assert editor.slicer.util.saveScene(str(path))
    editor.widget.setMRMLSegmentEditorNode(None)
    editor.slicer.mrmlScene.Clear(0)
    editor.slicer.util.loadScene(str(path))
    nodes = editor.slicer.util.getNodesByClass("vtkMRMLSegmentEditorNode")
    (editor.node,) = [node for node in nodes if node.GetName() == name]
    editor.widget.setMRMLSegmentEditorNode(editor.node)
    editor.app.click(editor.find("LE-UDA"))
    assert editor.find("LEUDAEffectRegion").currentData == "range"
    assert editor.find("LEUDAEffectSegments").currentData == "all"


def test_a_scene_that_was_saved_without_the_effect_means_what_is_shown(open_editor) -> None:
    editor = open_editor()
    for name in list(editor.node.GetAttributeNames()):
        editor.node.RemoveAttribute(name)
    editor.node.Modified()
    editor.look_at(2)
    assert editor.find("LEUDAEffectRegion").currentData == "slice"
    assert editor.apply()["box"] == [[0, 10], [0, 8], [2, 3]]
    for name in list(editor.node.GetAttributeNames()):
        editor.node.RemoveAttribute(name)
    editor.choose("LEUDAEffectRegion", "range")
    assert "Scroll to the first slice" in editor.find("LEUDAEffectPlace").text


def test_closing_the_scene_ends_everything(open_editor) -> None:
    editor = open_editor()
    editor.app.click(editor.find("LEUDAEffectApply"))
    editor.app.wait_until(lambda: editor.worker.asked("segment"), 5, "no request")
    editor.slicer.mrmlScene.Clear(0)
    editor.app.wait_until(lambda: not editor.tool.running, 5, "not cancelled")
    editor.app.processEvents()
    assert not editor.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert not [name for name in editor.worker.files if "labels" in name or "preview" in name]


def test_lists_that_change_while_another_effect_is_chosen_change_nothing(open_editor) -> None:
    editor = open_editor()
    roi = editor.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    editor.choose("LEUDAEffectRegion", "roi")
    editor.find("LEUDAEffectROI").setCurrentNode(roi)
    editor.app.click(editor.find("None"))
    effect = editor.widget.effectByName("LE-UDA")
    effect.setParameter("Region", "slice")
    effect.setParameter("Segments", "all")
    editor.slicer.mrmlScene.RemoveNode(roi)
    editor.app.processEvents()
    assert (effect.parameter("Region"), effect.parameter("Segments")) == ("slice", "all")


def test_a_volume_that_cannot_be_segmented_has_no_preview_and_is_told_once(open_editor) -> None:
    editor = open_editor()
    labels = editor.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    labels.SetAndObserveImageData(editor.volume.GetImageData())
    editor.node.SetAndObserveSourceVolumeNode(labels)
    editor.node.Modified()
    editor.app.processEvents()
    assert editor.message == ":  " and editor.tool.choices["Preview"] == "1"
    editor.app.click(editor.find("LEUDAEffectApply"))
    assert "is a label map" in editor.message


def test_an_answer_that_was_on_its_way_when_it_was_cancelled_is_not_written(open_editor) -> None:
    editor = open_editor()
    editor.app.click(editor.find("LEUDAEffectApply"))
    editor.app.wait_until(lambda: editor.worker.asked("segment"), 5, "no request")
    (fields,) = editor.worker.asked("segment")
    np.save(fields["output"], label_map())
    number = next(n for n, request in editor.worker.open.items() if request.name == "segment")
    editor.app.click(editor.find("cancelButton"))
    editor.worker.finish({"device": "cpu", "notes": [], "labels": []}, number)
    editor.app.wait_until(lambda: not editor.tool.running, 5, "not cancelled")
    assert not editor.voxels().any()


def test_what_the_model_wrote_is_no_correction_by_the_user(open_editor) -> None:
    from LEUDASegmentationLib.scene.corrections import drawn_slices
    from segmentation_scene import drain

    editor = open_editor(segments=())
    content = editor.segmentation.GetSegmentation()
    editor.choose("LEUDAEffectSegments", "all")
    editor.choose("LEUDAEffectRegion", "volume")
    editor.apply()
    assert drain(drawn_slices(content, LABELS)) == {}
    drawn = editor.voxels(KIDNEY)
    drawn[2, 6, 6] = True
    editor.draw(drawn, KIDNEY)
    kidney = content.GetSegmentIdBySegmentName(KIDNEY)
    assert drain(drawn_slices(content, LABELS)) == {kidney: {2}}
    other = np.roll(label_map(), 1, axis=2)
    editor.apply(other)  # the drawn slice stays the user's, whatever was written into it
    assert drain(drawn_slices(content, LABELS)) == {kidney: {2}}
    np.testing.assert_array_equal(editor.voxels(KIDNEY), other == 1)


def test_there_is_no_model(open_editor, monkeypatch) -> None:
    from LEUDASegmentationLib.logic import LEUDASegmentationLogic

    editor = open_editor()
    monkeypatch.setattr(LEUDASegmentationLogic, "models", lambda _self: [])
    editor.app.click(editor.find("None"))
    editor.app.click(editor.find("LE-UDA"))
    assert not editor.find("LEUDAEffectApply").enabled
    assert editor.find("LEUDAEffectModel").currentText == "none: train or import one"


def test_slices_as_the_model_cuts_them() -> None:
    """A volume with thick slices along i is cut along i, whatever the view."""
    pytest.importorskip("slicer_core")
    from LEUDASegmentationLib.effect.region import slice_axis, slices_between

    volume = SimpleNamespace()
    affine = np.diag([5.0, 1.0, 1.0, 1.0])
    with pytest.MonkeyPatch.context() as patch:
        from LEUDASegmentationLib.effect import region

        patch.setattr(region, "volume_shape", lambda _node: (10, 20, 30))
        patch.setattr(region, "ijk_to_ras", lambda _node: affine)
        assert slice_axis(volume, MODEL) == 0
        assert slices_between(volume, 0, 7, 3).box == ((3, 8), (0, 20), (0, 30))

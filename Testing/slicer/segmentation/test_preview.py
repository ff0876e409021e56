"""Live preview: follows a slice view, one request at a time, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leuda_core.errors import InputError, LeudaError
from segmentation_scene import (
    LABELS,
    LEFT_HANDED,
    MODEL,
    MOVED,
    OBLIQUE,
    SHAPE,
    FakeWorker,
    add_linear_transform,
    add_volume,
    add_warp,
    label_map,
    segment_names,
    segment_voxels,
)


class Preview:
    """A preview whose worker answers when the test says so, across axis k unless told otherwise."""

    def __init__(self, app, folder: Path) -> None:
        import slicer

        from LEUDASegmentationLib.logic import LEUDASegmentationLogic
        from LEUDASegmentationLib.panel.preview import LivePreview

        self.app, self.axis = app, 2
        self.worker = FakeWorker(folder, held=True)
        self.errors: list[LeudaError] = []
        logic = LEUDASegmentationLogic(self.worker, folder / "models")
        self.live = LivePreview(logic, self.errors.append)
        self.slice_node = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
        assert self.slice_node

    def start(self, volume) -> None:
        self.volume = volume
        self.live.start(volume, MODEL, self.slice_node)
        self.app.wait_until(lambda: self.worker.open, 5, "no request")

    def look_at(self, k: float, j: float = 3, i: float = 4) -> None:
        """Put the middle of the slice view onto a voxel, as the user sees it."""
        from LEUDASegmentationLib.scene.geometry import ijk_to_ras, transform_between

        local = (ijk_to_ras(self.volume) @ [i, j, k, 1])[:3]
        self.slice_node.JumpSliceByCentering(*transform_between(self.volume, None).TransformPoint(local))

    @property
    def asked(self) -> list[float]:
        """The index (i, j, k) of the last position asked for."""
        fields = self.worker.fields[-1]
        return list((np.linalg.inv(fields["affine"]) @ [*fields["position"], 1])[:3])

    def answer(self, labels: np.ndarray | None = None) -> int:
        """Answer the open request as the worker does; return the index of the slice."""
        fields, shape = self.worker.fields[-1], np.load(self.worker.fields[-1]["volume"], mmap_mode="r").shape
        index = int(np.clip(round(self.asked[self.axis]), 0, shape[2 - self.axis] - 1))
        labels = label_map(shape) if labels is None else labels
        np.save(fields["output"], labels.take(index, axis=2 - self.axis))
        result = {"axis": self.axis, "index": index, "labels": fields["output"], "seconds": 0.01}
        self.worker.finish(result)
        return index


@pytest.fixture
def preview(slicer_app, exchange):
    preview = Preview(slicer_app, exchange)
    yield preview
    preview.live.stop()


def only_slice(axis: int, index: int) -> np.ndarray:
    """Return the label map with everything but one slice emptied."""
    labels, kept = np.zeros(SHAPE, np.uint8), [slice(None)] * 3
    kept[2 - axis] = slice(index, index + 1)
    labels[tuple(kept)] = label_map()[tuple(kept)]
    return labels


@pytest.mark.slow
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("affine", [OBLIQUE, LEFT_HANDED], ids=["oblique", "left-handed"])
def test_one_slice_on_exactly_its_place(preview, axis, affine):
    preview.axis = axis
    preview.start(add_volume(affine=affine))
    preview.answer()
    preview.look_at(2, 3, 5)
    index = preview.answer()
    assert index == (5, 3, 2)[axis]
    node = preview.live.segmentation_node
    for label in LABELS:
        expected = only_slice(axis, index) == label.value
        np.testing.assert_array_equal(segment_voxels(node, label.name, preview.volume), expected)


@pytest.mark.parametrize("make", [lambda: add_linear_transform(MOVED), add_warp], ids=["linear", "warp"])
def test_position_is_asked_for_in_the_volumes_own_coordinates(preview, make):
    volume = add_volume(affine=OBLIQUE)
    volume.SetAndObserveTransformNodeID(make().GetID())
    preview.start(volume)
    preview.answer()
    preview.look_at(3)
    np.testing.assert_allclose(preview.asked, [4, 3, 3], atol=1e-2)
    preview.answer()
    assert preview.live.segmentation_node.GetParentTransformNode() is volume.GetParentTransformNode()


def test_newest_position_wins_and_one_request_is_under_way(preview):
    preview.start(add_volume())
    for k in (1, 2, 3, 4):
        preview.look_at(k)
    assert len(preview.worker.fields) == 1
    preview.answer()
    assert len(preview.worker.fields) == 2 and round(preview.asked[2]) == 4
    preview.answer()
    assert not preview.worker.open, "the view stands still"


def test_zooming_and_shifting_within_a_slice_asks_for_nothing(preview):
    preview.start(add_volume())
    preview.look_at(2)
    preview.answer()
    preview.answer()
    asked = len(preview.worker.fields)
    preview.slice_node.SetFieldOfView(40, 40, 1)
    preview.look_at(2.2, 5, 1)
    assert len(preview.worker.fields) == asked
    preview.look_at(3)
    assert len(preview.worker.fields) == asked + 1


def test_node_is_out_of_the_users_way(slicer_app, preview):
    import slicer

    preview.start(add_volume())
    preview.answer()
    node = preview.live.segmentation_node
    display = node.GetDisplayNode()
    assert node.GetName() == "LE-UDA preview" and segment_names(node) == [label.name for label in LABELS]
    assert node.GetHideFromEditors() and not node.GetSaveWithScene() and not display.GetSaveWithScene()
    assert display.GetVisibility2DOutline() and not display.GetVisibility2DFill() and not display.GetVisibility3D()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer_app.scene)
    assert not hierarchy.GetItemByDataNode(node)


def test_views_are_told_that_the_outlines_changed(preview):
    import slicer

    preview.start(add_volume())
    preview.answer()
    told = []
    tag = preview.live.segmentation_node.AddObserver(slicer.vtkSegmentation.SegmentModified, lambda *_: told.append(1))
    preview.look_at(2)
    preview.answer()
    preview.live.segmentation_node.RemoveObserver(tag)
    assert told


def test_changed_voxels_are_copied_and_segmented_again(slicer_app, preview):
    import slicer

    volume = add_volume()
    preview.start(volume)
    preview.answer()
    first = preview.worker.fields[-1]["volume"]
    slicer.util.updateVolumeFromArray(volume, np.zeros(SHAPE, np.int16))
    slicer_app.wait_until(lambda: preview.worker.open, 5)
    assert preview.worker.fields[-1]["volume"] != first


def test_another_view_is_followed(preview):
    import slicer

    preview.start(add_volume())
    preview.answer()
    green = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeGreen")
    preview.live.follow(green)
    preview.slice_node, red = green, preview.slice_node
    preview.look_at(4)
    assert round(preview.asked[2]) == 4
    preview.answer()
    asked = len(preview.worker.fields)
    red.JumpSliceByCentering(0, 0, 0)
    assert len(preview.worker.fields) == asked


@pytest.mark.parametrize("answered", [True, False])
def test_stop_removes_everything(slicer_app, preview, answered):
    before = slicer_app.scene.GetNumberOfNodes()
    preview.start(add_volume("v"))
    volume_and_display = 2
    if answered:
        preview.answer()
    preview.live.stop()
    slicer_app.processEvents()
    assert not preview.live.running and preview.live.segmentation_node is None
    assert slicer_app.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert slicer_app.scene.GetNumberOfNodes() == before + volume_and_display
    assert answered or preview.worker.cancelled
    preview.look_at(4)
    assert not preview.worker.open and not preview.errors
    preview.live.stop()


def test_failure_ends_the_preview_with_a_message(preview):
    preview.start(add_volume())
    preview.worker.fail(LeudaError("the worker died", "try again"))
    assert [error.message for error in preview.errors] == ["the worker died"] and not preview.live.running
    preview.start(preview.volume)
    preview.answer()
    assert preview.live.running


@pytest.mark.parametrize("what", ["volume", "outlines"])
def test_deleting_what_it_needs_ends_the_preview(slicer_app, preview, what):
    preview.start(add_volume())
    preview.answer()
    node = preview.volume if what == "volume" else preview.live.segmentation_node
    name = node.GetName()
    slicer_app.scene.RemoveNode(node)
    assert name in preview.errors[0].message and preview.errors[0].remedy and not preview.live.running


@pytest.mark.parametrize("answered", [True, False])
def test_closing_the_scene_ends_the_preview(slicer_app, preview, answered):
    preview.start(add_volume())
    if answered:
        preview.answer()
    slicer_app.scene.Clear(0)
    slicer_app.processEvents()
    assert len(preview.errors) == 1 and not preview.live.running


def test_wrong_volume_is_refused(preview):
    with pytest.raises(InputError, match="no input volume"):
        preview.live.start(None, MODEL, preview.slice_node)
    assert not preview.live.running


def test_without_a_view_nothing_is_half_started(preview):
    with pytest.raises(InputError, match="no slice view") as caught:
        preview.live.start(add_volume(), MODEL, None)
    assert "layout" in caught.value.remedy and not preview.live.running


def test_where_the_model_is_unsure_is_coloured(slicer_app, exchange) -> None:
    import slicer

    preview = Preview(slicer_app, exchange)
    preview.volume = add_volume(affine=OBLIQUE)
    preview.live.start(preview.volume, MODEL, preview.slice_node, doubt=True)
    slicer_app.wait_until(lambda: preview.worker.open, 5, "no request")
    doubt = np.zeros(SHAPE[1:], np.float16)
    doubt[1:3, 2:4], doubt[4, 5] = 0.3, 0.5
    np.save(preview.worker.fields[-1]["doubt"], doubt)
    index = preview.answer()
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    (coloured,) = [node for node in nodes if segment_names(node) == ["unsure", "very unsure"]]
    assert coloured.GetDisplayNode().GetVisibility2DFill() and not coloured.GetSaveWithScene()
    found = {name: segment_voxels(coloured, name, preview.volume)[index] for name in segment_names(coloured)}
    np.testing.assert_array_equal(found["unsure"], doubt == np.float16(0.3))
    np.testing.assert_array_equal(found["very unsure"], doubt == np.float16(0.5))
    preview.live.stop()
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode") and not preview.worker.open


def test_doubt_can_be_switched_while_the_preview_runs(ready, worker) -> None:
    from host.driving import wait_until
    from segmentation_panel import click, settle

    assert not ready.ui.doubtCheckBox.enabled
    click(ready.ui.livePreviewCheckBox)
    wait_until(lambda: worker.asked("slice"))
    assert worker.asked("slice")[-1]["doubt"] is None
    click(ready.ui.doubtCheckBox)
    wait_until(lambda: any(fields["doubt"] for fields in worker.asked("slice")))
    click(ready.ui.livePreviewCheckBox)
    settle()
    assert not ready.panel.preview.running and not ready.ui.doubtCheckBox.enabled

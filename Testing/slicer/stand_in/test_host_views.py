"""The host's views and tables show what is in the real scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def scene(slicer_app) -> tuple[Any, Any]:
    """A volume of a bright block, shown, and a segmentation with the block as a red segment."""
    import slicer

    voxels = np.zeros((10, 40, 40), np.int16)
    voxels[:, 12:28, 10:30] = 100
    volume = slicer.util.addVolumeFromArray(voxels, name="MR")
    volume.CreateDefaultDisplayNodes()
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = segmentation.GetSegmentation().AddEmptySegment("block", "Block", [1.0, 0.0, 0.0])
    slicer.util.updateSegmentBinaryLabelmapFromArray((voxels > 0).astype(np.uint8), segmentation, segment, volume)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume, segmentation


def _pixels(view: Any) -> np.ndarray:
    """Return the picture of a view as (rows, columns, RGB)."""
    view.forceRender()
    image = view._image.convertToFormat(view._image.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def _red(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., 0] > 150) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)


def test_a_slice_view_draws_the_image_and_the_outline_of_a_segment(slicer_app, scene):
    import slicer

    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    scene[1].GetDisplayNode().SetVisibility2DFill(False)
    pixels = _pixels(view)
    rows, columns = np.nonzero(_red(pixels))
    inside = pixels[rows.min() + 10 : rows.max() - 10, columns.min() + 10 : columns.max() - 10]
    assert inside.min() > 150  # the bright block, with nothing over it
    assert pixels[:, :3].max() == 0
    scene[1].GetDisplayNode().SetVisibility(False)
    assert not _red(_pixels(view)).any()


def test_a_slice_view_that_was_empty_draws_the_volume_that_comes(slicer_app, scene):
    import slicer

    widget = slicer.app.layoutManager().sliceWidget("Red")
    scene[1].GetDisplayNode().SetVisibility(False)
    widget.mrmlSliceCompositeNode().SetBackgroundVolumeID(None)
    assert _pixels(widget.sliceView()).max() == 0
    widget.mrmlSliceCompositeNode().SetBackgroundVolumeID(scene[0].GetID())
    assert _pixels(widget.sliceView()).max() > 150


def test_a_three_d_view_draws_a_surface(slicer_app, scene):
    import slicer

    view = slicer.app.layoutManager().threeDWidget(0).threeDView()
    without = _red(_pixels(view)).sum()
    scene[1].CreateClosedSurfaceRepresentation()
    assert _red(_pixels(view)).sum() > without + 500


def test_the_wheel_moves_through_the_slices(slicer_app, scene):
    import slicer

    widget = slicer.app.layoutManager().sliceWidget("Red")
    start = widget.sliceLogic().GetSliceOffset()
    slicer_app.wheel(widget.sliceView(), 2)
    assert widget.sliceLogic().GetSliceOffset() == start + 2
    assert widget.sliceController().sliceOffsetSlider().value == start + 2


def test_the_mouse_moves_the_cursor(slicer_app, scene):
    import qt
    import slicer
    from PySide6.QtTest import QTest

    view = slicer.app.layoutManager().sliceWidget("Green").sliceView()
    QTest.mouseMove(view, qt.QPoint(60, 70))
    slicer_app.processEvents()
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    position = [0.0, 0.0, 0.0]
    assert node.GetCursorPositionXYZ(position).GetLayoutName() == "Green"
    assert position[:2] == [60.0, view.height - 70 - 1.0]


def test_layouts(slicer_app, scene):
    import slicer

    manager = slicer.app.layoutManager()
    assert manager.sliceViewNames() == ("Red", "Green", "Yellow")
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert (manager.sliceViewNames(), manager.threeDViewCount) == (("Red",), 0)
    slicer.modules.plots.logic().ShowChartInLayout(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode"))
    assert manager.plotViewCount == 1


def test_grab_writes_the_window(slicer_app, scene, tmp_path):
    from PIL import Image

    picture = np.asarray(Image.open(slicer_app.grab(slicer_app.mainWindow, tmp_path / "pictures" / "window.png")))
    assert picture.shape[:2] == (slicer_app.mainWindow.height, slicer_app.mainWindow.width)
    assert (picture[..., 0].astype(int) - picture[..., 1] > 100).sum() > 1000  # the filled segment


def test_segments_table(slicer_app, scene):
    import slicer

    table, changes = slicer.qMRMLSegmentsTableView(), []
    table.setMRMLScene(slicer.mrmlScene)
    table.setSegmentationNode(scene[1])
    table.connect("selectionChanged(QItemSelection,QItemSelection)", lambda: changes.append(table.selectedSegmentIDs()))
    added = scene[1].GetSegmentation().AddEmptySegment("second", "Second")
    assert (table.segmentCount, table.displayedSegmentIDs()) == (2, ("block", "second"))
    table.setSelectedSegmentIDs([added])
    assert changes == [("second",)]
    table.tableWidget().item(0, 3).setText("Liver")
    assert scene[1].GetSegmentation().GetSegment("block").GetName() == "Liver"
    slicer.mrmlScene.RemoveNode(scene[1])
    assert (table.segmentationNode(), table.segmentCount) == (None, 0)


def test_segment_editor(slicer_app, scene):
    import slicer

    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setSegmentationNode(scene[1])
    editor.setSourceVolumeNode(scene[0])
    assert editor.currentSegmentID() == "block"
    editor.setActiveEffectByName("Paint")
    assert editor.activeEffect().name == "Paint"
    editor.setActiveEffect(None)
    assert editor.mrmlSegmentEditorNode().GetActiveEffectName() in ("", None)


def test_subject_hierarchy_items(slicer_app, scene):
    import slicer

    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    volume, segmentation = (hierarchy.GetItemByDataNode(node) for node in scene)
    assert hierarchy.GetItemOwnerPluginName(volume) == "Volumes"
    children = slicer.util.getSubjectHierarchyItemChildren(segmentation)
    assert [hierarchy.GetItemName(item) for item in children] == ["Block"]
    slicer.mrmlScene.RemoveNode(scene[0])
    assert hierarchy.GetItemByDataNode(scene[0]) == 0


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz"])
def test_volumes_are_saved_and_loaded(slicer_app, scene, tmp_path, suffix):
    import slicer

    path = tmp_path / f"Größe 1{suffix}"
    assert slicer.util.saveNode(scene[0], str(path))
    loaded = slicer.util.loadVolume(path)
    assert loaded.GetName() == "Größe 1"
    assert np.array_equal(slicer.util.arrayFromVolume(loaded), slicer.util.arrayFromVolume(scene[0]))
    with pytest.raises(RuntimeError, match="does not exist"):
        slicer.util.loadVolume(tmp_path / "missing.nrrd")


def test_segmentations_are_saved_and_loaded(slicer_app, scene, tmp_path):
    import slicer

    assert slicer.util.saveNode(scene[1], str(tmp_path / "organs.seg.nrrd"))
    loaded = slicer.util.loadSegmentation(tmp_path / "organs.seg.nrrd")
    assert loaded.GetSegmentation().GetNthSegment(0).GetName() == "Block"
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(loaded, loaded.GetSegmentation().GetNthSegmentID(0), scene[0])
    assert voxels.sum() == 10 * 16 * 20

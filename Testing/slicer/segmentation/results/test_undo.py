"""A run can be taken back, with its probability volumes; what it needs of layers is copied ahead."""

from __future__ import annotations

import numpy as np
import pytest

from segmentation_scene import (
    LABELS,
    MOVED,
    OBLIQUE,
    SHAPE,
    add_linear_transform,
    add_volume,
    assert_voxels,
    drain,
    hierarchy_parent,
    label_map,
    layer_of,
    paint,
    segment_names,
    segment_of,
    segment_voxels,
    write,
)

pytestmark = pytest.mark.usefixtures("scene")


# Undo


@pytest.mark.slow
def test_undo_removes_what_the_run_made(scene):
    record = write(add_volume())
    before = scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    drain(record.undo())
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == before - 1
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationDisplayNode") == 0


@pytest.mark.slow
def test_undo_restores_what_was_before():
    volume = add_volume()
    node = write(volume).node
    drain(write(volume, (np.ones(SHAPE) * 2).astype(np.uint8), LABELS[:2], node).undo())
    assert_voxels(node, volume, label_map())


@pytest.mark.slow
def test_undo_keeps_what_was_corrected_elsewhere_since():
    volume = add_volume()
    node = write(volume).node
    record = write(volume, np.ones(SHAPE, np.uint8), LABELS[:1], node)
    corrected = np.zeros(SHAPE, bool)
    corrected[1, 2:4, 2:9] = True
    paint(node, "spleen", volume, corrected)
    drain(record.undo())
    np.testing.assert_array_equal(segment_voxels(node, LABELS[0].name, volume), label_map() == 1)
    np.testing.assert_array_equal(segment_voxels(node, "spleen", volume), corrected)


@pytest.mark.slow
def test_undo_removes_only_segments_that_the_run_added():
    volume = add_volume()
    node = write(volume, label_map(), LABELS[:1]).node
    record = write(volume, label_map(), LABELS, node)
    drain(record.undo())
    assert segment_names(node) == [LABELS[0].name]
    np.testing.assert_array_equal(segment_voxels(node, LABELS[0].name, volume), label_map() == 1)


@pytest.mark.slow
def test_undo_keeps_a_node_to_which_others_added_segments(scene):
    import slicer

    record = write(add_volume())
    mine = slicer.vtkSegment()
    mine.SetName("mine")
    record.node.GetSegmentation().AddSegment(mine)
    drain(record.undo())
    assert record.node.GetScene() is scene and segment_names(record.node) == ["mine"]


@pytest.mark.slow
def test_undo_when_segments_were_deleted_since():
    volume = add_volume()
    node = write(volume).node
    record = write(volume, np.ones(SHAPE, np.uint8), LABELS[:2], node)
    node.GetSegmentation().RemoveSegment(node.GetSegmentation().GetSegmentIdBySegmentName("grey"))
    drain(record.undo())
    assert segment_names(node) == [LABELS[0].name, "spleen"]
    np.testing.assert_array_equal(segment_voxels(node, LABELS[0].name, volume), label_map() == 1)


@pytest.mark.slow
def test_undo_makes_surfaces_again():
    from LEUDASegmentationLib.run.surfaces import SURFACE, make_surfaces
    from LEUDASegmentationLib.scene.steps import finish

    volume = add_volume()
    node = write(volume).node
    finish(make_surfaces(node, 0.0))
    bounds = segment_of(node, "grey").GetRepresentation(SURFACE).GetBounds()
    record = write(volume, np.roll(label_map(), 1, axis=2), LABELS[:2], node)
    finish(record.undo())
    assert segment_of(node, "grey").GetRepresentation(SURFACE).GetBounds() == pytest.approx(bounds)
    assert segment_of(node, "spleen").GetRepresentation(SURFACE).GetNumberOfPoints() > 0


# Copies of layers that are made ahead


def ones(value: int) -> np.ndarray:
    return np.full(SHAPE, value, np.uint8)


def write_layer(volume, node, layer, copies):
    """Write a layer with two of the three segments, with copies that were made ahead."""
    from LEUDASegmentationLib.run.results import write_run

    return write_run(volume, "Herz CT", layer, LABELS[:2], node, copies)


@pytest.fixture
def no_filtering(monkeypatch):
    """Make it an error to filter a layer, once it is called."""
    from LEUDASegmentationLib.scene import layers

    def forbid() -> None:
        monkeypatch.setattr(layers, "_only", lambda *_: pytest.fail("a layer is filtered while the window waits"))

    return forbid


@pytest.mark.slow
def test_writing_takes_the_copies_that_were_made(no_filtering):
    from LEUDASegmentationLib.scene.layers import LayerCopies

    volume, copies = add_volume(), LayerCopies()
    node = write(volume).node
    drain(copies.for_put(node.GetSegmentation(), LABELS[:2]))
    layer = layer_of(volume, ones(2), [1, 2])
    no_filtering()
    record = write_layer(volume, node, layer, copies)
    np.testing.assert_array_equal(segment_voxels(node, "spleen", volume), label_map() == 5)
    assert segment_voxels(node, "grey", volume).all() and record.change.replaced


@pytest.mark.slow
def test_a_layer_that_changed_since_is_copied_again():
    from LEUDASegmentationLib.scene.layers import BINARY, LayerCopies, layer_array

    volume, copies = add_volume(), LayerCopies()
    node = write(volume).node
    drain(copies.for_put(node.GetSegmentation(), LABELS[:2]))
    layer = segment_of(node, "spleen").GetRepresentation(BINARY)
    layer_array(layer)[0, 0, 0] = 5
    layer.Modified()
    write_layer(volume, node, layer_of(volume, ones(2), [1, 2]), copies)
    assert segment_voxels(node, "spleen", volume).sum() == (label_map() == 5).sum() + 1


@pytest.mark.slow
def test_undo_filters_ahead_of_the_change(no_filtering):
    volume = add_volume()
    node = write(volume).node
    undoing = write(volume, ones(2), LABELS[:2], node).undo()
    next(undoing)
    assert segment_voxels(node, "grey", volume).all(), "nothing has changed yet"
    no_filtering()
    drain(undoing)
    assert_voxels(node, volume, label_map())


# Probabilities


def write_probabilities(record, volume, tmp_path, level: float, labels=LABELS, roi=None):
    from LEUDASegmentationLib.run import probabilities

    path = tmp_path / "probabilities.npy"
    np.save(path, np.stack([np.full(SHAPE, level * channel, np.float16) for channel in range(4)]))
    channels = [LABELS.index(label) + 1 for label in labels]
    images = drain(probabilities.read_probabilities(str(path), channels, roi))
    probabilities.write_probabilities(record, volume, labels, images)


@pytest.mark.slow
def test_probabilities_are_one_volume_a_label_on_the_same_grid(scene, tmp_path):
    import slicer

    from LEUDASegmentationLib.scene.geometry import ijk_to_ras

    volume = add_volume(affine=OBLIQUE)
    volume.SetAndObserveTransformNodeID(add_linear_transform(MOVED).GetID())
    record = write(volume)
    write_probabilities(record, volume, tmp_path, 0.25, LABELS[1:])
    assert len(record.new_volumes) == 2
    for node, level in zip(record.new_volumes, (0.5, 0.75), strict=True):
        array = slicer.util.arrayFromVolume(node)
        assert array.dtype == np.float32 and array.shape == SHAPE and (array == level).all()
        np.testing.assert_allclose(ijk_to_ras(node), OBLIQUE, atol=1e-6)
        assert node.GetParentTransformNode() is volume.GetParentTransformNode()
        assert hierarchy_parent(scene, node) == hierarchy_parent(scene, volume)
    assert "spleen" in record.new_volumes[1].GetName()


@pytest.mark.slow
def test_probabilities_are_renewed_in_place_and_undone(scene, tmp_path):
    import slicer

    volume = add_volume()
    first = write(volume)
    write_probabilities(first, volume, tmp_path, 0.25)
    second = write(volume, output=first.node)
    write_probabilities(second, volume, tmp_path, 0.125)
    volumes = first.new_volumes
    assert not second.new_volumes
    assert slicer.util.arrayFromVolume(volumes[0]).max() == 0.125
    drain(second.undo())
    assert slicer.util.arrayFromVolume(volumes[0]).max() == 0.25
    drain(first.undo())
    assert [node for node in volumes if node.GetScene()] == []

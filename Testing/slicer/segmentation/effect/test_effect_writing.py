"""What the effect "LE-UDA" of the Segment Editor writes: into which segments and voxels, on which geometry."""

from __future__ import annotations

import numpy as np
import pytest

from effect_editor import GREY, KIDNEY, SPLEEN, only
from segmentation_scene import (
    LABELS,
    MOVED,
    OBLIQUE,
    SHAPE,
    add_linear_transform,
    add_volume,
    label_map,
    segment_names,
    segment_of,
    segment_voxels,
)


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


def test_an_empty_answer_is_told(open_editor) -> None:
    editor = open_editor()
    editor.apply(np.zeros(SHAPE, np.uint8))
    assert editor.message == "warning: The model found nothing here. Nothing was changed."
    editor.draw(np.ones(SHAPE, bool))
    editor.apply(np.zeros(SHAPE, np.uint8))
    assert "Segments were emptied in this place" in editor.message


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

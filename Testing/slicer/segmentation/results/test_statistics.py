"""Volume and mean intensity of segments: against plain numpy, on other grids, under transforms, and in pieces."""

from __future__ import annotations

import numpy as np
import pytest

from leuda_core.errors import InputError
from segmentation_scene import (
    LABELS,
    OBLIQUE,
    PLAIN,
    SHAPE,
    add_linear_transform,
    add_volume,
    add_warp,
    drain,
    hierarchy_parent,
    label_map,
    segment_voxels,
    write,
)

pytestmark = pytest.mark.usefixtures("scene")


def count(segmentation, volume) -> list:
    from LEUDASegmentationLib.run.statistics import count_segments

    return drain(count_segments(segmentation, volume))


@pytest.mark.slow
def test_statistics_of_known_blocks():
    import slicer

    volume = add_volume(affine=OBLIQUE)
    rows = count(write(volume).node, volume)
    image, voxel_mL = slicer.util.arrayFromVolume(volume), abs(np.linalg.det(OBLIQUE[:3, :3])) / 1000
    assert [row.name for row in rows] == [label.name for label in LABELS]
    for row, label in zip(rows, LABELS, strict=True):
        where = label_map() == label.value
        assert row.volume_mL == pytest.approx(where.sum() * voxel_mL)
        assert row.mean_intensity == pytest.approx(image[where].mean())


@pytest.mark.slow
def test_statistics_of_an_empty_segment_and_of_none(scene):
    volume = add_volume()
    row = count(write(volume, np.zeros(SHAPE, np.uint8), LABELS[:1]).node, volume)[0]
    assert row.volume_mL == 0 and np.isnan(row.mean_intensity)
    assert count(scene.AddNewNodeByClass("vtkMRMLSegmentationNode"), volume) == []


@pytest.mark.slow
def test_statistics_on_another_grid_and_under_other_transforms():
    import slicer

    volume = add_volume()
    node = write(volume).node
    other = add_volume("other", PLAIN @ np.diag([0.5, 0.5, 1, 1]), (6, 16, 20))
    scaled = add_linear_transform(np.diag([2.0, 1, 1, 1]))
    for transformed in (node, other):
        transformed.SetAndObserveTransformNodeID(scaled.GetID())
    row = count(node, other)[0]
    assert row.volume_mL == pytest.approx((label_map() == 1).sum() * 2 * 0.7 * 0.9 * 2.5 / 1000)
    other.SetAndObserveTransformNodeID(None)
    where = segment_voxels(node, LABELS[0].name, other)
    assert where.any()
    assert count(node, other)[0].mean_intensity == pytest.approx(slicer.util.arrayFromVolume(other)[where].mean())


@pytest.mark.slow
def test_statistics_where_the_segmentation_sticks_out_of_the_volume():
    import slicer

    large = add_volume("large", shape=(6, 8, 10))
    small = add_volume("small", shape=(4, 3, 10))
    rows = count(write(large).node, small)
    inside = label_map()[:4, :3]
    assert rows[0].volume_mL == pytest.approx((label_map() == 1).sum() * 0.7 * 0.9 * 2.5 / 1000)
    assert rows[0].mean_intensity == pytest.approx(slicer.util.arrayFromVolume(small)[inside == 1].mean())
    assert np.isnan(rows[2].mean_intensity)


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True], ids=["same grid", "resampled"])
def test_pieces_add_up(monkeypatch, elsewhere):
    from LEUDASegmentationLib.scene import volume_files

    volume = add_volume(affine=OBLIQUE)
    node, other = write(volume).node, volume
    if elsewhere:
        other = add_volume("other", OBLIQUE @ np.diag([0.5, 2.0, 0.5, 1]), (12, 4, 20))
        other.SetAndObserveTransformNodeID(add_warp().GetID())
    whole = count(node, other)
    assert any(row.mean_intensity > 0 for row in whole)
    monkeypatch.setattr(volume_files, "BYTES_AT_ONCE", 100)
    for row, expected in zip(count(node, other), whole, strict=True):
        assert row.volume_mL == expected.volume_mL
        assert row.mean_intensity == pytest.approx(expected.mean_intensity, nan_ok=True)


@pytest.mark.slow
def test_intensities_under_a_warp_are_those_that_slicer_finds(scene):
    import slicer

    volume = add_volume()
    node = write(volume).node
    node.SetAndObserveTransformNodeID(add_warp().GetID())
    where = segment_voxels(node, "grey", volume)
    assert where.any() and not np.array_equal(where, label_map() == 2)
    assert count(node, volume)[1].mean_intensity == pytest.approx(slicer.util.arrayFromVolume(volume)[where].mean())


@pytest.mark.slow
@pytest.mark.parametrize("change", ["segments", "image"])
def test_what_changes_meanwhile_is_counted_again(monkeypatch, change):
    import slicer

    from LEUDASegmentationLib.run.statistics import count_segments
    from LEUDASegmentationLib.scene import volume_files
    from LEUDASegmentationLib.scene.steps import finish

    monkeypatch.setattr(volume_files, "BYTES_AT_ONCE", 100)
    volume = add_volume()
    node = write(volume).node
    before = count(node, volume)
    counting = count_segments(node, volume)
    next(counting)
    if change == "segments":
        node.GetSegmentation().RemoveSegment(node.GetSegmentation().GetNthSegmentID(0))
    else:
        slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume) + 1)
    found = finish(counting)
    assert found == count(node, volume) != before


@pytest.mark.slow
def test_a_volume_that_is_deleted_meanwhile_is_an_error(monkeypatch, scene):
    from LEUDASegmentationLib.run.statistics import count_segments
    from LEUDASegmentationLib.scene import volume_files

    monkeypatch.setattr(volume_files, "BYTES_AT_ONCE", 100)
    volume = add_volume()
    counting = count_segments(write(volume).node, volume)
    next(counting)
    scene.RemoveNode(volume)
    with pytest.raises(InputError, match="no longer in the scene"):
        drain(counting)


@pytest.mark.slow
def test_what_is_no_volume_is_refused(scene):
    with pytest.raises(InputError, match="no voxels"):
        count(write(add_volume()).node, scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow"))


@pytest.mark.slow
def test_table_of_the_statistics(scene):
    from LEUDASegmentationLib.run.statistics import add_table

    volume = add_volume()
    node = write(volume).node
    table = add_table(node, volume, count(node, volume))
    assert table.GetNumberOfRows() == 3 and table.GetNumberOfColumns() == 3
    assert table.GetCellText(0, 0) == LABELS[0].name
    assert float(table.GetCellText(1, 1)) == pytest.approx((label_map() == 2).sum() * 0.7 * 0.9 * 2.5 / 1000, rel=1e-4)
    assert hierarchy_parent(scene, table) == hierarchy_parent(scene, node)

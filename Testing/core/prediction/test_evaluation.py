"""Scores against numbers worked out by hand and by brute force, and what happens where a structure is missing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from leuda_core.blocks.metrics import surface_distances_mm
from leuda_core.errors import InputError
from leuda_core.evaluation import evaluate, evaluate_pair, summarize
from leuda_core.io.volumes import write_label_map
from leuda_core.types import Label, LabelMap

ONE = (Label(1, "myocardium"),)
TWO = (Label(1, "myocardium"), Label(2, "left ventricle"))


def label_map(data, spacing_mm=(1.0, 1.0, 1.0), labels=ONE) -> LabelMap:
    return LabelMap(np.asarray(data, np.uint8), np.diag([*spacing_mm, 1.0]), labels)


def box(shape, *edges) -> np.ndarray:
    data = np.zeros(shape, np.uint8)
    data[tuple(slice(a, b) for a, b in edges)] = 1
    return data


def sphere(centre, radius_mm, spacing_mm, shape=(40, 40, 20)) -> np.ndarray:
    index = np.indices(shape).reshape(3, -1).T
    inside = np.linalg.norm((index - centre) * spacing_mm, axis=1) <= radius_mm
    return inside.reshape(shape)


def brute_force_mm(a, b, spacing_mm) -> tuple[float, float]:
    """All pairs of surface voxels (in the mask, with a face neighbour outside it)."""

    def surface(mask):
        padded = np.pad(mask, 1)
        inner = np.ones_like(mask)
        for axis in range(3):
            for step in (-1, 1):
                inner &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
        return np.argwhere(mask & ~inner) * spacing_mm

    points_a, points_b = surface(a), surface(b)
    distance = np.linalg.norm(points_a[:, None] - points_b[None], axis=-1)
    there, back = distance.min(1), distance.min(0)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return hd95, np.concatenate([there, back]).mean()


@pytest.mark.slow
def test_plates_at_a_known_distance():
    a, b = box((6, 7, 9), (1, 5), (1, 6), (2, 3)), box((6, 7, 9), (1, 5), (1, 6), (5, 6))
    (score,) = evaluate_pair(label_map(a, (1.0, 1.0, 2.5)), label_map(b, (1.0, 1.0, 2.5)))
    assert (score.dice, score.state) == (0.0, "scored")
    assert score.hd95_mm == pytest.approx(7.5)
    assert score.asd_mm == pytest.approx(7.5)


def test_half_overlapping_boxes_have_dice_one_half():
    a, b = box((12, 8, 8), (0, 4), (2, 6), (2, 6)), box((12, 8, 8), (2, 6), (2, 6), (2, 6))
    (score,) = evaluate_pair(label_map(a), label_map(b))
    assert score.dice == pytest.approx(0.5)


@pytest.mark.parametrize("shift", [(2, 0, 0), (0, 0, 1), (3, 1, 2)])
def test_shifted_sphere_agrees_with_brute_force(shift):
    spacing = np.array([1.0, 1.3, 4.0])
    a = sphere((17, 16, 9), 12.0, spacing)
    b = sphere(np.add((17, 16, 9), shift), 12.0, spacing)
    hd95, asd = surface_distances_mm(a, b, spacing)
    expected = brute_force_mm(a, b, spacing)
    assert (hd95, asd) == pytest.approx(expected, rel=1e-5)
    assert asd < hd95 <= np.linalg.norm(shift * spacing) + 1e-5
    assert surface_distances_mm(b, a, spacing) == pytest.approx((hd95, asd))


def test_both_directions_count():
    spacing = np.array([1.0, 1.3, 4.0])
    reference = sphere((17, 16, 9), 12.0, spacing)
    spilled = reference | box(reference.shape, (34, 40), (25, 31), (13, 18)).astype(bool)
    expected = brute_force_mm(spilled, reference, spacing)
    assert surface_distances_mm(spilled, reference, spacing) == pytest.approx(expected, rel=1e-5)
    assert surface_distances_mm(reference, spilled, spacing) == pytest.approx(expected, rel=1e-5)


def test_equal_masks_at_the_edge_of_the_volume_are_perfect():
    mask = box((6, 6, 4), (0, 6), (0, 3), (0, 4)).astype(bool)
    assert surface_distances_mm(mask, mask, (1, 1, 5)) == (0, 0)


def test_one_slice_is_measured_in_its_plane():
    a, b = box((20, 20, 1), (2, 12), (2, 12), (0, 1)), box((20, 20, 1), (4, 14), (2, 12), (0, 1))
    (flat,) = evaluate_pair(label_map(a, (0.5, 0.5, 8.0)), label_map(b, (0.5, 0.5, 8.0)))
    # The 36 contour pixels of a square: one side lies 2 pixels off, of top and bottom all but the ends overlap, and the
    # side inside the other square is nearest to its top, bottom or far side. Were each pixel surface, most would be 0.
    expected = [1.0] * 10 + [0.5] * 2 + [0.0] * 16 + [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5]
    assert flat.hd95_mm == pytest.approx(1.0)
    assert flat.asd_mm == pytest.approx(np.mean(expected))


def test_missing_structures_are_defined_and_counted():
    shape, spacing = (10, 10, 6), (1.0, 2.0, 3.0)
    diagonal = math.hypot(10, 20, 18)
    some, none = box(shape, (2, 5), (2, 5), (1, 4)), np.zeros(shape)
    missed = evaluate_pair(label_map(none, spacing), label_map(some, spacing), case="a")
    false = evaluate_pair(label_map(some, spacing), label_map(none, spacing), case="b")
    absent = evaluate_pair(label_map(none, spacing), label_map(none, spacing), case="c")
    perfect = evaluate_pair(label_map(some, spacing), label_map(some, spacing), case="d")
    for (score,) in (missed, false):
        assert (score.dice, score.hd95_mm, score.asd_mm) == pytest.approx((0, diagonal, diagonal))
    assert all(math.isnan(v) for v in (absent[0].dice, absent[0].hd95_mm, absent[0].asd_mm))
    result = summarize([*missed, *false, *absent, *perfect])
    overall = result.overall
    assert overall.dice == pytest.approx(1 / 3)
    assert overall.hd95_mm == pytest.approx(2 * diagonal / 3)
    assert (overall.n_scored, overall.n_missed, overall.n_false, overall.n_absent) == (1, 1, 1, 1)
    assert json.loads(json.dumps(result.as_dict(), allow_nan=False))["scores"][2]["dice"] is None


def test_means_go_over_labels_then_over_cases():
    shape = (12, 12, 4)
    reference = box(shape, (1, 5), (1, 5), (0, 4)) + 2 * box(shape, (6, 10), (1, 5), (0, 4))
    half = box(shape, (3, 7), (1, 5), (0, 4))
    first = evaluate_pair(label_map(reference, labels=TWO), label_map(reference, labels=TWO), case="p1")
    second = evaluate_pair(label_map(half, labels=TWO), label_map(reference, labels=TWO), case="p2")
    result = summarize([*first, *second])
    assert [(c.name, c.dice) for c in result.cases] == [("p1", 1.0), ("p2", pytest.approx(0.25))]
    assert [(x.name, x.dice) for x in result.labels] == [("myocardium", 0.75), ("left ventricle", 0.5)]
    assert result.overall.dice == pytest.approx(0.625)
    assert result.overall.dice_std == pytest.approx(np.std([1.0, 0.25], ddof=1))


def test_different_grids_are_refused():
    with pytest.raises(InputError, match=r"'p1'.*\(4, 4, 4\) differs from reference grid \(4, 4, 5\)"):
        evaluate_pair(label_map(np.ones((4, 4, 4))), label_map(np.ones((4, 4, 5))), case="p1")
    with pytest.raises(InputError, match="different positions"):
        evaluate_pair(label_map(np.ones((4, 4, 4)), (1, 1, 2)), label_map(np.ones((4, 4, 4))))


def test_folders_match_by_name_whatever_the_format(tmp_path):
    data = box((8, 8, 4), (1, 5), (1, 5), (1, 3))
    predictions, references = tmp_path / "predictions", tmp_path / "references"
    for folder in (predictions, references):
        folder.mkdir()
    write_label_map(label_map(data), references / "p 1.nii.gz")
    write_label_map(label_map(data), references / "p2.nii.gz")
    write_label_map(label_map(data), references / "only here.nrrd")
    write_label_map(label_map(data), predictions / "p 1.seg.nrrd")
    write_label_map(label_map(np.roll(data, 2, 0)), predictions / "p2.nii.gz")
    write_label_map(label_map(data), predictions / "p3.nii.gz")
    result = evaluate(predictions, references)
    assert [(c.name, c.dice) for c in result.cases] == [("p 1", 1.0), ("p2", pytest.approx(0.5))]
    assert result.unmatched_predictions == ("p3",)
    assert result.unmatched_references == ("only here",)
    with pytest.raises(InputError, match="name each prediction like its reference"):
        (tmp_path / "empty").mkdir()
        evaluate(tmp_path / "empty", references)


def test_two_formats_of_one_case_are_refused(tmp_path):
    for name in ("p1.nii.gz", "p1.nrrd"):
        write_label_map(label_map(np.ones((4, 4, 4))), tmp_path / name)
    with pytest.raises(InputError, match=r"p1\.nii\.gz and p1\.nrrd"):
        evaluate(tmp_path, tmp_path)


def test_named_segments_are_matched_by_name_not_by_value(tmp_path):
    shape = (12, 12, 4)
    heart = box(shape, (1, 5), (1, 5), (0, 4)) + 2 * box(shape, (6, 10), (1, 5), (0, 4))
    swapped = np.choose(heart, [0, 2, 1])
    write_label_map(label_map(heart, labels=TWO), tmp_path / "reference.seg.nrrd")
    other_values = (Label(2, "myocardium"), Label(1, "left ventricle"))
    write_label_map(label_map(swapped, labels=other_values), tmp_path / "prediction.seg.nrrd")
    result = evaluate(tmp_path / "prediction.seg.nrrd", tmp_path / "reference.seg.nrrd")
    assert [(x.name, x.dice) for x in result.labels] == [("myocardium", 1.0), ("left ventricle", 1.0)]


def test_label_found_in_the_prediction_only_is_a_false_one(tmp_path):
    write_label_map(label_map(box((8, 8, 4), (1, 5), (1, 5), (1, 3))), tmp_path / "reference.nii.gz")
    extra = box((8, 8, 4), (1, 5), (1, 5), (1, 3)) + 2 * box((8, 8, 4), (6, 8), (6, 8), (0, 2))
    write_label_map(label_map(extra, labels=TWO), tmp_path / "prediction.nii.gz")
    result = evaluate(tmp_path / "prediction.nii.gz", tmp_path / "reference.nii.gz")
    assert [s.state for s in result.scores] == ["scored", "false"]
    assert result.overall.dice == pytest.approx(0.5)


def test_missing_path_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.nii\.gz"):
        evaluate(tmp_path / "nowhere.nii.gz", tmp_path)

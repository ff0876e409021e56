"""The fingerprint of a data set: discs, rings and boxes of known size are measured as what they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leuda_core.config import MethodConfig
from leuda_core.data.dataset import load_dataset
from leuda_core.data.survey import Surveyed, take_survey
from leuda_core.data.tasks import make_task
from leuda_core.errors import InputError
from leuda_core.io.volumes import read_volume, write_label_map, write_volume
from leuda_core.types import Label, LabelMap, Normalization, Volume

LABELS = (Label(1, "ring"), Label(2, "disc"), Label(7, "box"))


def write(
    folder: Path, labels: np.ndarray, *, spacing: tuple[float, float, float] = (1.0, 1.0, 5.0), **entry: object
) -> Path:
    """Write a data set of one source case with this label map, and two target cases, one of them larger."""
    folder.mkdir(exist_ok=True)
    affine = np.diag([*spacing, 1.0])
    rng = np.random.default_rng(0)
    write_volume(Volume(rng.normal(labels * 100.0, 10).astype(np.float32), affine), folder / "s.nii.gz")
    write_label_map(LabelMap(labels, affine, LABELS), folder / "s_label.nii.gz")
    for name, shape in (("t", (80, 60, 4)), ("u", (80, 60, 4)), ("v", (160, 100, 4))):
        write_volume(
            Volume(rng.normal(0, 1, shape).astype(np.float32), np.diag([2.0, 2.0, 8.0, 1.0])), folder / f"{name}.nii.gz"
        )
    document = {
        "name": "shapes",
        "labels": {str(label.value): label.name for label in LABELS},
        "source": {"modality": "A", "cases": [{"id": "s", "image": "s.nii.gz", "label": "s_label.nii.gz", **entry}]},
        "target": {"modality": "B", "cases": [{"id": name, "image": f"{name}.nii.gz"} for name in "tuv"]},
    }
    (folder / "dataset.json").write_text(json.dumps(document), encoding="utf-8")
    return folder / "dataset.json"


def look(path: Path, **options: bool) -> Surveyed:
    dataset = load_dataset(path)
    return take_survey(dataset, make_task(dataset, MethodConfig()), **options)


def shapes() -> np.ndarray:
    """A ring, 12 mm thick, around a disc of 60 mm on five slices; a box of 8 x 40 mm on one of them."""
    i, j = np.mgrid[:200, :200] - 100
    radius = np.hypot(i, j)
    labels = np.zeros((200, 200, 9), np.uint8)
    labels[..., 2:7] = ((radius < 42) * 1 + (radius < 30) * 1)[..., None]
    labels[180:188, 20:60, 4] = 7
    return labels


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 5.0), (0.5, 2.0, 5.0)])
def test_widths_extents_and_shares_of_known_shapes(tmp_path: Path, spacing: tuple[float, float, float]) -> None:
    labels = shapes()
    if spacing[0] != spacing[1]:  # the same shapes on other pixels
        labels = np.repeat(labels, 2, axis=0)[:, ::2]
    survey = look(write(tmp_path, labels, spacing=spacing)).survey
    ring, disc, box = survey.structures
    assert (ring.name, ring.slices, ring.volumes) == ("ring", 5, 1) and (box.slices, box.volumes) == (1, 1)
    assert ring.width_mm == pytest.approx(12, rel=0.06) and ring.extent_mm == pytest.approx(84, abs=2.1)
    assert disc.width_mm == pytest.approx(30, rel=0.06) and disc.extent_mm == pytest.approx(60, abs=2.1)
    assert box.extent_mm == 40 and 320 / 96 < box.width_mm / 2 < 1.3 * 320 / 96
    assert disc.share == pytest.approx(np.pi * 30**2 / 200**2, rel=0.03)
    assert survey.thinnest == box and survey.labelled_slices == 5
    assert 84 < survey.extent_mm <= 150


def test_domains_are_described_by_typical_and_largest_slices(tmp_path: Path) -> None:
    survey = look(write(tmp_path, shapes())).survey
    assert (survey.source.cases, survey.source.slices, survey.source.pixel_mm, survey.source.slice_mm) == (
        1,
        9,
        1.0,
        5.0,
    )
    target = survey.target
    assert (target.cases, target.slices, target.pixel_mm, target.slice_mm) == (3, 12, 2.0, 8.0)
    assert (target.side_mm, target.largest_side_mm) == (160, 320)
    assert (target.side_pixels, target.largest_side_pixels) == (80, 160)
    assert survey.one_plane and survey.largest_voxels == 200 * 200 * 9
    assert survey.gap is None and target.intensities == ()
    assert json.loads(json.dumps(survey.as_dict()))["target"]["side_mm"] == 160


def test_intensities_are_read_on_request(tmp_path: Path) -> None:
    survey = look(write(tmp_path, shapes()), intensities=True).survey
    for domain in (survey.source, survey.target):
        assert len(domain.intensities) == 5 and sorted(domain.intensities) == list(domain.intensities)
        assert domain.intensities[0] >= -1 and domain.intensities[-1] <= 1
    assert 0.3 < survey.gap < 2  # most of the source is dark background, the target is noise


def test_each_domain_is_read_with_its_own_normalisation(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path, shapes()))
    task = make_task(dataset, MethodConfig())
    narrow = replace(task, source_normalization=Normalization(lower_percentile=0.5, upper_percentile=60.0))
    usual, found = (take_survey(dataset, one, intensities=True).survey for one in (task, narrow))
    assert found.source.intensities[3] > usual.source.intensities[3] and found.target == usual.target


def test_one_labelled_slice_with_a_single_pixel(tmp_path: Path) -> None:
    labels = np.zeros((64, 64, 5), np.uint8)
    labels[10, 20, 3] = 2
    survey = look(write(tmp_path, labels)).survey
    ring, disc, _ = survey.structures
    assert (ring.slices, ring.width_mm, ring.extent_mm) == (0, 0, 0) and disc.extent_mm == 1
    assert survey.thinnest == disc and survey.extent_mm == 1 and survey.labelled_slices == 1


def test_only_the_slices_that_a_case_lists_count(tmp_path: Path) -> None:
    survey = look(write(tmp_path, shapes(), labelled_slices=[0, 2, 3])).survey
    assert [one.slices for one in survey.structures] == [2, 2, 0] and survey.labelled_slices == 3
    empty = look(write(tmp_path / "empty", shapes(), labelled_slices=[0, 1])).survey
    assert empty.thinnest is None and empty.extent_mm == 0
    with pytest.raises(InputError, match="no source slice is labelled"):
        look(write(tmp_path / "nothing", np.zeros((64, 64, 5), np.uint8)))


def test_target_labels_are_counted_only_where_they_are_learnt_from(tmp_path: Path) -> None:
    path = write(tmp_path, shapes())
    dataset = load_dataset(path)
    case = replace(dataset.target.cases[0], label=tmp_path / "t_label.nii.gz")
    dataset = replace(dataset, target=replace(dataset.target, cases=(case, *dataset.target.cases[1:])))
    task = make_task(dataset, MethodConfig())
    assert take_survey(dataset, task).survey == look(path).survey  # the label map of the target does not even exist
    label = np.zeros((80, 60, 4), np.uint8)
    label[10:20, 10:20, 1:3] = 7
    write_label_map(LabelMap(label, np.diag([2.0, 2.0, 8.0, 1.0]), LABELS), tmp_path / "t_label.nii.gz")
    found = take_survey(dataset, task, target_labels=True)
    assert found.labelled_target == {"t": 2}
    assert found.survey.labelled_slices == look(path).survey.labelled_slices + 2
    assert take_survey(dataset, task, target_labels=True, target_only=True).survey.labelled_slices == 2
    assert found.survey.structures == look(path).survey.structures


def test_oblique_volumes_are_in_no_common_plane(tiny_dataset: Path, tmp_path: Path) -> None:
    survey = look(tiny_dataset).survey
    assert survey.one_plane and survey.source.pixel_mm == 1.25  # they are turned, but still nearly axial
    path = write(tmp_path, shapes())
    turned = np.eye(4)
    turned[1:3, 1:3] = np.array([[1, -1], [1, 1]]) / np.sqrt(2)
    volume = read_volume(tmp_path / "u.nii.gz")
    write_volume(Volume(volume.data, turned @ volume.affine), tmp_path / "u.nii.gz")
    assert not look(path).survey.one_plane

"""A second, closer look at the structures: where it is, what it brings, and that parts equal the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from leuda_core.data.geometry import SlicePlan, plan_slices
from leuda_core.errors import Cancelled
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.prediction.job import NOTHING_FOUND
from leuda_core.prediction.location import box_of_structures
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import NOWHERE, Box, SegmentOptions, Task, Volume
from leuda_core.worker.volumes import slab_around
from stand_ins import AXIAL, OBLIQUE, Threshold, expected_threshold, task

FLIPPED = AXIAL * np.array([-1.0, 1, -1, 1])
BOXES = [((20, 40), (70, 120), (3, 8)), ((0, 100), (0, 84), (0, 12)), ((60, 100), (0, 9), (0, 2))]


def shell(shape: tuple[int, int, int] = (100, 120, 12), affine: np.ndarray = AXIAL) -> Volume:
    """A thin shell far from the middle of the slices, and noise beside it."""
    centre, steps = np.array([28.0, 85.0, 5.0]), np.array([1.0, 1.0, 3.0])
    axes = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    distance = sum(((x - c) * mm) ** 2 for x, c, mm in zip(axes, centre, steps, strict=True)) ** 0.5
    data = np.where(abs(distance - 11.3) < 1.8, 1000, 100) + np.random.default_rng(0).integers(0, 50, shape)
    return Volume(data.astype(np.int16), affine)


def zoomed(zoom: float = 4.0, spacing_mm: float = 4.0, plane: str = "acquisition") -> Task:
    return replace(task(spacing_mm, plane), zoom=zoom)


def segmenter(network: torch.nn.Module, chosen: Task, **options: object) -> SliceSegmenter:
    return SliceSegmenter(network, chosen, device="cpu", precision="float32", **options)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("plane", ["acquisition", "axial", "coronal", "sagittal"])
@pytest.mark.parametrize("affine", [AXIAL, FLIPPED, AXIAL[:, [1, 2, 0, 3]]], ids=["axial", "flipped", "permuted"])
def test_the_second_look_sees_more_at_the_right_place(affine: np.ndarray, plane: str) -> None:
    volume = shell(affine=affine)
    truth = expected_threshold(volume)
    first = segmenter(Threshold(), replace(zoomed(plane=plane), zoom=1.0))(volume).label_map.data > 0
    found = segmenter(Threshold(), zoomed(plane=plane))(volume).label_map.data > 0
    assert dice(found, truth) > 0.99 and dice(first, truth) < 0.96


def test_the_network_is_shown_all_slices_and_then_the_part_around_the_structures() -> None:
    shown: list[tuple[int, ...]] = []

    class Spy(Threshold):
        def forward(self, images: Tensor) -> Tensor:
            shown.append(tuple(images.shape))
            return super().forward(images)

    found = segmenter(Spy(), zoomed(2.0, 2.0), batch_size=12)(shell())
    assert shown == [(12, 1, 64, 64), (12, 1, 48, 48)]  # 60 x 50 pixels of 2 mm, then 36 x 36 of 1 mm, in padding
    assert set(found.seconds) == {"locate", "segment"}


@pytest.mark.parametrize("affine", [AXIAL, FLIPPED, OBLIQUE], ids=["axial", "flipped", "oblique"])
@pytest.mark.parametrize("plane", ["acquisition", "sagittal"])
@pytest.mark.parametrize(
    "box", [((20, 40), (70, 120), (3, 8)), ((0, 100), (0, 84), (0, 12)), ((60, 100), (0, 9), (0, 2))]
)
def test_a_box_contains_what_the_whole_volume_shows_there(box: Box, plane: str, affine: np.ndarray) -> None:
    volume, runner = shell(affine=affine), segmenter(Threshold(), zoomed(plane=plane), batch_size=1)
    whole = runner(volume).label_map.data
    found = runner(volume, box=box).label_map.data
    inside = np.zeros(volume.shape, bool)
    inside[tuple(slice(*ends) for ends in box)] = True
    assert np.array_equal(found, np.where(inside, whole, 0))


def test_a_slab_is_segmented_at_the_place_in_the_whole_volume() -> None:
    torch.manual_seed(0)
    network = Predictor(PredictorSpec(n_classes=3, base_channels=4)).eval()
    volume, runner = shell(), segmenter(network, zoomed(2.0, 2.0), batch_size=1)
    where = runner.locate(volume)
    whole = runner(volume).label_map.data
    known = tuple(float(value) for value in np.percentile(volume.data, (0.5, 99.5)))
    for index in (0, 5, 11):
        slab, box = slab_around(volume, runner.task, index)
        found = runner(slab, box=box, where=where, intensities=known).label_map.data
        assert np.array_equal(found[:, :, 0], whole[:, :, index])
    assert len(np.unique(whole)) > 1


def test_outside_of_the_second_look_all_is_background() -> None:
    volume, runner = shell(), segmenter(Threshold(), zoomed())
    probabilities = runner(volume, SegmentOptions(probabilities=True)).probabilities
    assert probabilities is not None and np.allclose(probabilities.astype(float).sum(0), 1, atol=2e-3)
    assert probabilities[0, 90, 10, 5] == 1 and probabilities[0, 39, 85, 5] < 0.5
    box = ((0, 50), (0, 120), (0, 12))
    part = runner(volume, SegmentOptions(probabilities=True), box=box).probabilities
    assert part is not None and not part[:, 50:].any() and np.array_equal(part[:, :50], probabilities[:, :50])


def test_nothing_found_is_an_empty_segmentation_that_says_so() -> None:
    class Blind(Threshold):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(torch.full_like(images, -1.0))

    volume, runner = shell(), segmenter(Blind(), zoomed())
    assert runner.locate(volume) == NOWHERE
    found = runner(volume, SegmentOptions(probabilities=True, largest_component=True))
    assert not found.label_map.data.any() and NOTHING_FOUND in found.notes
    assert found.probabilities is not None and (found.probabilities[0] == 1).all() and not found.probabilities[1:].any()
    assert NOTHING_FOUND not in segmenter(Threshold(), zoomed())(volume).notes


def test_both_looks_tell_their_progress() -> None:
    told: list[tuple[str, int, int]] = []
    runner = segmenter(Threshold(), zoomed(), batch_size=4, workers=1)
    runner(shell(), on_progress=lambda *state: told.append(state))
    assert told[0] == ("locate", 0, 12) and ("locate", 12, 12) in told and told[-1] == ("segment", 12, 12)


@pytest.mark.parametrize("stage", ["locate", "segment"])
def test_both_looks_can_be_cancelled(stage: str) -> None:
    reached: list[str] = []
    with pytest.raises(Cancelled):
        segmenter(Threshold(), zoomed())(
            shell(), on_progress=lambda name, *_: reached.append(name), should_stop=lambda: stage in reached
        )
    assert reached[-1] == stage


def plan(shape: tuple[int, int, int] = (60, 80, 6), affine: np.ndarray = AXIAL) -> SlicePlan:
    return plan_slices(shape, affine)


def found_at(*boxes: Box, shape: tuple[int, int, int] = (6, 40, 30)) -> np.ndarray:
    """What was found in slices of half of the resolution: slices, rows (j) and columns (i)."""
    found = np.zeros(shape, bool)
    for box in boxes:
        found[tuple(slice(*ends) for ends in box)] = True
    return found


def test_the_box_has_a_margin_and_all_slices() -> None:
    box = box_of_structures(found_at(((2, 3), (10, 20), (5, 15))), plan(), 4.0)
    assert box == ((7, 33), (17, 43), (0, 6))


def test_parts_that_are_near_stay_together() -> None:
    left, right, speck = ((1, 5), (10, 20), (2, 8)), ((1, 5), (10, 20), (20, 26)), ((0, 1), (18, 21), (12, 15))
    alone, both = (box_of_structures(found_at(*parts), plan(), 50.0) for parts in ((left,), (left, right)))
    assert both[0] == (0, 60) and alone[0] == (0, 50)
    assert box_of_structures(found_at(left, right), plan(), 47.0) == box_of_structures(found_at(left), plan(), 47.0)
    assert box_of_structures(found_at(left, speck), plan(), 50.0) == alone


def test_it_is_never_too_small_and_stays_within_the_slice() -> None:
    corner = found_at(((0, 1), (0, 2), (28, 30)))
    assert box_of_structures(corner, plan(), 32.0) == ((28, 60), (0, 32), (0, 6))
    assert box_of_structures(corner, plan(), 1000.0) == ((0, 60), (0, 80), (0, 6))
    assert box_of_structures(found_at(), plan(), 32.0) == NOWHERE

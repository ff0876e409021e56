"""Volumes segmented with neighbouring slices: the right neighbours, whatever is segmented at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.prediction.job import SliceJob
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import Box, Task, Volume
from leuda_core.worker.volumes import slab_around
from stand_ins import AXIAL, OBLIQUE, expected_threshold, task

SHAPE = (34, 36, 11)


class Above(nn.Module):
    """Class 1 where the last slice of the stack is bright, class 2 never."""

    def forward(self, stacks: Tensor) -> Tensor:
        last = stacks[:, -1:]
        return torch.cat([torch.zeros_like(last), 10 * last, torch.full_like(last, -9.0)], dim=1)


def with_context(context: int, context_mm: float, **options: object) -> Task:
    return replace(task(**options), context=context, context_mm=context_mm)


def noise(shape: tuple[int, int, int] = SHAPE, affine: np.ndarray = AXIAL) -> Volume:
    return Volume(np.random.default_rng(0).normal(0, 100, shape).astype(np.float32), affine)


def predictor(context: int) -> Predictor:
    torch.manual_seed(1)
    spec = PredictorSpec(n_classes=3, base_channels=4, in_channels=2 * context + 1, translator_channels=4)
    return Predictor(spec).eval()


@pytest.mark.parametrize(("context", "context_mm", "shift"), [(0, 0.0, 0), (1, 0.0, 1), (1, 6.4, 2), (2, 6.4, 4)])
def test_neighbours_are_those_at_the_distance_and_the_end_is_repeated(
    context: int, context_mm: float, shift: int
) -> None:
    volume = noise()  # slices 3 mm apart
    found = SliceSegmenter(Above(), with_context(context, context_mm), device="cpu", precision="float32")(volume)
    bright = expected_threshold(volume)
    last = np.minimum(np.arange(SHAPE[2]) + shift, SHAPE[2] - 1)
    assert np.array_equal(found.label_map.data > 0, bright[:, :, last])


@pytest.mark.parametrize("box", [None, ((3, 30), (0, 20), (4, 7)), ((0, 34), (0, 36), (10, 11))])
def test_batch_and_box_do_not_matter(box: Box | None) -> None:
    volume, chosen, network = noise(), with_context(2, 5.0), predictor(2)
    whole = SliceSegmenter(network, chosen, device="cpu", precision="float32", batch_size=11)(volume).label_map.data
    inside = tuple(slice(*ends) for ends in box or [(0, n) for n in SHAPE])
    for size in (1, 2, 5):
        segmenter = SliceSegmenter(network, chosen, device="cpu", precision="float32", batch_size=size)
        found = segmenter(volume, box=box).label_map.data
        assert (found[inside] == whole[inside]).mean() > 0.999  # in other batches, sums are rounded otherwise


def test_a_slice_is_prepared_once_for_all_that_it_is_a_neighbour_of(monkeypatch: pytest.MonkeyPatch) -> None:
    job = SliceJob(noise(), with_context(1, 3.0))
    read: list[int] = []
    monkeypatch.setattr(
        "leuda_core.prediction.job.to_working",
        lambda slices, size, intensities: read.append(len(slices)) or torch.zeros(len(slices), 1, *size),
    )
    assert job.images([4, 5, 6, 7]).shape == (4, 3, 36, 34)
    assert read == [6]


@pytest.mark.parametrize("plane", ["acquisition", "coronal", "sagittal"])
@pytest.mark.parametrize(("context", "context_mm"), [(0, 0.0), (1, 3.0), (2, 9.0), (4, 1e6)])
def test_a_slab_shows_a_slice_as_the_whole_volume_does(plane: str, context: int, context_mm: float) -> None:
    volume, chosen = noise((9, 8, 11), OBLIQUE), with_context(context, context_mm, plane=plane)
    whole = SliceJob(volume, chosen, intensities=(-200, 200))
    axis = whole.plan.axis
    for index in whole.indices:
        slab, box = slab_around(volume, chosen, index)
        part = SliceJob(slab, chosen, box=box, intensities=(-200, 200))
        assert list(part.indices) == [box[axis][0]]
        assert torch.equal(part.images(list(part.indices)), whole.images([index]))
    assert slab.shape[axis] < volume.shape[axis] or context_mm > 3


@pytest.mark.parametrize("shape", [(34, 36, 1), (34, 36, 2), (1, 36, 34)])
def test_volumes_with_fewer_slices_than_a_stack(shape: tuple[int, int, int]) -> None:
    found = SliceSegmenter(predictor(4), with_context(4, 3.0), device="cpu")(noise(shape))
    assert found.label_map.data.shape == shape

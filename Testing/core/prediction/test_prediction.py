"""Segmenting a volume: right place, right orientation, any size."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from leuda_core.bundle.model import save_bundle
from leuda_core.bundle.schema import BundleInfo, DomainSummary
from leuda_core.bundle.store import export_model
from leuda_core.data.components import keep_largest_components
from leuda_core.errors import Cancelled, InputError
from leuda_core.io.volumes import read_volume, same_grid, write_label_map, write_volume
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.prediction import runner
from leuda_core.prediction.job import most_likely
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.prediction.volumes import segment
from leuda_core.types import LabelMap, SegmentOptions, Volume
from repository import SHARED_DATA
from stand_ins import AXIAL, LABELS, OBLIQUE, FirstColumns, Threshold, blob, expected_threshold, task


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    torch.manual_seed(1)
    return Predictor(PredictorSpec(n_classes=3, base_channels=4))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, predictor: Predictor) -> Path:
    domain = DomainSummary(name="d", modality="MR")
    info = BundleInfo(name="b", method="m", source=domain, target=domain)
    return save_bundle(tmp_path_factory.mktemp("model") / "b", predictor, task(), info)


@pytest.mark.parametrize("plane", ["acquisition", "axial", "coronal", "sagittal"])
@pytest.mark.parametrize("order", ["F", "C"])
@pytest.mark.parametrize(
    "affine",
    [AXIAL, OBLIQUE, AXIAL[:, [1, 2, 0, 3]], AXIAL * np.array([-1.0, 1, -1, 1])],
    ids=["axial", "oblique", "permuted", "flipped"],
)
def test_a_threshold_comes_back_where_the_voxels_are(affine: np.ndarray, order: str, plane: str) -> None:
    volume = blob((40, 36, 20), affine, order=order)
    prediction = SliceSegmenter(Threshold(), task(0.8, plane), device="cpu")(volume)
    found = prediction.label_map
    assert found.data.shape == volume.shape and np.array_equal(found.affine, volume.affine)
    assert found.data.dtype == np.uint16 and set(np.unique(found.data)) == {0, 3, 300}
    assert dice(found.data > 0, expected_threshold(volume)) > 0.97


def test_the_working_grid_of_the_voxels_gives_the_exact_mask() -> None:
    volume = blob((40, 36, 12), AXIAL)
    found = SliceSegmenter(Threshold(), task(1.0), device="cpu", precision="float32")(volume).label_map
    assert np.array_equal(found.data > 0, expected_threshold(volume))


@pytest.mark.parametrize(
    ("plane", "left_half"),
    [
        ("axial", lambda data: data[20:]),  # the patient's right
        ("coronal", lambda data: data[20:]),
        ("sagittal", lambda data: data[:, 18:]),  # the front
    ],
)
def test_named_planes_show_slices_as_displays_do(plane: str, left_half) -> None:
    volume = blob((40, 36, 20), np.diag([1.0, 1.0, 3.0, 1.0]))  # RAS: i grows to the right, j to the front
    found = SliceSegmenter(FirstColumns(), task(1.0, plane, 16), device="cpu")(volume).label_map.data
    assert (left_half(found) == 3).mean() > 0.9
    assert (found == 3).mean() < 0.55


@pytest.mark.parametrize("shape", [(40, 36, 1), (1, 40, 36), (3, 40, 36), (17, 90, 5), (1, 1, 9)])
def test_odd_shapes_keep_their_grid(shape: tuple[int, int, int], predictor: Predictor) -> None:
    volume = blob(shape, OBLIQUE) if max(shape) > 9 else Volume(np.arange(9.0).reshape(shape), OBLIQUE)
    found = SliceSegmenter(predictor, task(0.7), device="cpu")(volume)
    assert found.label_map.data.shape == shape


def test_the_input_is_left_alone(predictor: Predictor) -> None:
    volume = blob((40, 36, 6), AXIAL, dtype="float32")
    before = volume.data.copy()
    SliceSegmenter(predictor, task(1.0), device="cpu")(volume)
    assert np.array_equal(volume.data, before)
    volume.data.setflags(write=False)
    SliceSegmenter(predictor, task(2.0), device="cpu")(volume)


def test_the_predictor_is_copied(predictor: Predictor) -> None:
    predictor.train()
    SliceSegmenter(predictor, task(1.0), device="cpu")(blob((40, 36, 2), AXIAL))
    assert predictor.training and next(predictor.parameters()).requires_grad


def test_batch_size_and_workers_do_not_matter(predictor: Predictor) -> None:
    volume = blob((50, 44, 11), OBLIQUE)
    options = ({"batch_size": 1, "workers": 1}, {"batch_size": 4, "workers": 1}, {"batch_size": 3, "workers": 3}, {})
    maps = [
        SliceSegmenter(predictor, task(1.0), device="cpu", precision="float32", **option)(volume).label_map.data
        for option in options
    ]
    assert all((other == maps[0]).mean() > 0.9999 for other in maps)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_labels_do_not_depend_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    torch.manual_seed(1)
    network = Predictor(PredictorSpec(n_classes=3, base_channels=12))
    volume = Volume(np.random.default_rng(0).normal(0, 100, (72, 70, 9)).astype(np.float32), AXIAL)
    maps = []
    for cores in (1, 2, 6):
        monkeypatch.setattr(runner, "cores", lambda cores=cores: cores)
        for workers in (0, 1):
            options = {"batch_size": 3, "workers": workers, "precision": precision}
            maps.append(SliceSegmenter(network, task(1.0), device="cpu", **options)(volume).label_map.data)
    assert all(np.array_equal(other, maps[0]) for other in maps)


@pytest.mark.slow
def test_bfloat16_agrees_with_float32() -> None:
    volume = blob((64, 64, 6), AXIAL)
    volume = Volume(volume.data + np.random.default_rng(0).normal(0, 60, volume.shape).astype(np.int16), AXIAL)
    network = trained(volume)
    maps = [
        SliceSegmenter(network, task(1.0), device="cpu", precision=precision)(volume).label_map.data
        for precision in ("float32", "bfloat16")
    ]
    assert dice(maps[0] > 0, blob((64, 64, 6), AXIAL).data > 500) > 0.9
    assert (maps[0] == maps[1]).mean() >= 0.995


def trained(volume: Volume) -> Predictor:
    """Return a network that has learned to find the ellipsoid: an untrained one is undecided almost everywhere."""
    torch.manual_seed(0)
    network = Predictor(PredictorSpec(n_classes=3, base_channels=4))
    images = torch.from_numpy(volume.data.transpose(2, 1, 0).astype(np.float32))[:, None] / 500 - 1
    labels = (blob(volume.shape, AXIAL).data.transpose(2, 1, 0) > 500).astype(np.int64)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(30):
        loss = nn.functional.cross_entropy(network(images), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def test_probabilities_fit_the_labels(predictor: Predictor) -> None:
    volume = blob((40, 36, 5), OBLIQUE)
    prediction = SliceSegmenter(predictor, task(1.5), device="cpu")(volume, SegmentOptions(probabilities=True))
    probabilities = prediction.probabilities
    assert probabilities.shape == (3, *volume.shape) and probabilities.dtype == np.float16
    assert np.allclose(probabilities.astype(np.float32).sum(0), 1, atol=2e-3)
    chosen = np.array([0, 3, 300])[probabilities.argmax(0)]
    assert (chosen == prediction.label_map.data).mean() > 0.99


def test_many_classes_are_reduced_in_groups() -> None:
    torch.manual_seed(0)
    logits = torch.randn(21, 12, 10)
    larger = nn.functional.interpolate(logits[None], size=(30, 17), mode="bilinear")[0]
    assert torch.equal(most_likely(logits, (30, 17)).long(), larger.argmax(0))
    assert torch.equal(most_likely(logits, (12, 10)).long(), logits.argmax(0))


@pytest.mark.parametrize("plane", ["acquisition", "axial", "coronal", "sagittal"])
def test_a_box_is_what_the_whole_is_there(plane: str) -> None:
    volume = blob((40, 36, 20), OBLIQUE)
    segmenter = SliceSegmenter(Threshold(), task(0.8, plane), device="cpu", precision="float32")
    whole, part = (
        segmenter(volume),
        segmenter(volume, SegmentOptions(probabilities=True), box=((5, 21), (10, 36), (0, 13))),
    )
    inside = np.zeros(volume.shape, bool)
    inside[5:21, 10:36, 0:13] = True
    assert np.array_equal(part.label_map.data, np.where(inside, whole.label_map.data, 0))
    assert part.label_map.data.any() and not part.probabilities[:, ~inside].any()


def test_cancelling_takes_effect_within_a_batch() -> None:
    seen = []

    class Slow(Threshold):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(len(images))
            time.sleep(0.05)
            return super().forward(images)

    segmenter = SliceSegmenter(Slow(), task(1.0), device="cpu", batch_size=1, workers=1, precision="float32")
    threads = threading.active_count()
    with pytest.raises(Cancelled):
        segmenter(blob((40, 36, 60), AXIAL), should_stop=lambda: bool(seen))
    assert len(seen) <= 5
    assert threading.active_count() == threads


def test_progress_counts_every_slice_in_the_calling_thread(predictor: Predictor) -> None:
    calls = []
    SliceSegmenter(predictor, task(1.0), device="cpu", batch_size=2)(
        blob((40, 36, 7), AXIAL), on_progress=lambda *args: calls.append((*args, threading.current_thread()))
    )
    assert {call[0] for call in calls} == {"segment"} and {call[3] for call in calls} == {threading.main_thread()}
    done = [call[1] for call in calls]
    assert done == sorted(done) and done[0] == 0 and done[-1] == calls[-1][2] == 7


def test_the_number_of_torch_threads_is_given_back(predictor: Predictor) -> None:
    before = torch.get_num_threads()
    SliceSegmenter(predictor, task(1.0), device="cpu", workers=3)(blob((40, 36, 7), AXIAL))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("where", [..., (7, 8, 3)], ids=["all", "one"])
def test_nan_voxels_are_refused(predictor: Predictor, where) -> None:
    volume = blob((40, 36, 4), AXIAL, dtype="float32")
    volume.data[where] = np.nan
    with pytest.raises(InputError, match="NaN"):
        SliceSegmenter(predictor, task(1.0), device="cpu")(volume)


def test_largest_component_keeps_one_piece_a_label() -> None:
    data = np.zeros((20, 20, 8), np.uint16, order="F")
    data[2:6, 2:6, 1:3] = 3
    data[6, 6, 3] = 3  # touches the first piece at a corner
    data[15, 15, 6] = 3
    data[10:12, 10:12, 5] = 300
    expected = data.copy()
    expected[15, 15, 6] = 0
    assert keep_largest_components(data, [3, 300, 7, 999]) == 1
    assert np.array_equal(data, expected)


def test_segment_goes_from_file_to_file_on_the_same_grid(bundle: Path, tmp_path: Path) -> None:
    volume = blob((40, 36, 6), OBLIQUE)
    write_volume(volume, tmp_path / "in.nii.gz")
    stages = []
    prediction = segment(
        str(tmp_path / "in.nii.gz"),
        bundle,
        device="cpu",
        largest_component=True,
        on_progress=lambda stage, done, total: stages.append(stage),
    )
    write_label_map(prediction.label_map, tmp_path / "out.nii.gz")
    assert same_grid(read_volume(tmp_path / "in.nii.gz"), read_volume(tmp_path / "out.nii.gz"))
    assert prediction.label_map.labels == LABELS and prediction.device == "cpu"
    assert set(prediction.seconds) == {"load", "segment", "largest_component"}
    assert set(stages) >= {"load", "segment"}


def test_segment_takes_zips_and_volumes(bundle: Path, tmp_path: Path) -> None:
    volume = blob((40, 36, 3), OBLIQUE)
    packed = export_model(bundle, tmp_path / "b.zip")
    first, second = (segment(volume, path, device="cpu").label_map for path in (bundle, packed))
    assert isinstance(first, LabelMap) and np.array_equal(first.data, second.data)


REAL = SHARED_DATA


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real volumes in ../shared/data")
@pytest.mark.parametrize(
    "pattern", ["volumes/totalseg_example_ct*.nii.gz", "volumes/*flair*.nii.gz", "mscmr/**/*lge*.nii.gz"]
)
def test_real_volumes_keep_their_grid_and_orientation(pattern: str, tmp_path: Path) -> None:
    path = sorted(REAL.glob(pattern))[0]
    volume = read_volume(path)
    prediction = SliceSegmenter(Threshold(), task(2.0, patch_size=64), device="cpu")(volume)
    write_label_map(prediction.label_map, tmp_path / "labels.seg.nrrd")
    assert same_grid(volume, read_volume(tmp_path / "labels.seg.nrrd"))
    low, high = np.percentile(volume.data, (0.5, 99.5))
    assert dice(prediction.label_map.data > 0, volume.data > (low + high) / 2) > 0.8

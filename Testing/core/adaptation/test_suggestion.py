"""How unsure a model is of each slice, and which slices are suggested for correction."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from command_calls import call, call_json
from leuda_core.bundle.model import load_bundle
from leuda_core.data.dataset import load_dataset
from leuda_core.io.volumes import read_volume
from leuda_core.prediction.doubt import most_doubtful
from leuda_core.prediction.segmenter import SliceSegmenter
from leuda_core.types import Label, SegmentOptions, Task, Volume


def slices_of(*wrong: float, structures: float = 100.0) -> np.ndarray:
    return np.array([[value, structures] for value in wrong])


def choose(doubts: dict[str, np.ndarray], count: int, volumes: int | None = None, **done: list[int]) -> list[object]:
    return [(one.case, one.index) for one in most_doubtful(doubts, count, done=done, volumes=volumes)]


def test_the_most_doubtful_slices_come_first_and_none_twice() -> None:
    doubts = {"a": slices_of(1, 9, 0, 0), "b": slices_of(5, 2, 0, 0)}
    assert choose(doubts, 3) == [("a", 1), ("b", 0), ("b", 1)]
    assert choose(doubts, 9) == [("a", 1), ("b", 0), ("b", 1), ("a", 0)]  # slices without doubt are none


def test_what_is_corrected_already_is_left_out_and_its_neighbours_wait() -> None:
    doubts = {"a": slices_of(*[10] * 4, 9, *[8] * 15)}
    first = choose(doubts, 1, a=[1])
    assert first == [("a", 5)]  # 0 to 4 are nearer than a fifth of the twenty slices
    assert set(choose(doubts, 20, a=[1])) == {("a", index) for index in range(20)} - {("a", 1)}


def test_distance_counts_slices_that_show_structures() -> None:
    """Of a long volume with a short structure, neighbours may be taken sooner."""
    doubt = np.array([[0.0, 0.0]] * 90 + [[10.0, 50.0], [9.0, 50.0], [3.0, 50.0], [2.0, 50.0]])
    assert choose({"a": doubt}, 2) == [("a", 90), ("a", 91)]


def test_few_volumes_are_those_of_the_largest_doubt_for_their_size() -> None:
    doubts = {"large": slices_of(20, 20, structures=1000), "small": slices_of(10, 10, structures=20)}
    assert choose(doubts, 2, volumes=1) == [("small", 0), ("small", 1)]
    assert choose(doubts, 1) == [("large", 0)]
    assert choose({"empty": np.zeros((4, 2)), **doubts}, 1, volumes=1) == [("small", 0)]


class Known(torch.nn.Module):
    """A network that is sure of the background in dark pixels, and of nothing in bright ones."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        sure = torch.where(images < 0, 50.0, 0.0)
        return torch.cat([sure, torch.zeros_like(images), torch.full_like(images, -50.0)], dim=1)


def test_doubt_is_the_expected_area_of_wrong_pixels() -> None:
    data = np.zeros((40, 32, 3), np.float32)
    data[:10, :20, 1] = 1
    data[0, 0, 2] = 1
    task = Task((Label(1, "a"), Label(2, "b")), spacing_mm=2.0, patch_size=16)
    segmenter = SliceSegmenter(Known(), task, device="cpu", precision="float32")
    volume = Volume(data, np.diag([2.0, 2.0, 5.0, 1.0]))
    found = segmenter(volume, doubt=True).doubt
    assert found is not None
    # two classes are equally likely in a bright pixel of 4 mm2: half a pixel is wrong, half a pixel is structure
    assert found == pytest.approx(np.array([[0, 0], [400, 400], [2, 2]]), abs=1e-3)
    assert segmenter(volume).doubt is None


def test_doubt_is_that_of_the_probabilities(tiny_dataset: Path, untrained_bundle: Path) -> None:
    bundle = load_bundle(untrained_bundle)
    volume = read_volume(load_dataset(tiny_dataset).target.cases[0].image)
    segmenter = SliceSegmenter(bundle.predictor(), bundle.task, device="cpu")
    found = segmenter(volume, SegmentOptions(probabilities=True), doubt=True)
    assert found.doubt is not None and found.probabilities is not None
    expected = (1 - found.probabilities.astype(np.float32).max(0)).sum((0, 1)) * 1.25**2
    assert found.doubt[:, 0] == pytest.approx(expected, rel=2e-2)


def test_the_command_suggests_target_slices(
    tiny_dataset: Path, untrained_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("suggest", tiny_dataset, "--model", untrained_bundle, "--device", "cpu")

    def suggested(*more: object) -> list[dict[str, Any]]:
        code, found = call_json(capsys, *words, *more)
        assert code == 0
        return found["slices"]

    found = suggested("--count", "3")
    assert len(found) == 3 and {one["case"] for one in found} <= {"t0", "t1"}
    assert all(0 <= one["index"] < 6 and one["doubt_mm2"] > 0 for one in found)
    only = suggested("--count", "20", "--volumes", "1")
    assert len(only) == 6 and len({one["case"] for one in only}) == 1
    code, out, _ = call(capsys, *words)
    assert code == 0 and "expected wrong area" in out
    source = load_dataset(tiny_dataset).source.cases
    unlabelled = {case.id for case in source if case.label is None or case.labelled_slices is not None}
    found = suggested("--source", "--count", "50")
    assert {one["case"] for one in found} == unlabelled != set()
    done = {case.id: set(case.labelled_slices or ()) for case in source}
    assert not [one for one in found if one["index"] in done[one["case"]]]
    for wrong in ("0", "-1", "x", "1.5"):
        code, _, err = call(capsys, *words, "--count", wrong)
        assert code == 2 and "is not a whole number of 1 or more" in err


def test_unreadable_volumes_are_left_out_and_labelled_slices_are_done(
    tiny_dataset: Path, untrained_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(tiny_dataset.parent, tmp_path / "data")
    document = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    document["target"]["cases"][1] = document["test"]["target"].pop()  # whole label map, no list of slices
    (folder / "dataset.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "t0.nii.gz").write_bytes(b"no volume")
    code, out, err = call(capsys, "suggest", folder / "dataset.json", "--model", untrained_bundle, "--json")
    assert code == 0 and json.loads(out)["slices"] == [] and "left out: case 't0'" in err


class Nothing(torch.nn.Module):
    """A network that finds nothing, and is unsure of bright pixels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.where(images < 0, 50.0, 0.1), torch.zeros_like(images)], dim=1)


def test_where_a_second_look_sees_nothing_the_first_one_is_unsure() -> None:
    data = np.zeros((40, 32, 3), np.float32)
    data[:10, :20, 1] = 1
    task = Task((Label(1, "a"),), spacing_mm=2.0, patch_size=16, zoom=2.0)
    segmenter = SliceSegmenter(Nothing(), task, device="cpu", precision="float32")
    found = segmenter(Volume(data, np.diag([2.0, 2.0, 5.0, 1.0])), doubt=True)
    assert not found.label_map.data.any() and found.doubt is not None
    assert found.doubt[1, 0] == pytest.approx(800 / (1 + np.exp(0.1)), rel=1e-3) and not found.doubt[[0, 2]].any()


def test_the_command_takes_a_dataset_without_source(
    tiny_dataset: Path, untrained_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(tiny_dataset.read_text(encoding="utf-8"))
    document["source"]["cases"] = []
    path = tiny_dataset.parent / "target_alone.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    code, found = call_json(capsys, "suggest", path, "--model", untrained_bundle, "--count", "1")
    assert code == 0 and len(found["slices"]) == 1

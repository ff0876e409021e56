"""Unusable images and label maps, through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refusals import Place, Words, refuses, spoil


def _with(value: float, data: np.ndarray) -> np.ndarray:
    data = data.astype(np.float32)
    data[3, 4, 2] = value
    return data


def _moved(affine: np.ndarray) -> np.ndarray:
    affine[0, 3] += 5
    return affine


FILES: dict[str, tuple[Callable[[Path], object], Words]] = {
    "missing": (Path.unlink, ("{path}", "does not exist")),
    "empty": (lambda path: path.write_bytes(b""), ("{path}", "0 bytes")),
    "truncated gzip": (lambda path: path.write_bytes(path.read_bytes()[:-40]), ("{path}", "truncated")),
    "no image": (lambda path: path.write_text("a page that says: not found"), ("{path}", "not a readable NIfTI")),
    "4-D": (
        lambda path: spoil(path, lambda data, affine: (np.stack([data, data], -1), affine)),
        ("{path}", "(48, 48, 6, 2)"),
    ),
    "vector": (
        lambda path: spoil(path, lambda data, affine: (np.stack([data] * 3, -1)[:, :, :, None], affine)),
        ("{path}", "(48, 48, 6, 1, 3)"),
    ),
}
IMAGES: dict[str, tuple[Callable[[Path], object], Words]] = {
    **FILES,
    "a folder": (lambda path: (path.unlink(), path.mkdir()), ("{path}", "contains no DICOM series")),
    "NaN": (
        lambda path: spoil(path, lambda data, affine: (_with(np.nan, data), affine)),
        ("{path}", "1 NaN or infinite voxels"),
    ),
    "infinite": (
        lambda path: spoil(path, lambda data, affine: (_with(-np.inf, data), affine)),
        ("{path}", "1 NaN or infinite voxels"),
    ),
    "constant": (
        lambda path: spoil(path, lambda data, affine: (data * 0 + 7, affine)),
        ("{path}", "constant (every voxel is 7)"),
    ),
}
LABELS: dict[str, tuple[Callable[[Path], object], Words]] = {
    **FILES,
    "NaN": (
        lambda path: spoil(path, lambda data, affine: (_with(np.nan, data), affine)),
        ("{path}", "1 voxels that are not whole numbers"),
    ),
    "infinite": (
        lambda path: spoil(path, lambda data, affine: (_with(np.inf, data), affine)),
        ("{path}", "1 voxels that are not whole numbers"),
    ),
    "fraction": (
        lambda path: spoil(path, lambda data, affine: (_with(0.5, data), affine)),
        ("{path}", "1 voxels that are not whole numbers"),
    ),
    "negative": (lambda path: spoil(path, lambda data, affine: (_with(-3, data), affine)), ("{path}", "down to -3")),
    "another shape": (
        lambda path: spoil(path, lambda data, affine: (data[:, :, 1:], affine)),
        ("{case}", "(48, 48, 5)", "(48, 48, 6)"),
    ),
    "elsewhere": (lambda path: spoil(path, lambda data, affine: (data, _moved(affine))), ("{case}", "5 mm")),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "train", "segment"])
@pytest.mark.parametrize("fault", IMAGES)
def test_images(place: Place, command: str, fault: str) -> None:
    spoil, expected = IMAGES[fault]
    path = place.path("t1.nii.gz")
    spoil(path)
    if command == "train":  # with another target case, this one would be left out
        place.edit(lambda document: document["target"]["cases"].pop(0))
    refuses(place, place.command(command), tuple(word.format(path=path) for word in expected))


@pytest.mark.parametrize("command", ["check", "train", "predicted", "reference"])
@pytest.mark.parametrize("fault", LABELS)
def test_labels(place: Place, command: str, fault: str) -> None:
    spoil, expected = LABELS[fault]
    evaluated = command in ("predicted", "reference")
    path = place.path("test_s_label.nii.gz" if evaluated else "s1_label.nii.gz")
    spoil(path)
    if command == "train":  # with another labelled case, one that cannot be read would be left out
        place.edit(lambda document: document["source"]["cases"][0].pop("label"))
    case = ("test_t_label" if command == "predicted" else "test_s_label") if evaluated else "'s1'"
    words = tuple(word.format(path=path, case=case) for word in expected)
    refuses(place, place.command(command, volume=path.name), words)


@pytest.mark.parametrize("command", ["check", "train"])
def test_a_label_value_that_the_table_lacks(place: Place, command: str) -> None:
    path = place.path("s0_label.nii.gz")
    spoil(path, lambda data, affine: (np.where(data == 2, 9, data).astype(np.uint8), affine))
    refuses(place, place.command(command), (str(path), "without a label: 9 (", "the labels are 0, 1, 2"))


def test_check_tells_several_problems_at_once(place: Place) -> None:
    FILES["truncated gzip"][0](place.path("s2.nii.gz"))
    LABELS["elsewhere"][0](place.path("s1_label.nii.gz"))
    IMAGES["NaN"][0](place.path("test_t.nii.gz"))
    place.edit(lambda d: (d["target"]["cases"][0].update(image="gone.nii.gz"), d["target"]["cases"][1].update(id="s0")))
    words = ("truncated", "'s1'", "1 NaN", "gone.nii.gz", "'s0'")
    before = place.listing()
    code, out, err = place.call(place.command("check"))
    assert code == 2 and out.count("\n") == len(words)
    assert all(line.count("; ") == 1 for line in out.splitlines()), out
    assert all(word in out for word in words), out
    assert err == f"leuda: error: {place.dataset} has 5 problems; fix them and check again\n"
    code, out, _ = place.call([*place.command("check"), "--json"])
    problems = "\n".join(json.loads(out)["problems"])
    assert code == 2 and all(word in problems for word in words)
    assert place.listing() == before

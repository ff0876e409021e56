"""Unusable dataset files, through the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leuda_core.data.dataset import load_dataset
from leuda_core.errors import InputError
from leuda_core.training.call import make_run_config
from refusals import Place, Words, refuses, spoil


def _background_alone(place: Place) -> None:
    for name in ("s0", "s1"):
        spoil(place.path(f"{name}_label.nii.gz"), lambda data, affine: (data * 0, affine))


def _no_slices_named(place: Place) -> None:
    place.edit(lambda d: [case.update(labelled_slices=[]) for case in d["source"]["cases"][:2]])


def _edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Place], None]:
    return lambda place: place.edit(change)


def _linked(place: Place) -> None:
    place.path("t1.nii.gz").unlink()
    place.path("t1.nii.gz").symlink_to("t0.nii.gz")


def _source(document: dict[str, Any]) -> list[dict[str, Any]]:
    return document["source"]["cases"]


def _target(document: dict[str, Any]) -> list[dict[str, Any]]:
    return document["target"]["cases"]


DATASETS: dict[str, tuple[Callable[[Place], object], Words]] = {
    "missing": (lambda place: place.dataset.unlink(), ("dataset.json", "does not exist")),
    "empty": (lambda place: place.dataset.write_bytes(b""), ("dataset.json", "truncated")),
    "a folder": (lambda place: (place.dataset.unlink(), place.dataset.mkdir()), ("dataset.json", "directory")),
    "half": (lambda place: place.dataset.write_text(place.dataset.read_text()[:99]), ("dataset.json", "truncated")),
    "not UTF-8": (
        lambda place: place.dataset.write_bytes(b'{"name": "Gr\xf6\xdfe"}'),
        ("dataset.json", "byte 12 is not UTF-8"),
    ),
    "unknown key": (
        _edited(lambda d: _source(d)[0].update(weight=2)),
        ("dataset.json", "weight", "$.source.cases[0]"),
    ),
    "unknown role": (_edited(lambda d: d.update(validation=[])), ("dataset.json", "validation")),
    "a number for a name": (_edited(lambda d: d.update(name=3)), ("dataset.json", "$.name", "int")),
    "no target case": (_edited(lambda d: _target(d).clear()), ("dataset.json", "no target case")),
    "no source case": (_edited(lambda d: _source(d).clear()), ("dataset.json", "no source case")),
    "no label": (
        _edited(lambda d: [case.pop("label", None) for case in _source(d)]),
        ("dataset.json", "no source case has a label"),
    ),
    "an id twice": (_edited(lambda d: _target(d)[0].update(id="s0")), ("dataset.json", "'s0'", "twice")),
    "a file twice": (
        _edited(lambda d: _target(d)[1].update(image="./t0.nii.gz")),
        ("dataset.json", "'t0' and 't1'", "t0.nii.gz"),
    ),
    "a file twice, by a way round": (
        _edited(lambda d: _target(d)[1].update(image="out/../t0.nii.gz")),
        ("dataset.json", "'t0' and 't1'", "t0.nii.gz"),
    ),
    "a file twice, by a link": (_linked, ("dataset.json", "'t0' and 't1'", "t1.nii.gz")),
    "a test case to learn from": (
        _edited(lambda d: d["test"]["target"][0].update(image="out/../t0.nii.gz")),
        ("dataset.json", "'test_t'", "'t0'"),
    ),
    "no such slice": (_edited(lambda d: _source(d)[0].update(labelled_slices=[2, 6])), ("'s0'", "slice 6", "0 to 5")),
    "background alone": (_background_alone, ("'discs'", "'s0', 's1'", "no source slice")),
    "labelled_slices: []": (_no_slices_named, ("'discs'", "'s0', 's1'", "no source slice")),
    "a huge label value": (
        _edited(lambda d: d["labels"].update({"70000": "x"})),
        ("dataset.json", "70000", "65535"),
    ),
    "a label value twice": (_edited(lambda d: d["labels"].update({"01": "x"})), ("dataset.json", "value 1")),
    "a label name twice": (_edited(lambda d: d["labels"].update({"3": "ring"})), ("dataset.json", "'ring'")),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "train"])
@pytest.mark.parametrize("fault", DATASETS)
def test_datasets(place: Place, command: str, fault: str) -> None:
    damage, expected = DATASETS[fault]
    try:
        damage(place)
    except OSError as error:
        pytest.skip(f"no symbolic links here: {error}")
    refuses(place, place.command(command), expected)


def test_check_still_misses_labels_where_another_case_is_broken(place: Place) -> None:
    _background_alone(place)
    place.path("t0.nii.gz").unlink()
    _, out, _ = place.call(place.command("check"))
    assert "t0.nii.gz" in out and "no source slice is labelled" in out


PATHS = {
    "a null character": "a\0b.nii.gz",
    "a long name": "a" * 300 + ".nii.gz",
    "a long path": "a/" * 5000 + "b.nii.gz",
    "a loop of links": "loop.nii.gz",
}


@pytest.mark.slow
@pytest.mark.parametrize("key", ["image", "label"])
@pytest.mark.parametrize("fault", PATHS)
def test_paths_that_no_file_can_have(place: Place, fault: str, key: str) -> None:
    place.path("loop.nii.gz").symlink_to("loop.nii.gz")
    place.edit(lambda d: _source(d)[1].update({key: PATHS[fault]}))
    expected = ("dataset.json", f"source.cases[1].{key}", "no file can have the path")
    refuses(place, place.command("check"), expected)
    refuses(place, place.command("train"), expected)


ODD: dict[str, tuple[Callable[[Place], object], Words]] = {
    "half a surrogate pair": (
        lambda place: place.dataset.write_text(place.dataset.read_text().replace("t1.nii.gz", r"\ud800.nii.gz")),
        ("dataset.json",),
    ),
    "nested": (lambda place: place.dataset.write_text('{"name":' * 50_000), ("dataset.json", "$.name")),
    "five thousand digits": (_edited(lambda d: d["labels"].update({"9" * 5000: "x"})), ("5000 characters", "65535")),
    "five thousand letters": (_edited(lambda d: d["labels"].update({"a" * 5000: "x"})), ("5000 characters",)),
    "a label name with an escape": (
        _edited(lambda d: d["labels"].update({"3": "a\x1b[31m"})),
        ("dataset.json", "label 3", "control characters"),
    ),
    "a label name with a line end": (
        _edited(lambda d: d["labels"].update({"3": {"name": "a\nb"}})),
        ("dataset.json", "label 3", "control characters"),
    ),
}


@pytest.mark.parametrize("fault", ODD)
def test_odd_dataset_files(place: Place, fault: str) -> None:
    damage, expected = ODD[fault]
    damage(place)
    refuses(place, place.command("check"), expected)


def test_zeros_before_a_label_value_do_not_matter(place: Place) -> None:
    place.edit(lambda d: d.update(labels={"0" * 5000: "background", "0" * 5000 + "1": "ring", "2": "core"}))
    assert [label.value for label in load_dataset(place.dataset).labels] == [1, 2]


@pytest.mark.parametrize("path", ["a" * 300, "a/" * 3000, "a\0b", "a\ud800b", "a\udcffb"])
def test_dataset_files_with_a_name_that_cannot_be(path: str) -> None:
    with pytest.raises(InputError, match="dataset file") as caught:
        load_dataset(path)
    assert caught.value.remedy


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "dataset.json")
    with pytest.raises(InputError, match="not a regular file"):
        load_dataset(tmp_path / "dataset.json")


def test_a_huge_dataset_file_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "dataset.json", "wb") as stream:
        stream.truncate(2**33)  # sparse: takes no disk
    with pytest.raises(InputError, match="more than 67108864 bytes"):
        load_dataset(tmp_path / "dataset.json")


def test_a_linked_dataset_file_reads_next_to_the_link_first(place: Place, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "linked.json").symlink_to(place.dataset)
    (elsewhere / "t1.nii.gz").write_bytes(place.path("t1.nii.gz").read_bytes())
    dataset = load_dataset(elsewhere / "linked.json")
    assert [case.image for case in dataset.target.cases] == [place.path("t0.nii.gz"), elsewhere / "t1.nii.gz"]
    assert dataset.path == elsewhere / "linked.json"
    assert make_run_config(elsewhere / "linked.json", "source_only").dataset == str(elsewhere / "linked.json")
    assert load_dataset(place.dataset).path == place.dataset.resolve()


LONG = ["a" * 300, "a/" * 3000, "a\udcff\x1b[31m"]


@pytest.mark.parametrize("name", LONG, ids=["a long name", "a long path", "not text"])
@pytest.mark.parametrize(
    "words",
    [["check"], ["status"], ["report", "--out", "p.html"], ["resume"], ["stop"],
     ["segment", "--input", "t1.nii.gz", "--output", "o.nrrd", "--model"],
     ["segment", "--output", "o.nrrd", "--model", "bundle", "--input"],
     ["evaluate", "--prediction", "t1.nii.gz", "--reference"]],
    ids=" ".join,
)  # fmt: skip
def test_paths_on_the_command_line_that_cannot_be(place: Place, words: list[str], name: str) -> None:
    code, out, err = place.call([*words, name])
    assert code == 2 and err.startswith("leuda: error: ") and err.count("\n") == 1, err
    assert "\x1b" not in out + err

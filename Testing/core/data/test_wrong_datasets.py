"""Unusable dataset files, through the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

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

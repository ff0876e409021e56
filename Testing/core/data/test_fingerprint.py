"""A run does not continue on other data; nothing but their content counts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leuda_core.data import fingerprint
from leuda_core.data.dataset import load_dataset
from leuda_core.data.fingerprint import DataGuard, DataRecord, record_data
from leuda_core.errors import InputError
from leuda_core.types import Label, Task

TASK = Task((Label(1, "liver"), Label(2, "spleen")), spacing_mm=1.5, patch_size=32)
CASES = {"source": ("s0", "s1"), "target": ("t0", "t1")}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a dataset file and files that stand for its volumes; only their bytes matter here."""
    folder = tmp_path / "data"
    folder.mkdir()
    document: dict[str, Any] = {"name": "d", "labels": {"1": "liver", "2": "spleen"}, "test": {"target": []}}
    for role, ids in CASES.items():
        document[role] = {"cases": [{"id": name, "image": f"{name}.nii"} for name in ids]}
    for name in ("s0", "s1", "t0", "t1", "test", "s0_label", "test_label"):
        (folder / f"{name}.nii").write_bytes(f"content of {name}".encode())
    document["source"]["cases"][0] |= {"label": "s0_label.nii", "labelled_slices": [1, 2]}
    document["test"]["target"] = [{"id": "test", "image": "test.nii", "label": "test_label.nii"}]
    (folder / "dataset.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def guard(place: Path) -> DataRecord:
    """Start or resume a run on the dataset, as far as its data are concerned."""
    dataset = load_dataset(place / "dataset.json")
    found = DataGuard(place.parent / "data.json", dataset, target_labels=False)
    for index in range(4):
        found.prepared(index)
    return found.finish(TASK)


def edit(place: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = place / "dataset.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def _write(name: str) -> Callable[[Path], object]:
    return lambda place: (place / name).write_bytes(b"other content")


def _same_size_and_time(place: Path) -> None:
    path = place / "t1.nii"
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    return lambda place: edit(place, change)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a volume": (_write("t0.nii"), "case 't0'.*has changed"),
    "a label map": (_write("s0_label.nii"), "case 's0'.*s0_label.nii has changed"),
    "a volume of the same size and time": (_same_size_and_time, "case 't1'.*has changed"),
    "a missing volume": (lambda place: (place / "s1.nii").unlink(), "case 's1'.*no such file"),
    "the name of a label": (_edited(lambda d: d["labels"].update({"2": "lung"})), "2 spleen; now 1 liver, 2 lung"),
    "a further label": (_edited(lambda d: d["labels"].update({"3": "lung"})), "labels of the dataset"),
    "a case less": (_edited(lambda d: d["target"]["cases"].pop()), "had 2 target cases.*without 't1'"),
    "the order": (_edited(lambda d: d["source"]["cases"].reverse()), "order of the source cases"),
    "other slices": (
        _edited(lambda d: d["source"]["cases"][0].update(labelled_slices=[1])), "case 's0': labelled_slices"
    ),
    "a further label map": (
        _edited(lambda d: d["source"]["cases"][1].update(label="s0_label.nii")), "case 's1' has a label now"
    ),
    "a damaged record": (lambda place: (place.parent / "data.json").write_bytes(b"{"), "data.json cannot be read"),
    "another record": (lambda place: (place.parent / "data.json").write_bytes(b"[]"), "data.json cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_does_not_continue_on_other_data(place: Path, name: str) -> None:
    change, words = CHANGES[name]
    guard(place)
    change(place)
    with pytest.raises(InputError, match=words) as caught:
        guard(place)
    assert caught.value.remedy


def _moved(place: Path) -> None:
    shutil.copytree(place, place.parent / "elsewhere")  # with other times
    shutil.rmtree(place)
    (place.parent / "elsewhere").rename(place)


HARMLESS: dict[str, Callable[[Path], object]] = {
    "a moved dataset": _moved,
    "a new time": lambda place: os.utime(place / "s0.nii", (1, 1)),
    "a test case": _write("test.nii"),
    "the names of the cases": _edited(lambda d: d["target"]["cases"][0].update(id="first")),
    "colours and name": _edited(lambda d: d.update(name="e", labels={"1": {"name": "liver"}, "2": "spleen"})),
    "a label of the target": _edited(lambda d: d["target"]["cases"][0].update(label="test_label.nii")),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_run_continues_after_changes_that_do_not_matter(place: Path, name: str) -> None:
    before = guard(place)
    HARMLESS[name](place)
    assert guard(place).digest() == before.digest()


def test_unchanged_files_are_not_read_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard(place)
    read: list[str] = []
    digest = fingerprint.volume_digest
    monkeypatch.setattr(fingerprint, "volume_digest", lambda path: read.append(path.name) or digest(path))
    guard(place)
    assert read == []
    os.utime(place / "t0.nii", (1, 1))
    guard(place)
    guard(place)
    assert read == ["t0.nii"], "read once, then its new time is known"


def test_a_folder_of_slices_is_one_volume(place: Path) -> None:
    (place / "t0.nii").unlink()
    (place / "t0.nii").mkdir()
    (place / "t0.nii" / "1.dcm").write_bytes(b"one")
    before = guard(place)
    assert guard(place) == before
    (place / "t0.nii" / "1.dcm").write_bytes(b"two")
    with pytest.raises(InputError, match="case 't0'"):
        guard(place)


def test_voxels_in_another_file_are_part_of_the_volume(place: Path) -> None:
    header = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 1 1 2\nencoding: raw\ndata file: voxels.raw\n\n"
    (place / "t0.nrrd").write_text(header)
    (place / "voxels.raw").write_bytes(b"ab")
    edit(place, lambda document: document["target"]["cases"][0].update(image="t0.nrrd"))
    guard(place)
    (place / "voxels.raw").write_bytes(b"ac")
    with pytest.raises(InputError, match="case 't0'"):
        guard(place)


def test_the_record_of_a_dataset_is_that_of_its_runs(place: Path) -> None:
    found = record_data(load_dataset(place / "dataset.json"), target_labels=False)
    assert found.digest() == guard(place).digest() and found.cases == guard(place).cases

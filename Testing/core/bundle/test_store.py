"""The model store: what is in it, what comes in, and what is kept out."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from leuda_core.bundle.model import load_bundle
from leuda_core.bundle.store import (
    ModelEntry,
    delete_model,
    export_model,
    folder_name,
    import_model,
    list_models,
    read_model,
)
from leuda_core.errors import InputError, LeudaError
from leuda_core.types import Label
from refusals import flip


@pytest.fixture
def bundle(untrained_bundle: Path, tmp_path: Path) -> Path:
    """A model of one's own to spoil."""
    return Path(shutil.copytree(untrained_bundle, tmp_path / "Größe 1"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "LEUDA" / "models"


def edit(bundle: Path, change: Callable[[dict], object]) -> None:
    path = bundle / "bundle.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def refusal(work: Callable[..., object], *args: object) -> str:
    with pytest.raises(InputError) as caught:
        work(*args)
    assert "\n" not in str(caught.value) and caught.value.remedy
    return caught.value.message


def test_an_imported_model_is_listed_with_all_one_wants_to_know(bundle: Path, store: Path) -> None:
    assert list_models(store) == []
    os.utime(bundle / "bundle.json", (0, time.mktime((2026, 3, 1, 9, 5, 0, 0, 0, -1))))
    entry = import_model(bundle, store)
    assert list_models(store) == [entry]
    assert (entry.name, entry.path, entry.method) == ("m", store / "m", "source_only")
    assert (entry.source_modality, entry.target_modality) == ("MR", "CT")
    assert entry.labels == (Label(1, "ring"), Label(2, "core"))
    assert entry.created == "2026-03-01 09:05"  # when it was made, not when it was copied
    assert entry.size_bytes == sum(path.stat().st_size for path in bundle.iterdir())
    assert entry.metrics == {} and entry.problem == ""
    assert load_bundle(entry.path).info == load_bundle(bundle).info


def test_what_the_model_says_of_itself_goes_first(bundle: Path) -> None:
    def change(document: dict) -> None:
        document["info"]["created"] = "2025-12-24"
        document["info"]["metrics"] = {"dice/ring": 0.5, "dice/core": None}
        document["task"]["labels"][0].update(color=[1, 0.5, 0], terminology="SCT^1^Ring")

    edit(bundle, change)
    entry = read_model(bundle)
    assert entry.created == "2025-12-24" and entry.metrics == {"dice/ring": 0.5, "dice/core": None}
    assert entry.labels[0] == Label(1, "ring", (1.0, 0.5, 0.0), "SCT^1^Ring")


def test_nothing_is_overwritten(bundle: Path, store: Path) -> None:
    names = [import_model(bundle, store, "heart").name for _ in range(3)]
    (store / "knee").mkdir()  # empty: renaming a folder would replace it
    assert [*names, import_model(bundle, store, "knee").name] == ["heart", "heart 2", "heart 3", "knee 2"]
    assert [entry.name for entry in list_models(store)] == ["heart", "heart 2", "heart 3", "knee", "knee 2"]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Herz größer", "Herz größer"),
        ("../../etc/passwd", "etc passwd"),
        ("CT -> MR: a/b\\c\n", "CT - MR a b c"),
        ("con", "model con"),
        ("NUL.txt", "model NUL.txt"),
        ("aux .txt", "model aux .txt"),
        ("COM¹", "model COM¹"),
        ("conin$", "model conin$"),
        ("Thumbs.db", "model Thumbs.db"),
        ("__MACOSX", "model __MACOSX"),
        ("a\u202eb\x7f\ud800", "a b"),
        ("\u200b", "model"),
        ("...", "model"),
        ("", "model"),
        ("x" * 300, "x" * 60),
    ],
)
def test_names_of_folders_are_possible_on_every_system(title: str, expected: str) -> None:
    assert folder_name(title) == expected


def test_imports_of_one_name_at_once_get_names_of_their_own(
    bundle: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def another_is_faster(source: Path, target: Path) -> None:
        monkeypatch.undo()
        (Path(target) / "theirs").mkdir(parents=True)
        rename(source, target)

    monkeypatch.setattr(os, "rename", another_is_faster)
    assert import_model(bundle, store, "heart").path == store / "heart 2"
    assert (store / "heart" / "theirs").is_dir()


def test_a_model_that_is_deleted_meanwhile_is_not_listed(
    bundle: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        import_model(bundle, store, name)

    def deleted_first(path: Path) -> ModelEntry:
        if path.name == "a":
            shutil.rmtree(path)
        return read_model(path)

    monkeypatch.setattr("leuda_core.bundle.store.read_model", deleted_first)
    assert [(entry.name, entry.problem) for entry in list_models(store)] == [("b", "")]


def test_names_of_models_are_those_of_their_folders(bundle: Path, store: Path) -> None:
    for name in ("heart", "heart.zip"):
        assert import_model(bundle, store, name).name == name
    assert [entry.name for entry in list_models(store)] == ["heart", "heart.zip"]


def test_a_model_is_not_exported_into_a_model(bundle: Path, store: Path) -> None:
    entry = import_model(bundle, store)
    (store / "link.zip").symlink_to(entry.path / "README.md")
    for target in (entry.path / "m.zip", entry.path / "bundle.json", bundle / "m.zip", store / "link.zip"):
        assert "would change the model" in refusal(export_model, entry, target)
    load_bundle(entry.path), load_bundle(bundle)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_places_that_the_system_does_not_allow(bundle: Path, tmp_path: Path, name: str) -> None:
    for work in (lambda: import_model(bundle, tmp_path / name), lambda: export_model(bundle, tmp_path / name)):
        assert "cannot write" in refusal(work)
    assert "cannot be read" in refusal(list_models, tmp_path / name)


def test_a_model_goes_out_as_a_zip_and_comes_in_again(bundle: Path, store: Path, tmp_path: Path) -> None:
    entry = import_model(bundle, store)
    packed = export_model(entry, tmp_path / "new folder" / "model 1.zip")
    assert packed.read_bytes() == export_model(bundle, tmp_path / "again.zip").read_bytes()
    assert read_model(packed).name == "model 1"
    again = import_model(packed, store, "again")
    contents = [{path.name: path.read_bytes() for path in e.path.iterdir()} for e in (entry, again)]
    assert contents[0] == contents[1] and len(contents[0]) == 3


def _link(bundle: Path) -> None:
    card = (bundle / "README.md").rename(bundle.parent / "card.md")
    (bundle / "README.md").symlink_to(card)


SPOILT: dict[str, Callable[[Path], object]] = {
    "wrong hash": lambda b: flip(b / "model.safetensors", -5),
    "truncated": lambda b: (b / "model.safetensors").write_bytes((b / "model.safetensors").read_bytes()[:-9]),
    "file too many": lambda b: (b / "evil.py").write_bytes(b"x"),
    "file too few": lambda b: (b / "README.md").unlink(),
    "link": _link,
    "folder in it": lambda b: (b / "sub").mkdir(),
    "file not listed": lambda b: edit(b, lambda d: d["files"].pop("README.md")),
    "unknown file listed": lambda b: edit(b, lambda d: d["files"].update(x=d["files"]["README.md"])),
    "other version": lambda b: edit(b, lambda d: d.update(schema_version=2)),
    "gone": shutil.rmtree,
}


@pytest.mark.parametrize("fault", SPOILT)
def test_what_loading_refuses_importing_does_with_the_same_words(fault: str, bundle: Path, store: Path) -> None:
    SPOILT[fault](bundle)
    words = refusal(import_model, bundle, store)
    if fault not in ("file not listed", "unknown file listed"):  # loading compares the document's checksum first
        assert words == refusal(load_bundle, bundle)
    assert refusal(export_model, bundle, store.parent / "x.zip") == words
    assert not store.exists() and not (store.parent / "x.zip").exists()


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"null", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"schema_version":1}'),
        *(b'{"schema_version":1,"files":{"README.md":1}}', b'{"schema_version":1,"files":[]}'),
    ],
)
def test_a_document_that_describes_no_model_is_refused(data: bytes, bundle: Path, store: Path) -> None:
    (bundle / "bundle.json").write_bytes(data)
    assert "bundle.json" in refusal(import_model, bundle, store)
    store.mkdir(parents=True)
    shutil.copytree(bundle, store / "damaged")
    (entry,) = list_models(store)
    assert entry.name == "damaged" and "bundle.json" in entry.problem


@pytest.mark.parametrize("key", ["name", "method", "source", "target"])
def test_a_document_with_something_missing_is_no_fault_of_ours(key: str, bundle: Path, store: Path) -> None:
    edit(bundle, lambda document: document["info"].pop(key))
    store.mkdir(parents=True)
    if key == "name":
        assert "'name'" in refusal(import_model, bundle, store)
    else:
        assert f"'{key}'" in refusal(read_model, bundle)


@pytest.mark.parametrize("entry", ["../README.md", "/README.md", "..\\README.md", "a/b/README.md", "C:/x", "evil.py"])
def test_zip_entries_outside_are_refused(entry: str, bundle: Path, store: Path, tmp_path: Path) -> None:
    packed = export_model(bundle, tmp_path / "m.zip")
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(entry, b"x")
    before = sorted(tmp_path.rglob("*"))
    assert refusal(import_model, packed, store) == refusal(load_bundle, packed)
    assert sorted(tmp_path.rglob("*")) == before


def test_zip_with_a_link_is_refused(store: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        entry = zipfile.ZipInfo("README.md")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    assert "link" in refusal(import_model, tmp_path / "m.zip", store)


def test_a_failed_import_leaves_nothing(bundle: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_model(bundle, store, "first")

    def fail(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(LeudaError, match="no space left"):
        import_model(bundle, store, "second")
    assert [path.name for path in store.iterdir()] == ["first"]


def test_damaged_models_and_litter_do_not_hide_the_others(bundle: Path, store: Path) -> None:
    import_model(bundle, store, "good")
    import_model(bundle, store, "bad")
    (store / "bad" / "model.safetensors").write_bytes(b"short")
    (store / ".tmp-unfinished").mkdir()
    (store / "notes.txt").write_text("x")
    bad, good = list_models(store)
    assert (bad.name, good.name, good.problem) == ("bad", "good", "")
    assert "5 bytes" in bad.problem and "download the model again" in bad.problem


def test_deleting_takes_one_model_of_the_store(bundle: Path, store: Path) -> None:
    entries = [import_model(bundle, store, name) for name in ("a", "b")]
    delete_model(entries[0], store)
    delete_model(entries[0], store)  # gone already
    assert [path.name for path in store.iterdir()] == ["b"]


def test_deleting_keeps_to_the_store(bundle: Path, store: Path) -> None:
    entry = import_model(bundle, store)
    for path in (bundle, store, store / "..", store / "m" / "..", store / "m" / "README.md", store.parent):
        assert "model folder" in refusal(delete_model, ModelEntry(path.name, path), store)
    (store / "elsewhere").symlink_to(bundle)
    delete_model(ModelEntry("elsewhere", store / "elsewhere"), store)
    assert not os.path.lexists(store / "elsewhere")
    assert entry.path.is_dir() and load_bundle(bundle)


def test_a_long_list_is_quick_and_reads_no_weights(bundle: Path, store: Path) -> None:
    for number in range(50):
        import_model(bundle, store, f"model {number}")
    for weights in store.glob("*/model.safetensors"):
        weights.chmod(0)  # does not stop root, whom the time stops
    seconds = []
    for _ in range(5):
        start = time.thread_time()
        entries = list_models(store)
        seconds.append(time.thread_time() - start)
    assert len(entries) == 50 and not any(entry.problem for entry in entries)
    assert min(seconds) < 0.05

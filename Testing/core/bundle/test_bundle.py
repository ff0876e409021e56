"""A bundle reads back as it was written, and anything else about it is refused with a clear message."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import safetensors.torch
import torch

from bundle_edits import edit, replace_file
from leuda_core.bundle.model import load_bundle, save_bundle
from leuda_core.bundle.schema import BundleInfo, DomainSummary, content_hash
from leuda_core.bundle.store import export_model
from leuda_core.errors import InputError
from leuda_core.networks.predictor import Predictor, PredictorSpec
from leuda_core.types import Label, Normalization, Task

TASK = Task(
    labels=(Label(2, "myocardium", (1.0, 0.0, 0.5), "SCT^10200004^Liver"), Label(5, "Blut, Größe |")),
    spacing_mm=1.25,
    patch_size=64,
    plane="axial",
    normalization=Normalization(1.0, 99.0),
)
INFO = BundleInfo(
    name="heart",
    method="mt_uda",
    citation="A paper, 2021",
    source=DomainSummary(name="bssfp", modality="MR", cases=4, labelled_cases=2, labelled_slices=9),
    target=DomainSummary(name="ct", modality="CT", cases=3),
    settings={"ema_decay": 0.99, "augmentation": "paper"},
    metrics={"dice/myocardium": 0.81, "hd95/myocardium": None},
)
FILES = {"bundle.json", "model.safetensors", "README.md"}


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    torch.manual_seed(0)
    return Predictor(PredictorSpec(n_classes=3, base_channels=1, translator_channels=1, translator_blocks=1))


@pytest.fixture
def folder(tmp_path: Path, predictor: Predictor) -> Path:
    return save_bundle(tmp_path / "bündle 1", predictor, TASK, INFO)


def rewrite(folder: Path, **changes: object) -> None:
    """Change fields of bundle.json (dotted names with __) and put the right checksum on it, as an attacker could."""

    def change(document: dict) -> None:
        for name, value in changes.items():
            *parents, key = name.split("__")
            place = document
            for parent in parents:
                place = place[parent]
            place[key] = value

    edit(folder, change)


def test_round_trip_gives_equal_task_info_and_logits(folder: Path, predictor: Predictor) -> None:
    bundle = load_bundle(folder)
    images = torch.linspace(-1, 1, 1024).view(1, 1, 32, 32)
    assert bundle.task == TASK
    assert msgspec.structs.replace(bundle.info, software={}) == INFO
    assert "torch" in bundle.info.software
    assert torch.equal(bundle.predictor()(images), predictor.eval()(images))
    assert {path.name for path in folder.iterdir()} == FILES


def test_predictors_of_a_bundle_share_no_memory(folder: Path) -> None:
    bundle = load_bundle(folder)
    first = bundle.predictor()
    first.segmenter.head.bias.data.fill_(7.0)
    assert not (bundle.predictor().segmenter.head.bias == 7.0).any()


def test_same_weights_give_the_same_bytes(folder: Path, predictor: Predictor, tmp_path: Path) -> None:
    again = save_bundle(tmp_path / "again", predictor, TASK, INFO)
    assert all((folder / name).read_bytes() == (again / name).read_bytes() for name in FILES)
    zips = [export_model(path, tmp_path / f"{index}.zip").read_bytes() for index, path in enumerate((folder, again))]
    assert zips[0] == zips[1]


def test_model_card_says_what_a_user_must_know(folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    for words in ("myocardium", "CT", "MR", "mt_uda", "A paper, 2021", "4 cases, 2 with labels", "Research", "0.81"):
        assert words in card
    assert "undefined" in card


def test_windows_of_ct_are_kept_and_told(predictor: Predictor, tmp_path: Path) -> None:
    plain, window = Normalization(ignores_padding=True), Normalization(window=(-175.0, 275.5))
    for normalization, source in ((window, None), (window, plain), (plain, window)):
        task = replace(TASK, normalization=normalization, source_normalization=source)
        folder = save_bundle(tmp_path / "bundle", predictor, task, INFO)
        assert load_bundle(folder).task == task
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert card.count("-175 to 275.5 Hounsfield units") == 1 and ("In training" in card) is (source is not None)
    with pytest.raises(InputError, match=r"window 9\.0 to -9\.0 is not a range"):
        save_bundle(
            tmp_path / "bundle", predictor, replace(TASK, normalization=Normalization(window=(9.0, -9.0))), INFO
        )


def test_a_bundle_from_before_a_setting_existed_is_still_read(folder: Path) -> None:
    path = folder / "bundle.json"
    document = json.loads(path.read_bytes())
    del document["predictor"]["norm"], document["task"]["source_normalization"]
    del document["task"]["normalization"]["window"]
    document["checksum"] = content_hash(document)
    path.write_text(json.dumps(document))
    assert load_bundle(folder).spec.norm == "group" and load_bundle(folder).task == TASK


def test_an_older_bundle_is_replaced_and_nothing_else_is(folder: Path, predictor: Predictor, tmp_path: Path) -> None:
    save_bundle(folder, predictor, TASK, msgspec.structs.replace(INFO, name="newer"))
    assert load_bundle(folder).info.name == "newer"
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="precious"):
        save_bundle(tmp_path / "precious", predictor, TASK, INFO)
    assert (tmp_path / "precious" / "thesis.txt").exists()


def test_a_failed_write_keeps_the_old_bundle(
    folder: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def fail(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(Exception, match=r"space"):
        save_bundle(folder, predictor, TASK, msgspec.structs.replace(INFO, name="newer"))
    assert load_bundle(folder).info.name == "heart"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_weights_that_are_not_finite_are_not_shipped(predictor: Predictor, tmp_path: Path) -> None:
    spoiled = Predictor(predictor.spec)
    spoiled.segmenter.head.bias.data[0] = float("nan")
    with pytest.raises(InputError, match=r"segmenter\.head\.bias"):
        save_bundle(tmp_path / "b", spoiled, TASK, INFO)
    assert not (tmp_path / "b").exists()


def test_a_task_that_does_not_fit_is_not_written(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="n_classes 3"):
        save_bundle(tmp_path / "b", predictor, Task(TASK.labels[:1], 1.0, 64), INFO)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema_version": 2}, "schema_version 2"),
        ({"schema_version": None}, "schema_version None"),
        ({"surprise": 1}, "surprise"),
        ({"task__spacing_mm": 0.0}, "spacing_mm 0.0"),
        ({"task__spacing_mm": "1.25"}, "spacing_mm"),
        ({"task__plane": "oblique"}, "oblique"),
        ({"task__patch_size": 10**9}, "1000000000"),
        ({"task__labels": []}, "0 labels"),
        ({"task__normalization": {"lower_percentile": 99.0, "upper_percentile": 1.0}}, "percentiles 99.0"),
        ({"predictor__base_channels": 10**7}, "10000000"),
        ({"predictor__translator_blocks": 10**7}, "10000000"),
        ({"predictor__n_classes": 9}, "n_classes 9"),
        ({"predictor__base_channels": 2}, "expected"),
        ({"predictor__code": "import os"}, "code"),
        ({"files__model.safetensors__size": 2**60}, str(2**60)),
        ({"files__model.safetensors__sha256": "0" * 64}, "sha256"),
        ({"files__README.md__sha256": "../../x"}, "sha256"),
        ({"files__../../etc/passwd": {"size": 1, "sha256": "0" * 64}}, "passwd"),
        ({"files__/etc/passwd": {"size": 1, "sha256": "0" * 64}}, "passwd"),
        ({"files": {}}, "does not list"),
    ],
)
def test_a_wrong_document_is_refused(folder: Path, changes: dict[str, object], words: str) -> None:
    rewrite(folder, **changes)
    with pytest.raises(InputError, match=words) as error:
        load_bundle(folder)
    assert "\n" not in str(error.value) and error.value.remedy


def test_an_edited_document_is_noticed(folder: Path) -> None:
    path = folder / "bundle.json"
    path.write_bytes(path.read_bytes().replace(b"myocardium", b"myocardiun"))
    with pytest.raises(InputError, match="checksum"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"null", b'{"schema_version":1}']
)
def test_a_document_that_is_no_document_is_refused(folder: Path, data: bytes) -> None:
    (folder / "bundle.json").write_bytes(data)
    with pytest.raises(InputError, match=r"bundle\.json"):
        load_bundle(folder)


def test_a_huge_document_is_not_read(folder: Path) -> None:
    with open(folder / "bundle.json", "r+b") as stream:
        stream.truncate(2**33)  # sparse: takes no disk
    with pytest.raises(InputError, match=str(2**33)):
        load_bundle(folder)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["evil.py", "weights.pt", "bundle.json.bak"])
def test_an_additional_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"x")
    with pytest.raises(InputError, match=name):
        load_bundle(folder)


def test_litter_of_file_browsers_is_no_fault(folder: Path) -> None:
    (folder / ".DS_Store").write_bytes(b"x")
    load_bundle(folder)


def test_links_and_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    card = (folder / "README.md").rename(tmp_path / "elsewhere.md")
    (folder / "README.md").symlink_to(card)
    with pytest.raises(InputError, match=r"README\.md.* link"):
        load_bundle(folder)
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    with pytest.raises(InputError, match=r"README\.md"):
        load_bundle(folder)


def test_truncated_weights_are_noticed(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-100])
    with pytest.raises(InputError, match=f"{len(data) - 100} bytes"):
        load_bundle(folder)


def test_truncated_weights_with_the_right_hash_are_noticed(folder: Path) -> None:
    replace_file(folder, "model.safetensors", (folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(InputError, match=r"model\.safetensors cannot be read"):
        load_bundle(folder)


def test_a_huge_header_in_the_weights_is_refused(folder: Path) -> None:
    replace_file(folder, "model.safetensors", struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_bundle(folder)


def test_weights_of_another_size_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest network that a document may describe does not excuse a file of another size."""
    rewrite(folder, predictor__base_channels=128, predictor__translator_channels=128, predictor__translator_blocks=32)
    monkeypatch.setattr("leuda_core.bundle.model.read_others", lambda *_: pytest.fail("the weights were read"))
    with pytest.raises(InputError, match=r"model\.safetensors has \d+ bytes; expected 11\d{8} "):
        load_bundle(folder)


def test_tensors_must_be_those_of_the_predictor(folder: Path, predictor: Predictor) -> None:
    state = {name: tensor.clone() for name, tensor in predictor.state_dict().items()}
    bias = "segmenter.head.bias"
    wrong = {
        "unknown tensor 'extra'": {**state, "extra": torch.zeros(1)},
        f"has no tensor '{bias}'": {name: tensor for name, tensor in state.items() if name != bias},
        r"F16 \(3,\), expected F32": {**state, bias: torch.zeros(3, dtype=torch.float16)},
        r"shape \(4,\), expected \(3,\)": {**state, bias: torch.zeros(4)},
        "not finite": {**state, bias: torch.full((3,), torch.inf)},
    }
    for words, tensors in wrong.items():
        replace_file(folder, "model.safetensors", safetensors.torch.save(tensors))
        with pytest.raises(InputError, match=words):
            load_bundle(folder)


def test_a_run_folder_leads_to_its_bundle(folder: Path) -> None:
    folder.rename(folder.parent / "bundle")
    with pytest.raises(InputError, match=f"use {folder.parent / 'bundle'}"):
        load_bundle(folder.parent)
